"""Which ways to run a step have worked on this machine, so that not every build has to try.

What is remembered holds for one boot, one user and one surrounding: its namespaces, capabilities, filters, control
group and the programs. Only what works is remembered; what does not is tried again each time, as people mend it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from builder.runtime.userns import find_program

_FILES = ("/proc/sys/kernel/random/boot_id", "/proc/self/cgroup", "/proc/self/attr/current")
_STATUS = (b"CapPrm", b"CapEff", b"CapBnd", b"NoNewPrivs", b"Seccomp", b"Groups")
_NAMESPACES = ("user", "pid", "net", "cgroup", "uts", "ipc")
_CHANGING = ("/etc/subuid", "/etc/subgid")
_PROGRAMS = ("runc", "crun", "youki", "proot", "newuidmap")


class Remembered:
    """The names of ways that have worked before; make it before namespaces are entered."""

    def __init__(self, path: Path, program: str = "") -> None:
        """Read what is remembered in a file; nothing where it is of another surrounding, or another ``program``'s."""
        self._path = path
        self._here = _surrounding(program if "/" in program else "")
        self._names: list[str] = []
        with contextlib.suppress(OSError, ValueError):
            here, *names = path.read_text("utf-8").splitlines()
            if here == self._here:
                self._names = names

    def works(self, name: str) -> bool:
        """Tell whether this way has worked."""
        return name in self._names

    def add(self, name: str) -> None:
        """Remember a way that works; where that cannot be written, it is tried again next time."""
        self._names.append(name)
        temporary = f"{self._path}.{os.getpid()}"
        with contextlib.suppress(OSError):
            Path(temporary).write_text("\n".join([self._here, *self._names]), "utf-8")
            os.replace(temporary, self._path)

    def forget(self) -> None:
        """Remember nothing, after a step could not be started."""
        self._path.unlink(missing_ok=True)


def _surrounding(program: str) -> str:
    """Give a digest of all that decides what may work."""
    told: list[bytes] = [repr((os.getresuid(), os.getresgid(), os.uname())).encode()]
    for path in _FILES:
        with contextlib.suppress(OSError):
            told.append(Path(path).read_bytes())
    with contextlib.suppress(OSError):
        told += [line for line in Path("/proc/self/status").read_bytes().splitlines() if line.startswith(_STATUS)]
    for name in _NAMESPACES:
        with contextlib.suppress(OSError):
            told.append(os.fsencode(os.readlink(f"/proc/self/ns/{name}")))
    for path in (*_CHANGING, *filter(None, map(find_program, _PROGRAMS)), *filter(None, [program])):
        with contextlib.suppress(OSError):
            info = os.stat(path)
            told.append(repr((path, info.st_ino, info.st_size, info.st_mtime_ns)).encode())
    return hashlib.sha256(b"\0".join(told)).hexdigest()
