"""Images in one file: OCI archives and docker tarballs."""
