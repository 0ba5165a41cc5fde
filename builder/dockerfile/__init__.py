"""Dockerfile text to typed instructions; no files, no processes."""
