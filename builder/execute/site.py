"""What steps work with: the store, the cache, the context, and who listens."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from builder.cache.cache import Cache
    from builder.context.fingerprint import Memo
    from builder.context.select import Files
    from builder.events import Listener
    from builder.execute.machine import Machine
    from builder.execute.state import BuildState
    from layers.image import Image
    from layers.mediatype import Compression
    from layers.store.layout import Layout
    from layers.store.trees import Trees


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user decided for all steps."""

    compression: Compression = "gzip"
    level: int | None = None
    epoch: int | None = None
    """SOURCE_DATE_EPOCH in seconds."""
    rewrite_timestamp: bool = False
    """Whether files younger than the epoch get its time."""
    network: str = "default"
    """The network of RUN steps that do not choose one."""
    hosts: tuple[tuple[str, str], ...] = ()
    """Extra names and addresses for /etc/hosts."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """``--build-arg``."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """Everything around a build's steps; stages on several threads share it."""

    layout: Layout
    cache: Cache
    context: Files
    trees: Trees
    machine: Callable[[], Machine]
    """Gives what runs processes; asked for only when a process is to be run."""
    scratch: Path
    """A directory that is removed at the end of the build."""
    memo: Memo
    listener: Listener
    settings: Settings
    stage: Callable[[int], BuildState]
    """Gives the finished state of a stage that this one needs."""
    image: Callable[[str], Image]
    """Gives a base image by the name written in the Dockerfile."""
    memo_lock: threading.Lock = field(default_factory=threading.Lock)
    clock: Callable[[], float] = time.time

    def now(self) -> float:
        """Give the time that new things bear: the epoch where one is set."""
        return self.settings.epoch if self.settings.epoch is not None else self.clock()
