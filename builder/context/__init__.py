"""The files that a build may read, which of them an instruction takes, and what they are known by in cache keys."""
