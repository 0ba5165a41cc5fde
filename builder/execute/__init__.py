"""A typed instruction and a state to the next state."""
