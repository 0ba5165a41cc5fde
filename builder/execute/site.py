"""What steps work with: the store, the cache, the context, and who listens."""

from __future__ import annotations

import threading
import time
from dataclasses import field
from typing import TYPE_CHECKING

from builder.costs import Costs
from builder.execute.guard import Guard
from builder.runtime.cgroups import UNLIMITED, Resources
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from builder.cache.cache import Cache
    from builder.context.memo import Memo
    from builder.context.select import Files
    from builder.events import Listener
    from builder.execute.guard import ScanMode
    from builder.execute.machine import Machine
    from builder.execute.origin import NamedContexts
    from builder.execute.remote import Remote
    from builder.execute.secrets import Agent, Secret
    from builder.execute.state import BuildState
    from builder.runtime.runtime import Limit
    from layers.image import Image
    from layers.mediatype import Compression
    from layers.reference import Reference
    from layers.store.layout import Layout
    from layers.store.trees import Trees


@frozen
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
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """``--secret``, by id."""
    scan: ScanMode = "error"
    """``--secret-scan``: what it is that a secret's value is found in the image."""
    agents: Mapping[str, Agent] = field(default_factory=dict)
    """``--ssh``, by id."""
    shm_size: int = 0
    """Bytes of a step's /dev/shm; 0 for the usual."""
    limits: tuple[Limit, ...] = ()
    """``--ulimit``."""
    resources: Resources = UNLIMITED
    """``--memory`` and its like: what all processes of one step together may take."""
    allowed: frozenset[str] = frozenset()
    """``--allow``: what steps may ask for besides the usual, such as ``security.insecure``."""
    terminal: int | None = None
    """``--debug``: the descriptor of a terminal for a shell where a step has failed."""
    keep_failed: Reference | None = None
    """``--keep-failed``: the name of an image that a failed step's files become."""
    fresh_stages: frozenset[str] = frozenset()
    """``--no-cache-filter``: names, in lower case, of stages whose every step is carried out."""


@frozen
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
    named: NamedContexts
    """What stands in the place of stages and images."""
    remote: Callable[[], Remote]
    """Gives what reaches other machines."""
    cache_mounts: Path
    """Where the directories of cache mounts are kept."""
    guard: Guard = field(default_factory=Guard)
    """What looks for secrets in all that is made."""
    costs: Costs = field(default_factory=Costs)
    memo_lock: threading.Lock = field(default_factory=threading.Lock)
    copies_lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by who makes a copy for mounts, below ``scratch``."""
    clock: Callable[[], float] = time.time

    def now(self) -> float:
        """Give the time that new things bear: the epoch where one is set."""
        return self.settings.epoch if self.settings.epoch is not None else self.clock()
