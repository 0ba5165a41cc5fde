"""How a process runs in a root file system."""
