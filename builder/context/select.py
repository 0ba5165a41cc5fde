"""What a COPY or ADD takes: its sources looked up in a build context or in an image, by one set of rules.

A directory named as a source stands for what it holds. ``*``, ``?`` and ``[...]`` are Go's ``filepath.Match``, one
directory level each; with ``parents`` a source is a pattern with ``**`` and the names of directories are kept.
"""

from __future__ import annotations

import posixpath
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from builder.context.context import LocalContext
from builder.context.filter import Filter
from builder.context.glob import Glob, GlobError, has_wildcards, parse_deep_glob
from builder.context.ignore import Patterns
from builder.errors import ContextError
from layers.changeset.entry import Change, Entry
from layers.frozen import frozen

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from builder.context.filter import Skip
    from builder.context.localfile import LocalFile
    from layers.changeset.entry import Content

_MAX_LINKS = 255
"""Links that are followed for one source, as in containerd; more are taken for a loop."""

_Found = TypeVar("_Found", bound=tuple[Any, ...])


class Files(Protocol):
    """A tree of files to copy from: a directory, or the merged layers of an image.

    Paths are relative, without dots and doubled slashes; the root is ``b""``. No method follows a link.
    """

    def get(self, path: bytes) -> Entry | None:
        """Give what is at ``path``; None where nothing is."""

    def children(self, path: bytes) -> list[bytes]:
        """Give the names in a directory, sorted; none where there is no directory."""

    def walk(self, path: bytes, skip: Skip | None = None) -> Iterator[Change]:
        """Give everything below a directory, depth first in byte order, each directory before its content.

        Paths and targets of hard links are relative to ``path``. A hard link is given only for a file that this walk
        gave before; where that was skipped or lies elsewhere, it is given as a file. ``skip`` is asked of a directory
        before what is in it, and of that before anything else; the files of one directory may come before the others.
        """

    def open(self, path: bytes) -> int | Content:
        """Open a regular file, in the form of ``Change.open``."""


@frozen
class Selected:
    """One file or directory that a source led to."""

    path: bytes
    """Where it is, links followed."""
    name: bytes
    """What it is called in a destination directory; ``b""`` for a directory, whose content goes there without it."""
    entry: Entry
    _files: Files = field(repr=False, compare=False)
    _include: Patterns | None = field(default=None, repr=False)
    _exclude: Patterns | None = field(default=None, repr=False)

    def walk(self) -> Iterator[Change]:
        """Give what to copy: all below a directory, with paths relative to it, or else the one file as ``name``."""
        if self.entry.kind == "directory":
            return self._chosen(self._files.walk)
        opened: Callable[[], int | Content] | None = None
        if self.entry.kind == "file":
            local = local_file(self._files, self.path, self.entry)
            opened = local if local is not None else self._open
        return iter((Change(self.name, self.entry._replace(path=self.name), opened),))

    def stats(self) -> Iterator[tuple[bytes, os.stat_result] | Change]:
        """Give what :meth:`walk` gives, in less time where it is on this machine; see ``LocalContext.stats``."""
        if self.entry.kind == "directory" and isinstance(self._files, LocalContext):
            return self._chosen(self._files.stats)
        return self.walk()

    def _chosen(self, walk: Callable[[bytes, Skip | None], Iterator[_Found]]) -> Iterator[_Found]:
        """Walk through a directory with the patterns in mind."""
        if self._include is None and self._exclude is None:
            return walk(self.path, None)
        chosen = Filter(
            exclude=(self._exclude, self._exclude.root) if self._exclude is not None else None,
            include=(self._include, self._include.root) if self._include is not None else None,
        )
        return chosen.reveal(walk(self.path, chosen.skip))

    def _open(self) -> int | Content:
        return self._files.open(self.path)


def local_file(files: Files, path: bytes, entry: Entry) -> LocalFile | None:
    """Give a regular file of this machine, as :meth:`LocalContext.file`; None where the files are elsewhere."""
    find: Callable[[bytes, Entry], LocalFile | None] | None = getattr(files, "file", None)
    return find(path, entry) if find is not None else None


def select(
    files: Files,
    sources: Sequence[str],
    *,
    parents: bool = False,
    exclude: Sequence[str] = (),
    wildcards: bool = True,
    explain: Callable[[bytes], str] | None = None,
    place: str = "the build context",
) -> list[Selected]:
    """Look up the sources of one instruction, in their order; the matches of a wildcard in byte order.

    Leading slashes and ``..`` end at the root of ``files``. ``exclude`` is for what directories hold, never for a
    source itself. A wildcard may match nothing. ``explain`` may say why a path that should be there is hidden;
    ``place`` is what messages call ``files``.

    Raises:
        ContextError: a source without wildcards is missing, or a pattern breaks the grammar.
    """
    chooser = _Chooser(files, Patterns.parse(exclude) if exclude else None, explain, place)
    selected: list[Selected] = []
    for source in sources:
        if parents:
            selected += chooser.with_parents(source)
        else:
            selected += chooser.plain(source, source, wildcards=wildcards)
    return selected


def resolve(files: Files, path: bytes) -> bytes:
    """Follow the links on the way to ``path`` and at its end, never out of the root; what is missing stays as written.

    Raises:
        ContextError: there are too many links.
    """
    todo = path.split(b"/")[::-1]
    done: list[bytes] = []
    links = 0
    while todo:
        name = todo.pop()
        if name in {b"", b"."}:
            continue
        if name == b"..":
            del done[-1:]
            continue
        done.append(name)
        entry = files.get(b"/".join(done))
        if entry is None or entry.kind != "symlink":
            continue
        links += 1
        if links > _MAX_LINKS:
            raise ContextError(f'too many symbolic links on the way to "{_shown(path)}"')
        done = [] if entry.linkname.startswith(b"/") else done[:-1]
        todo += entry.linkname.split(b"/")[::-1]
    return b"/".join(done)


@frozen
class _Chooser:
    files: Files
    exclude: Patterns | None
    explain: Callable[[bytes], str] | None
    place: str

    def plain(
        self, source: str, written: str, *, wildcards: bool = True, include: Patterns | None = None
    ) -> list[Selected]:
        """Choose what one path or wildcard names; ``written`` is for messages."""
        names = [name for name in _clean(source).split("/") if name]
        fixed = 0
        while fixed < len(names) and not (wildcards and has_wildcards(names[fixed])):
            fixed += 1
        path = _bytes("/".join(names[:fixed]))
        resolved = resolve(self.files, path)
        entry = self.files.get(resolved)
        if entry is None:
            raise self._missing(written, path, resolved)
        if fixed == len(names):
            return [self._selected(path, resolved, entry, include)]
        try:
            globs = [Glob(name) for name in names[fixed:]]
        except GlobError as error:
            raise ContextError(f'bad pattern "{written}": {error}') from None
        chosen: list[Selected] = []
        for match in self._expand(resolved, globs):
            target = resolve(self.files, match)
            entry = self.files.get(target)
            if entry is None:
                raise self._missing(_shown(match), match, target)
            chosen.append(self._selected(match, target, entry, include))
        return chosen

    def with_parents(self, source: str) -> list[Selected]:
        """Choose by a pattern whose directories are kept, from ``/./`` on where the source has that."""
        pivot, found, pattern = source.partition("/./")
        if not found:
            pivot, pattern = "/", source
        pattern = _clean(pattern)[1:]
        try:
            include = Patterns([(False, parse_deep_glob(pattern or "**"))])
        except GlobError as error:
            raise ContextError(f'bad pattern "{source}": {error}') from None
        chosen = self.plain(pivot, source, include=include)
        if pattern and not has_wildcards(pivot) and not has_wildcards(pattern):
            self._require(source, chosen[0], _bytes(pattern))
        return chosen

    def _require(self, source: str, selected: Selected, pattern: bytes) -> None:
        """Insist that a path given with --parents is there, and leads to something."""
        path = selected.path + b"/" + pattern if selected.path else pattern
        resolved = resolve(self.files, path)
        if self.files.get(resolved) is None:
            raise self._missing(source, path, resolved)
        if next(selected.walk(), None) is None:
            hint = "--exclude leaves nothing of it, or a symbolic link is on its way, which --parents does not follow"
            raise ContextError(f'source "{source}" selects nothing in {self.place}', hint=hint)

    def _selected(self, named: bytes, path: bytes, entry: Entry, include: Patterns | None) -> Selected:
        if entry.kind == "directory":
            return Selected(path, b"", entry, self.files, include, self.exclude)
        if entry.kind == "hardlink":
            first = self.files.get(entry.linkname)
            entry = (first or entry)._replace(path=path)
        return Selected(path, named.rpartition(b"/")[2] or path.rpartition(b"/")[2], entry, self.files)

    def _expand(self, directory: bytes, globs: Sequence[Glob]) -> Iterator[bytes]:
        """Give the paths below a directory that match, one glob for each level."""
        for name in self.files.children(directory):
            if not globs[0].matches(name):
                continue
            path = directory + b"/" + name if directory else name
            if len(globs) == 1:
                yield path
                continue
            entry = self.files.get(path)
            if entry is not None and entry.kind == "directory":
                yield from self._expand(path, globs[1:])

    def _missing(self, source: str, named: bytes, path: bytes) -> ContextError:
        hint = (self.explain(path) if self.explain is not None else "") or self._similar(path)
        if path != named:
            leads = f'source "{source}" leads by a symbolic link to "{_shown(path)}", which is not in {self.place}'
            return ContextError(leads, hint=hint)
        return ContextError(f'source "{source}" is not in {self.place}', hint=hint)

    def _similar(self, path: bytes) -> str:
        """Ask whether a name was meant that is much like the first one that is missing."""
        import difflib  # noqa: PLC0415 - only where a build fails

        parent: list[bytes] = []
        for name in path.split(b"/"):
            names = self.files.children(b"/".join(parent))
            if name in names:
                parent.append(name)
                continue
            near = difflib.get_close_matches(_shown(name).lower(), [_shown(other).lower() for other in names], 1)
            for other in names:
                if near and _shown(other).lower() == near[0]:
                    return f'did you mean "{_shown(b"/".join([*parent, other]))}"?'
            break
        return ""


def _clean(source: str) -> str:
    """Give the source as an absolute path in its shortest form; what leads above the root ends there."""
    return posixpath.normpath("/" + source.lstrip("/"))


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "replace") or "/"
