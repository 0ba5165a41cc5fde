"""Run a scene in a process of its own, as root or as an ordinary user: ``inside("subids", scenes.chown)``.

Namespaces are entered for good and before the first thread, so no test may do it in the process of the suite. Where the
suite runs as root, the ordinary user is ``nobody``, whose subordinate ids are made up by mounting over /etc/subuid in a
mount namespace of that process; nothing on the machine changes.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.runtime import syscalls, userns

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("root", "subids", "single") if os.geteuid() == 0 else ("own",)
"""The users as whom scenes are tried; ``own`` is whoever runs the suite."""
_REPOSITORY = Path(__file__).resolve().parents[3]
_PR_SET_DUMPABLE = 4


def inside(kind: str, scene: Callable[..., Any], *arguments: Any) -> Any:
    """Give what ``scene(directory, *arguments)`` gives, in a directory of its own; what JSON cannot hold fails."""
    directory = new_directory(kind)
    try:
        done = subprocess.run(
            command(kind, directory, scene, *arguments), capture_output=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return json.loads((directory / "result").read_bytes())
    finally:
        remove_directory(directory)


def new_directory(kind: str) -> Path:
    """Give a directory that the user of ``kind`` owns, on a disk."""
    directory = Path(tempfile.mkdtemp(prefix="pybuild-test-", dir="/var/tmp"))
    if kind in {"subids", "single"}:
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    return directory


def remove_directory(directory: Path) -> None:
    """Remove a directory; an ordinary user needs its namespace for files of other ids."""
    shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():
        subprocess.run(command("own", directory, empty_directory), check=True)
        shutil.rmtree(directory)


def empty_directory(directory: Path) -> None:
    """Remove all that a directory holds, as root of a namespace."""
    userns.enter()
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def command(kind: str, directory: Path, scene: Callable[..., Any], *arguments: Any) -> list[str]:
    """Give the command that runs a scene."""
    text = json.dumps([kind, str(directory), scene.__module__, scene.__name__, arguments])
    return [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(_REPOSITORY)!r}); \
from tests.builder.runtime.inside import main; main({text!r})",
    ]


def main(text: str) -> None:
    """Be the process of a scene."""
    kind, directory, module, name, arguments = json.loads(text)
    # All modules first: the ordinary user may not be able to read them.
    scene = getattr(importlib.import_module(module), name)
    for used in ("builder.runtime.ladder", "multiprocessing", "encodings.unicode_escape"):
        importlib.import_module(used)
    if kind in {"subids", "single"}:
        _become_nobody(Path(directory), f"nobody:{200000}:65536\n" if kind == "subids" else "")
    os.chdir(directory)
    result = json.dumps(scene(Path(directory), *arguments))
    (Path(directory) / "result").write_text(result)


def _become_nobody(directory: Path, ids: str) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    for file in ("/etc/subuid", "/etc/subgid"):
        made = directory / Path(file).name
        made.write_text(ids)
        if os.path.exists(file):
            syscalls.mount(str(made), file, flags=syscalls.MS_BIND)
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
    os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
    # A process that changed its ids hides its /proc files even from its user.
    assert ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0) == 0
