"""A client for registries: distribution-spec.md."""
