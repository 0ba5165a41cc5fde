"""What runs in the forked processes of :mod:`builder.runtime.keeper`: the keeper itself and its shepherds.

No function here that is called first in a process returns: each ends in ``os._exit``, so that nothing of the caller's
(buffers, ``finally`` clauses, exit handlers) runs twice. Files are read as bytes: a codec would be imported late, by
when the files of Python may be out of reach.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import socket
import termios
from typing import Any, NoReturn

from builder.runtime import syscalls
from builder.runtime.recorder import Recorder, read_recording, send_calls

_CGROUPS = b"/sys/fs/cgroup/"
_LOOK = 200
"""Milliseconds between two looks at what a tracer has to wait for."""


def keep(requests: socket.socket) -> NoReturn:
    """Be the keeper: fork a shepherd for each request until the socket ends."""
    removals: list[str] = []
    try:
        _detach("pybuild-keeper", keep={requests.fileno()})
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shepherds answer on their own and leave no zombie
        clean = False
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, 1, 6)
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)  # recv_fds() forgets the flag that would do it
            if message != b".":
                clean = message == b"q"
                break
            request = _read_request(descriptors)
            if "remove" in request:
                removals.append(request["remove"])
            elif os.fork() == 0:
                requests.close()
                _shepherd(request["run"], socket.socket(fileno=descriptors[1]), descriptors[2:])
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        _await_children()
        if not clean:
            for path in removals:
                _remove(path)
    finally:
        os._exit(0)


def _detach(name: str, keep: set[int]) -> None:
    """Be out of reach of the terminal's signals, and hold open nothing of the caller's but ``keep``."""
    os.setsid()
    with contextlib.suppress(OSError):
        syscalls.set_name(name)
    _restore_signals()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    for entry in os.listdir("/proc/self/fd"):
        if int(entry) > 2 and int(entry) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(entry))
    os.chdir("/")


def _restore_signals() -> None:
    """Ignore and catch nothing: what is ignored here would be ignored by the command as well."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _read_request(descriptors: list[int]) -> dict[str, Any]:
    with open(descriptors[0], "rb") as file:
        file.seek(0)
        request: dict[str, Any] = json.load(file)
    return request


def _await_children() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _shepherd(command: dict[str, Any], life: socket.socket, streams: list[int]) -> NoReturn:
    """Be a shepherd: run the command, end what it leaves, answer."""
    try:
        with contextlib.suppress(OSError):
            syscalls.set_name("pybuild-step")
        syscalls.adopt_orphans()
        waking, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        failing, failed = os.pipe()
        recorder = Recorder(read_recording(command["recording"])) if command["recording"] else None
        child = os.fork()
        if child == 0:
            _exec(command, streams, failed, recorder)
        for each in set(streams):
            os.close(each)
        os.close(failed)
        error = int(os.read(failing, 16) or b"0")  # until it has become the command
        if not error and not command["pid_file"]:
            _say_started(life, child)
        answer = _watch(child, (life, waking), command, recorder)
        end_children()
        oom_kills = _oom_kills(command["cgroup"]) if command["cgroup"] else 0
        if command["cgroup"] and not _remove_cgroup(command["cgroup"]):
            _call(command["cleanup"])
        if answer is not None:
            answer["error"] = error
            answer["oom_kills"] = oom_kills
            if recorder is not None:
                answer["owned"] = recorder.owned()
            life.sendall(json.dumps(answer).encode())
    finally:
        os._exit(0)


def _watch(
    child: int, ends: tuple[socket.socket, int], command: dict[str, Any], recorder: Recorder | None
) -> dict[str, Any] | None:
    """Wait until the child ends, and give how; None where the caller wants an end of it, or is no more."""
    life, waking = ends
    pid_file = command["pid_file"]
    early = b""
    poll = select.poll()
    poll.register(life, select.POLLIN)
    poll.register(waking, select.POLLIN)
    if recorder is not None:
        recorder.register(poll)
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid and pid_file and status == 0:
            # The program left its process to itself: we have adopted it.
            with open(pid_file, "rb") as file:
                child, pid_file = int(file.read()), ""
            if _call(command["start"]):
                return {"code": 1, "max_rss": 0, "started": False}
            _say_started(life, child)
            _send_signals(child, early)
        elif pid:
            code = os.waitstatus_to_exitcode(status)
            code = code if code >= 0 else 128 - code
            return {"code": code, "max_rss": usage.ru_maxrss * 1024, "started": not pid_file}
        else:
            for descriptor, event in poll.poll(_LOOK if command["waits_for_all"] else None):
                if descriptor == life.fileno():
                    signals = _receive(life)
                    if not signals:
                        return None
                    if pid_file:  # it is not there yet
                        early += signals
                    else:
                        _send_signals(_children(child)[0] if command["waits_for_all"] else child, signals)
                if descriptor == waking:
                    os.read(waking, 4096)
                elif recorder is not None:
                    recorder.serve(descriptor, event, poll)
            if command["waits_for_all"]:
                _end_orphans(child)


def _receive(life: socket.socket) -> bytes:
    """Give signals that the caller sends, one in each byte; nothing once it is no more."""
    try:
        return life.recv(64)
    except ConnectionResetError:
        return b""


def _say_started(life: socket.socket, child: int) -> None:
    with contextlib.suppress(OSError):  # the caller is no more, as will be seen
        life.sendall(b"%d\n" % child)


def _send_signals(process: int, signals: bytes) -> None:
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def end_children() -> None:
    """Kill and reap every child, and their children as they become ours, until there is none."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                continue
            for child in _children(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _end_orphans(tracer: int) -> None:
    """Kill what the process left that ``tracer`` started, once that has ended."""
    if not _children(tracer):
        for orphan in _children(os.getpid()):
            if orphan != tracer:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    try:
        with open(f"/proc/{parent}/task/{parent}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _parent(pid) == parent]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _exec(command: dict[str, Any], streams: list[int], failed: int, recorder: Recorder | None) -> NoReturn:
    """Become the command; the errno of a failure goes into ``failed``."""
    try:
        signal.set_wakeup_fd(-1)
        _restore_signals()
        os.setsid()
        if command["covered"]:
            _cover(command["covered"])
        if command["terminal"] is not None or len(streams) == 3:
            os.dup2(streams[0], 0)
        if command["terminal"] is not None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for stream, standard in zip(streams[-2:] * 2, (1, 2), strict=False):
            os.dup2(stream, standard)
        os.umask(command["umask"])
        for name, soft, hard in command["limits"]:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (soft, hard))
        if command["root"] is not None:
            os.chroot(command["root"])
        if command["user"] is not None:
            uid, gid, groups = command["user"]
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        os.chdir(command["cwd"])
        # After the ids: changing them forgets it.
        syscalls.die_with_parent(signal.SIGKILL)
        if command["listener"]:
            send_calls(command["listener"], command["identity"])
        elif recorder is not None:
            recorder.listen_to_this_process()
        if command["gate"]:
            syscalls.filter_calls(bytes.fromhex(command["gate"]))
        os.execvpe(command["arguments"][0], command["arguments"], command["environment"])  # noqa: S606 - no shell wanted
    except OSError as error:
        os.write(failed, str(error.errno).encode())
    finally:
        os._exit(127)


def _oom_kills(name: str) -> int:
    """Give how many processes of a control group were killed for want of memory."""
    for path in (b"memory/%s/memory.oom_control", b"%s/memory.events"):  # of version 1, of version 2
        with contextlib.suppress(OSError, ValueError), open(_CGROUPS + path % os.fsencode(name), "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"oom_kill ")), 0)
    return 0


def _remove_cgroup(name: str) -> bool:
    """Remove a control group from every hierarchy; say whether it was there and now is nowhere."""
    top, found = _CGROUPS, False
    try:
        # one hierarchy (version 2), or one for each controller (version 1)
        for each in (top, *(top + entry + b"/" for entry in os.listdir(top))):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.rmdir(each + os.fsencode(name))
                found = True
    except OSError:
        return False
    return found


def _cover(directory: str) -> None:
    """Let this process alone, and what it starts, find nothing in a directory."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.mount("none", directory, "tmpfs", syscalls.MS_RDONLY)


def _call(arguments: list[str]) -> int:
    """Run a program, if any, and give its status."""
    if not arguments:
        return 0
    child = os.fork()
    if child == 0:
        try:
            os.execv(arguments[0], arguments)  # noqa: S606 - no shell wanted
        finally:
            os._exit(127)
    return os.waitpid(child, 0)[1]


def _remove(path: str) -> None:
    """Unmount all below ``path`` and remove it."""
    below = os.fsencode(path) + b"/"
    with open("/proc/self/mountinfo", "rb") as file:
        targets = [_unescape(line.split()[4]) for line in file]
    for target in reversed(targets):
        if target.startswith(below):
            with contextlib.suppress(OSError):
                syscalls.unmount(os.fsdecode(target))
    shutil.rmtree(path, ignore_errors=True)


def _unescape(name: bytes) -> bytes:
    """Undo the octal escapes of blanks and backslashes in mountinfo."""
    for plain in b" \t\n\\":
        name = name.replace(b"\\%03o" % plain, bytes([plain]))
    return name
