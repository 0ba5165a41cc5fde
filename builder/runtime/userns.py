"""Enter a user and mount namespace at the door: below, everything believes that it is root.

An ordinary user gets a user namespace in which ids 0 to N are his own id and his subordinate ids (/etc/subuid,
/etc/subgid), or his own id alone. Root only gets a mount namespace. Either way what is mounted later is seen by nobody
else and vanishes with the last process, however that ends.

The namespaces are made and tried by a child, and joined only once they work: a refusal leaves this process as it was.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Literal

from builder.errors import IsolationError
from builder.runtime import syscalls
from layers.frozen import frozen

Kind = Literal["root", "subids", "single"]
Range = tuple[int, int, int]
"""First id inside, first id outside, how many."""

_WHOLE = [(0, 0, 4294967295)]
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


@frozen
class Namespace:
    """Where this process is once it has entered."""

    kind: Kind
    """``root``: the machine's root. ``subids``: a user namespace with a range of ids. ``single``: one with id 0 alone,
    in which no file can belong to anyone else."""
    ids: int
    """How many user ids there are, from 0 on (without gaps, as a rule)."""
    notes: tuple[str, ...] = ()
    """What would have been better and why it was not had, for people."""

    @property
    def initial(self) -> bool:
        """Whether this is the machine's own user namespace: devices, cgroups and ``trusted.`` attributes work there."""
        return self.kind == "root"


_entered: list[Namespace] = []


def enter() -> Namespace:
    """Enter namespaces in which mounting works; call it before the first thread is started.

    Later calls give what the first one gave. The working directory, open files, environment and supplementary groups
    stay; ``os.getuid()`` is 0 from now on.

    Raises:
        IsolationError: no way in, with what each attempt answered; this process is as it was.
    """
    if not _entered:
        _entered.append(_enter())
    return _entered[0]


def outside(*, single: bool) -> Namespace:
    """Give where this process is when it has not entered anything; ``single`` where files can only be its own."""
    here = _describe(())
    return Namespace("single", 1) if single else here


def _enter() -> Namespace:
    if len(os.listdir("/proc/self/task")) > 1:
        raise IsolationError("a user namespace cannot be entered once threads are running")
    attempts: list[str] = []
    if os.geteuid() == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            _keep_mounts_private()
        except OSError as error:
            attempts.append(f"mount namespace as root: {error}")
        else:
            return _describe(())
    notes = _enter_by_child(attempts)
    return _describe(notes)


def _keep_mounts_private() -> None:
    # Slave and not private: what the machine unmounts goes away here as well, and nothing of ours gets out.
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)


def _describe(notes: tuple[str, ...]) -> Namespace:
    ranges = _read_map("/proc/self/uid_map")
    if ranges == _WHOLE:
        return Namespace("root", 4294967295, notes)
    ids = sum(count for _, _, count in ranges)
    return Namespace("single" if ids == 1 else "subids", ids, notes)


def _read_map(path: str) -> list[Range]:
    rows = [line.split() for line in Path(path).read_text().splitlines()]
    return [(int(inside), int(outside), int(count)) for inside, outside, count in rows]


def _enter_by_child(attempts: list[str]) -> tuple[str, ...]:
    """Have a child make the namespaces, give it ids, and join it if it can mount; give the notes."""
    to_child, from_parent = os.pipe()
    from_child, to_parent = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(from_parent)
        os.close(from_child)
        _be_the_child(to_child, to_parent)
    os.close(to_child)
    os.close(to_parent)
    try:
        _expect(from_child, attempts, "user namespace")
        notes = _map_ids(child, attempts)
        os.write(from_parent, b".")
        _expect(from_child, attempts, "mounting in a user namespace")
        _join(child, attempts)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(from_parent)
        os.close(from_child)
    return notes


def _be_the_child(to_child: int, to_parent: int) -> None:
    """Make the namespaces, say so, wait for ids, try a mount, say so, and wait to be joined; never returns."""
    try:
        for step in (_make_namespaces, _try_mounting):
            try:
                step()
            except OSError as error:
                os.write(to_parent, str(error).encode()[:4000])
                break
            os.write(to_parent, b"ok")
            if not os.read(to_child, 1):
                break
    finally:
        os._exit(0)


def _make_namespaces() -> None:
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)


def _try_mounting() -> None:
    # Where AppArmor restricts user namespaces they can be made, and nothing be done in them.
    _keep_mounts_private()
    syscalls.mount("none", "/proc/self/fdinfo", "tmpfs")
    syscalls.unmount("/proc/self/fdinfo")


def _expect(from_child: int, attempts: list[str], what: str) -> None:
    answer = os.read(from_child, 4096).decode(errors="replace")
    if answer != "ok":
        attempts.append(f"{what}: {answer or 'the process that tried it died'}")
        raise _refusal(attempts)


def _map_ids(child: int, attempts: list[str]) -> tuple[str, ...]:
    """Give the child's namespace its ids, as many as can be had; give what stood in the way of more."""
    notes: list[str] = []
    if os.geteuid() == 0:
        try:
            _write_map(child, "uid_map", [(0, 0, sum(row[2] for row in _read_map("/proc/self/uid_map")))])
            _write_map(child, "gid_map", [(0, 0, sum(row[2] for row in _read_map("/proc/self/gid_map")))])
        except OSError as error:
            notes.append(f"root may not pass on its ids: {error}")
        else:
            return ()
    else:
        problem = _map_subordinate_ids(child)
        if not problem:
            return ()
        notes.append(problem)
    try:
        # The kernel lets an ordinary user map his own group only where no process can drop groups any more.
        if not _read_map(f"/proc/{child}/gid_map"):
            Path(f"/proc/{child}/setgroups").write_text("deny")
            _write_map(child, "gid_map", [(0, os.getegid(), 1)])
        if not _read_map(f"/proc/{child}/uid_map"):
            _write_map(child, "uid_map", [(0, os.geteuid(), 1)])
    except OSError as error:
        attempts.append(f"mapping ids: {'; '.join(notes)}; mapping one id: {error}")
        raise _refusal(attempts) from None
    return tuple(notes)


def _write_map(child: int, name: str, ranges: list[Range]) -> None:
    text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges)
    descriptor = os.open(f"/proc/{child}/{name}", os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())  # in one write: the kernel takes no second one
    finally:
        os.close(descriptor)


def _map_subordinate_ids(child: int) -> str:
    """Have newuidmap and newgidmap map this user's subordinate ids; give what stood in the way, or nothing."""
    names = _names_of_user()
    # Groups first: were they refused once the user ids are mapped, one id would no longer be a way out.
    for program, file, own in (
        ("newgidmap", "/etc/subgid", os.getegid()),
        ("newuidmap", "/etc/subuid", os.geteuid()),
    ):
        found = subordinate_ids(Path(file), names)
        if not found:
            return f"{file} has no line for {names[0]}: only one id is available (as root: usermod --add-subuids \
100000-165535 --add-subgids 100000-165535 {names[0]})"
        path = find_program(program)
        if path is None:
            return f"{program} is not installed (package uidmap): only one id is available"
        ranges = [(0, own, 1), *found]
        numbers = [str(number) for row in ranges for number in row]
        done = subprocess.run([path, str(child), *numbers], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
            return f"{program} failed: {said or f'status {done.returncode}'}"
    return ""


def _names_of_user() -> list[str]:
    """What /etc/subuid may call this user: its name and its number, the better known first."""
    uid = os.geteuid()
    try:
        return [pwd.getpwuid(uid).pw_name, str(uid)]
    except KeyError:
        return [str(uid)]


def subordinate_ids(file: Path, names: list[str]) -> list[Range]:
    """Give the ranges that ``file`` (subuid(5)) has for one of ``names``, numbered on from id 1."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    ranges: list[Range] = []
    following = 1
    for line in lines:
        name, first, count = (*line.strip().split(":"), "", "")[:3]
        if name in names and first.isdecimal() and count.isdecimal() and int(count) > 0:
            ranges.append((following, int(first), int(count)))
            following += int(count)
    return ranges


def find_program(name: str) -> str | None:
    """Give the path of a system program, also one that an ordinary user's PATH leaves out."""
    return shutil.which(name) or shutil.which(name, path=_SBIN)


def _join(child: int, attempts: list[str]) -> None:
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was removed
        here = "/"
    user = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    mounts = os.open(f"/proc/{child}/ns/mnt", os.O_RDONLY)
    try:
        syscalls.setns(user, syscalls.CLONE_NEWUSER)
        syscalls.setns(mounts, syscalls.CLONE_NEWNS)  # leaves the working directory at /
    except OSError as error:
        attempts.append(f"joining the user namespace: {error}")
        raise _refusal(attempts) from None
    finally:
        os.close(user)
        os.close(mounts)
    os.chdir(here)


def _refusal(attempts: list[str]) -> IsolationError:
    return IsolationError("no user namespace can be entered: " + "; ".join(attempts), hint="; ".join(hints()))


def hints(root: Path = Path("/")) -> list[str]:
    """Give what on this machine is known to stand in the way of user namespaces, and how to remove it."""
    sysctls = {
        "user.max_user_namespaces": ("0", "sysctl user.max_user_namespaces=15000"),
        "kernel.unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
        "kernel.apparmor_restrict_unprivileged_userns": ("1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
    }
    found = []
    for name, (value, command) in sysctls.items():
        try:
            actual = (root / "proc/sys" / name.replace(".", "/")).read_text().strip()
        except OSError:
            continue
        if actual == value:
            found.append(f"{name} is {value}; as root: {command}")
    status = (root / "proc/self/status").read_text(errors="replace")
    if "\nSeccomp:\t2" in status:
        found.append(
            "a seccomp filter is active, as in a container of Docker or Kubernetes; there, user namespaces need "
            "--security-opt seccomp=unconfined --security-opt apparmor=unconfined, or a pod with hostUsers: false"
        )
    return found or ["ask whoever runs this machine for unprivileged user namespaces, or run as root"]
