"""What to run, and who runs it.

A :class:`Process` is complete: a runtime adds nothing from its own environment, so that the same process means the same
on every rung of the ladder.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal, Protocol

from builder.runtime.cgroups import UNLIMITED, Resources
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from builder.runtime.owners import Owned
    from builder.runtime.reins import Attached

Network = Literal["default", "none", "host"]
Security = Literal["sandbox", "insecure"]


@frozen
class ResolvedUser:
    """A user as numbers, in the image's ids."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    """Supplementary groups, without ``gid``."""
    home: str = "/"
    """What HOME is where the process has none."""


@frozen
class Mount:
    """Something of the host that a process sees at ``target``.

    A bind's source is a host path, file or directory, already resolved: what is there is mounted, wherever it leads.
    """

    target: str
    """Absolute inside the root file system; symlinks are followed there and never lead outside."""
    kind: Literal["bind", "tmpfs"] = "bind"
    source: Path | None = None
    readonly: bool = False
    size: int | None = None
    """Bytes a tmpfs may hold; None for the kernel's half of the memory."""
    mode: int = 0o1777
    """Permissions of a tmpfs' top directory where the image has no such directory, else it has those of the image."""
    directory: bool = True
    """Whether a bind's source is a directory."""
    own: bool = False
    """Whether a bind's source was made for this step alone, so that nobody minds what becomes of it."""

    @property
    def is_directory(self) -> bool:
        """Whether the mount point is a directory."""
        return self.directory or self.kind == "tmpfs"

    @property
    def point_mode(self) -> int:
        """The permissions of a mount point that has to be made; a tmpfs takes them over."""
        if self.kind == "tmpfs":
            return self.mode
        return 0o755 if self.directory else 0o644


@frozen
class Limit:
    """One resource limit of ``--ulimit``: ``nofile``, ``nproc`` ...; -1 means without limit."""

    name: str
    soft: int
    hard: int


@frozen
class Process:
    """One command in a root file system."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: ResolvedUser = ResolvedUser()
    hostname: str = "buildkitsandbox"
    network: Network = "default"
    """``none`` has a loopback and nothing else; ``default`` is the network of the machine, as is ``host``: a network of
    its own for each step needs a privileged daemon or a user-mode network stack."""
    security: Security = "sandbox"
    mounts: tuple[Mount, ...] = ()
    """In the order they are mounted."""
    hosts: tuple[tuple[str, str], ...] = ()
    """Extra lines of /etc/hosts: name and address."""
    limits: tuple[Limit, ...] = ()
    resources: Resources = UNLIMITED
    """What all its processes together may take."""
    shm_size: int = 64 << 20
    """Bytes of /dev/shm."""
    terminal: int | None = None
    """The descriptor of a terminal where a person sits; what the process writes goes there and nowhere else."""
    attached: Attached | None = None
    """Streams of its own and a hold on it; none of what it writes goes to ``output`` then."""
    readonly: bool = False
    """Whether the root file system cannot be written to."""
    owners: Mapping[bytes, tuple[int, int]] = field(default_factory=dict)
    """Whose the files are, by path, that are not root's, where all belong to one user: what the process is shown."""

    @property
    def has_terminal(self) -> bool:
        """Whether its streams are a terminal."""
        return self.terminal is not None or (self.attached is not None and self.attached.streams is None)


@frozen
class Exit:
    """How a process ended."""

    code: int
    """Its status; 128 and the signal's number where a signal ended it; 126 where its file cannot be executed, 127 where
    there is no such file."""
    seconds: float
    max_rss: int = 0
    """Bytes of the largest process of the step."""
    error: str = ""
    """Why it could not be started, in the runtime's words; empty where it was."""
    out_of_memory: bool = False
    """Whether a process of it was killed as it reached the limit of memory."""
    owned: Mapping[tuple[int, int], Owned] = field(default_factory=dict)
    """Who was to own what, where that is only written down: by inode and time of birth."""
    shown: bool = False
    """Whether the process was shown who owns what, where that is only written down."""


class Runtime(Protocol):
    """Who runs processes: runc, a chroot, proot."""

    name: str
    """How reports call it."""
    guards_devices: bool
    """Whether device files of an image are harmless: a step may be allowed to have and to make them."""

    def run(self, process: Process, rootfs: Path, output: Callable[[bytes], None]) -> Exit:
        """Run a process to its end.

        Its standard output and error are one pipe, and every byte of it is handed to ``output``, in order, as it comes,
        in this thread. Standard input is empty. Whatever the process left running is ended with it; an exception,
        KeyboardInterrupt among them, ends everything at once.

        Raises:
            IsolationError: the runtime itself failed, before the command was started.
        """

    def join(self, process: Process, rootfs: Path) -> Exit:
        """Run one more process where :meth:`run` runs one in ``rootfs``: it sees what that one sees.

        It has streams of its own (``attached``), and ends with the other one.

        Raises:
            IsolationError: as in :meth:`run`, or nothing runs there.
        """
