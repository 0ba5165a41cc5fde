"""A store as a registry over HTTP: the server's side of distribution-spec 1.1."""
