"""The files that a build may read."""
