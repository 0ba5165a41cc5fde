"""A root file system and its layer tar: image-spec layer.md."""
