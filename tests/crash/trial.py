"""End a command at each of its calls, or refuse the call, and look at what is left."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layers.store import gc
from layers.store.layout import Layout
from layers.validate import validate_image
from tests.crash.scenes import Place
from tests.crash.watch import forked, watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.crash.scenes import Scene
    from tests.crash.watch import Answer, Call, Ended

_MAKING = frozenset({"write", "open", "openat", "mkdir", "mkdirat", "rename", "link", "symlink", "symlinkat", "mknod"})
ERRORS = {
    "ENOSPC": _MAKING | {"fsync", "fdatasync"},
    "EDQUOT": _MAKING | {"chown"},
    "EIO": None,
    "EROFS": _MAKING - {"write"} | {"rmdir", "unlink", "unlinkat", "chmod", "utimensat"},
}
"""By which errors a disk refuses, and which calls; None for all of them."""

_REMOVING = frozenset({"unlink", "unlinkat", "rmdir"})
_NAMELESS = "<none>"
_NOTHING_LEFT = "0 damaged, 0 orphans (0B); 0 broken images, 0 broken containers; 0 left over, 0 unusable\n"

Names = dict[str, tuple[str, ...]]
"""What each name of a store leads to: what holds of an image whenever it was made."""


@dataclass
class Found:
    """What a scene has shown."""

    calls: int = 0
    """How many calls an undisturbed run makes."""
    tried: int = 0
    wrong: list[str] = field(default_factory=list)


class Trial:
    """A scene, tried as often as wanted."""

    def __init__(self, scene: Scene, work: Path, fixed: Path) -> None:
        """Prepare the store, and see what the command makes of it undisturbed."""
        self._scene = scene
        self._log = work / "log"
        self._template = Place(work / "template", fixed)
        self._place = Place(work / "trial", fixed)
        self._copy = Place(work / "copy", fixed)
        self._template.out.mkdir(parents=True)
        self._checked(self._template, functools.partial(scene.prepare, self._template))
        self._before = names_of(self._template.store)
        self._fresh()
        undisturbed = self._run(lambda _: "go")
        if undisturbed.status:
            raise _WrongError(f"{scene.name}: {self._said()}")
        self.calls = undisturbed.calls
        self._after = names_of(self._place.store)
        self._files = _files(self._place.out)
        self.told: set[str] = set()
        """All errors that were told."""

    def kill(self, number: int) -> list[str]:
        """End the command just before its call of this number; give what is wrong then."""
        ended = self._disturbed(number, "kill")
        if ended.status not in {-9, 0}:
            return [f"{self._at(ended, number)}: exit code {ended.status}: {self._said()}"]
        return [f"{self._at(ended, number)}: {each}" for each in self._wrong(repair=True)]

    def refuse(self, number: int, error: str) -> list[str]:
        """Have the command's call of this number fail; give what is wrong then, nothing where it cannot fail so."""
        ended = self._disturbed(number, getattr(errno, error))
        said = self._said()
        found = []
        if ended.status not in {0, 1} or "Traceback" in said or (ended.status and "ERROR: " not in said):
            found.append(f"exit code {ended.status}: {said}")
        elif not ended.status and (names_of(self._place.store), _files(self._place.out)) != (self._after, self._files):
            found.append(f"it says that all is well: {said}")
        if number <= len(ended.calls) and ended.calls[number - 1].name not in _REMOVING:
            found += [f"left over: {path}" for path in self._left()]
        self.told.add(said.rpartition("ERROR: ")[2].partition("\n")[0])
        return [f"{error} at {self._at(ended, number)}: {each}" for each in (*found, *self._wrong(repair=False))]

    def _left(self) -> list[Path]:
        """Give what a command that ended by itself should have removed."""
        place = self._place
        unfinished = [*place.store.glob("unpacked/*/.[!.]*"), *place.store.glob("run/*")]
        hidden = [path for path in place.out.iterdir() if path.name.startswith(".")]
        return [*gc.temporary(place.store), *unfinished, *hidden]

    def can_fail(self, number: int, error: str) -> bool:
        """Tell whether a disk would refuse the call of this number in an undisturbed run with this error."""
        refused = ERRORS[error]
        return refused is None or self.calls[number - 1].name in refused

    def _disturbed(self, number: int, answer: Answer) -> Ended:
        self._fresh()
        return self._run(lambda call: answer if call.number == number else "go")

    def _run(self, answer: object) -> Ended:
        action = functools.partial(self._place.run, *self._scene.arguments(self._place))
        return watched(action, self._place.root, self._log, answer)  # type: ignore[arg-type]

    def _fresh(self) -> None:
        _remove(self._place.root)
        shutil.copytree(self._template.root, self._place.root, symlinks=True)

    def _wrong(self, *, repair: bool) -> list[str]:
        """Check the store as it is, what repairing makes of it, and that the command can be done again."""
        wrong: list[str] = []
        try:
            now = names_of(self._place.store)
            for name, meaning in now.items():
                if meaning not in (self._before.get(name), self._after.get(name)):
                    wrong.append(f"{name} is {meaning}")
            wrong += [f"{name} is gone" for name in self._before.keys() & self._after.keys() - now.keys()]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is to be told
            wrong.append(f"names: {error!r}")
        files = _files(self._place.out)
        wrong += [f"half written: {name}" for name in files if files[name] != self._files.get(name) and name[0] != "."]
        with contextlib.suppress(_WrongError):
            if repair:
                _remove(self._copy.root)
                shutil.copytree(self._place.root, self._copy.root, symlinks=True)
                wrong += self._repaired(self._copy)
            wrong += self._finished(self._place)
            return wrong
        return [*wrong, self._said()]

    def _repaired(self, place: Place) -> Iterator[str]:
        self._checked(place, functools.partial(place.run, "fsck"))
        self._checked(place, functools.partial(place.run, "fsck", "--repair"))
        self._checked(place, functools.partial(place.run, "fsck"))
        if not self._said().endswith(_NOTHING_LEFT):
            yield f"repairing has left: {self._said()}"

    def _finished(self, place: Place) -> Iterator[str]:
        forked(functools.partial(place.run, *self._scene.arguments(place)), self._log)
        now = names_of(place.store)
        # what is made twice may have another time, and the first one stays without a name
        more = {name for name in now.keys() - self._after.keys() if name.startswith(_NAMELESS)}
        if {name: now[name] for name in now.keys() - more} != self._after:
            yield f"done again, it gives {now} and not {self._after}: {self._said()}"
        files = _files(place.out)
        if files.items() < self._files.items():
            yield f"done again, it writes {files} and not {self._files}"

    def _checked(self, place: Place, action: object) -> None:
        if (code := forked(action, self._log)) != 0:  # type: ignore[arg-type]
            raise _WrongError(f"{place.root}: {code}: {self._said()}")

    def _at(self, ended: Ended, number: int) -> str:
        calls: list[Call] = ended.calls
        where = f"{calls[number - 1].name} {calls[number - 1].path}" if len(calls) >= number else "its end"
        return f"{self._scene.name}, call {number}, {where}"

    def _said(self) -> str:
        return self._log.read_text(errors="replace")


class _WrongError(Exception):
    """A command that has to succeed has not."""


def names_of(store: Path) -> Names:
    """Give what every name leads to, validated to the last byte; nothing where there is no store yet."""
    if not (store / "oci-layout").exists():
        return {}
    layout = Layout.open(store)
    found: Names = {}
    for stored in layout.images():
        image = layout.image(stored.descriptor.digest)
        validate_image(image)
        meaning = (*map(str, image.config.diff_ids), *(image.config.config.env or ()))
        for name in [str(each) for each in stored.names] or [f"{_NAMELESS} {' '.join(meaning)}"]:
            found[name] = meaning
    return found


def _files(directory: Path) -> dict[str, int]:
    """Give the sizes of the files in a directory."""
    return {path.name: path.stat().st_size for path in directory.iterdir()}


def _remove(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)


def numbers(count: int, stride: int, start: int = 1) -> range:
    """Give every ``stride``-th number of a call, and one more, at which nothing happens."""
    return range(1 + start % stride, count + 2, stride)


def work_directory() -> str:
    """Give a directory that is on a disk."""
    return os.environ.get("TMPDIR", "/var/tmp")
