"""Dockerfiles and processes: from a text and a context to an image."""

__version__ = "0.1.0"
