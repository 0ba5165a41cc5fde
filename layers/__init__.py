"""OCI content and files: digests, manifests, layers, stores and registries. Never heard of a Dockerfile."""
