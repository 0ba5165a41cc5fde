"""Scenes of what steps with one id see of owners."""
