"""What is left when a command is ended, or refused, at any of the system calls by which it changes the disk."""
