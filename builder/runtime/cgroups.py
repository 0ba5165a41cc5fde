"""Control groups: which one a step gets, whether its limits can be kept there, and whether it ran out of memory.

Root makes a group of its own for each step. An ordinary user may do so below a group that was delegated to him, which
only version 2 knows. Spec: Documentation/admin-guide/cgroup-v2.rst of the kernel, "Delegation" and "No Internal Process
Constraint"; runtime-spec/config-linux.md, "Control groups".
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

from builder.errors import IsolationError
from layers.frozen import frozen

TOP = Path("/sys/fs/cgroup")
_DELEGATE = "start it in a group that was delegated to you: systemd-run --user --scope -p Delegate=yes pybuild ..."


@frozen
class Resources:
    """What all processes of a step together may take; 0 and "" are without a limit."""

    parent: str = ""
    """The group in which that of a step is made."""
    memory: int = 0
    """Bytes."""
    memory_swap: int = 0
    """Bytes of memory and swap together; -1 for any amount, 0 for twice ``memory``."""
    cpu_shares: int = 0
    """Its weight against other groups, where 1024 is the usual."""
    cpu_quota: int = 0
    """Microseconds of processor time in each ``cpu_period``."""
    cpu_period: int = 0
    cpuset_cpus: str = ""
    """The processors it may run on, as in ``0-2,7``; so the nodes of memory."""
    cpuset_mems: str = ""

    @property
    def controllers(self) -> tuple[str, ...]:
        """What the kernel has to control for these limits."""
        wanted = {
            "memory": self.memory or self.memory_swap,
            "cpu": self.cpu_shares or self.cpu_quota or self.cpu_period,
            "cpuset": self.cpuset_cpus or self.cpuset_mems,
        }
        return tuple(name for name, limit in wanted.items() if limit)

    @property
    def asked(self) -> bool:
        """Whether there is anything to be kept."""
        return bool(self.parent or self.controllers)

    def to_json(self) -> dict[str, Any]:
        """Give the limits in the words of the runtime specification."""
        memory: dict[str, int] = {"limit": self.memory} if self.memory else {}
        if self.memory and _counts_swap():
            memory["swap"] = self.memory_swap or 2 * self.memory
        cpu: dict[str, Any] = {
            "shares": self.cpu_shares,
            "quota": self.cpu_quota,
            "period": self.cpu_period,
            "cpus": self.cpuset_cpus,
            "mems": self.cpuset_mems,
        }
        cpu = {name: value for name, value in cpu.items() if value}
        return {name: values for name, values in (("memory", memory), ("cpu", cpu)) if values}


UNLIMITED = Resources()


def parent_of(resources: Resources, *, root: bool) -> str:
    """Give the path of the group in which that of a step can be made, so that its limits are kept.

    Args:
        resources: the limits.
        root: whether this process is the machine's root.

    Raises:
        IsolationError: the machine cannot keep them, or lets this user not; says what would help.
    """
    if root:
        for name in resources.controllers:
            if not _has(name):
                raise _cannot(resources, f"no control groups for {name} are mounted at {TOP}", "mount them")
        return "/" + resources.parent.strip("/")
    if not _is_unified():
        raise _cannot(resources, "control groups of version 1 are root's", "run as root, or boot with version 2")
    own = _own()
    parent = "/" + resources.parent.strip("/") if resources.parent else own
    directory = Path(f"{TOP}{parent}")
    if not all(os.access(path, os.W_OK) for path in (directory, directory / "cgroup.procs")):
        raise _cannot(resources, f"the control group {parent} is not this user's", _DELEGATE)
    _enable(resources, directory, is_own=parent == own)
    return parent


def _enable(resources: Resources, directory: Path, *, is_own: bool) -> None:
    """Have the controllers work in groups below a directory."""
    missing = set(resources.controllers) - set((directory / "cgroup.subtree_control").read_text().split())
    there = (directory / "cgroup.controllers").read_text().split()
    for name in sorted(missing):
        if name not in there:
            raise _cannot(resources, f"{name} is not delegated to this user", _DELEGATE)
        try:
            _switch_on(directory, name)
        except OSError as error:
            if error.errno != errno.EBUSY or not is_own:
                raise _cannot(resources, f"{name} cannot be switched on: {error.strerror}", _DELEGATE) from error
            # A group has either processes or groups with limits: so make room.
            _move_aside(directory)
            try:
                _switch_on(directory, name)
            except OSError as second:
                reason = f"other processes are in this one's control group: {second.strerror}"
                raise _cannot(resources, reason, _DELEGATE) from second


def _switch_on(directory: Path, name: str) -> None:
    descriptor = os.open(directory / "cgroup.subtree_control", os.O_WRONLY)
    try:
        os.write(descriptor, f"+{name}".encode())
    finally:
        os.close(descriptor)


def _move_aside(directory: Path) -> None:
    """Bring this process and those it has started into a group of their own."""
    aside = directory / f"pybuild-{os.getpid()}"
    with contextlib.suppress(OSError):
        aside.mkdir(exist_ok=True)
        for pid in (directory / "cgroup.procs").read_text().split():
            if int(pid) and _started_by(int(pid), os.getpid()):
                (aside / "cgroup.procs").write_text(pid)


def _started_by(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
    return False


def _own() -> str:
    """Give the group of version 2 in which this process is."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    return "/"


def _is_unified() -> bool:
    return (TOP / "cgroup.controllers").exists()


def _has(controller: str) -> bool:
    if _is_unified():
        return controller in (TOP / "cgroup.controllers").read_text().split()
    return (TOP / controller).is_dir()


def _counts_swap() -> bool:
    return _is_unified() or (TOP / "memory/memory.memsw.limit_in_bytes").exists()


def _cannot(resources: Resources, reason: str, hint: str) -> IsolationError:
    what = f"limits of {' and '.join(resources.controllers)}" if resources.controllers else "--cgroup-parent"
    return IsolationError(f"{what} cannot be kept: {reason}", hint=hint)
