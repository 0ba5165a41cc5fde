"""What was built before."""
