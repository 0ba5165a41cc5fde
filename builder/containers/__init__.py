"""Working containers: what they are, and the processes in them."""
