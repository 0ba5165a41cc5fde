"""What a caller decides about a server: where it listens, what it answers to, and how much it puts up with."""

from __future__ import annotations

from layers.frozen import frozen


@frozen
class Settings:
    """How a store is served."""

    host: str = "127.0.0.1"
    """An address of this machine, or a name of one."""
    port: int = 5000
    """0 takes any that is free."""
    read_only: bool = False
    names: tuple[str, ...] = ()
    """Names besides addresses and localhost that requests may call the server by, as ``host`` without a port."""
    max_connections: int = 128
    max_uploads: int = 64
    """Uploads that have begun and not ended."""
    max_manifest: int = 4 << 20
    """Bytes; the specification asks for as many, and for no more."""
    patience: float = 60.0
    """Seconds that a client may keep everybody waiting; each KiB that it sends or takes earns it one of them back."""
    upload_idle: float = 600.0
    """Seconds after which an upload that nobody goes on with is forgotten."""
    collector_wait: float = 30.0
    """Seconds that a push waits for a prune to end."""
    lease: float = 120.0
    """Seconds after the last sign of a push for which blobs that have no name yet are kept from a prune."""
    tick: float = 0.25
    """Seconds between two looks at whose time is over."""
