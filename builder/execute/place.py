"""Where COPY puts what it takes: selected files onto the tree of an image, as changes.

The rules are those of BuildKit's copy: a directory brings its contents; a directory that is there keeps its own mode
and owner; a link named as the destination is followed, one inside the tree is replaced.
"""

from __future__ import annotations

import functools
import posixpath
import stat
from dataclasses import field, replace
from typing import TYPE_CHECKING

from builder.context.localfile import FileByPath, LocalFile
from builder.errors import StepError
from layers.changeset.entry import Change, Entry, Lasting
from layers.changeset.rootpath import resolve
from layers.changeset.tree import Tree
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from builder.context.select import Files, Selected
    from builder.execute.chmod import Chmod
    from layers.changeset.rootpath import Entries

Owner = tuple[int, int]
"""User and group as numbers."""
_NOTHING = Tree.empty()


@frozen
class Destination:
    """The last word of COPY and ADD."""

    path: bytes
    """Relative to the root, normalised."""
    directory: bool
    """Whether it was written as a directory: with a slash, or a dot, at its end."""

    @classmethod
    def parse(cls, text: str, working_dir: str) -> Destination:
        """Read a destination; a relative one is below the working directory, and ``..`` ends at the root.

        Raises:
            StepError: it has a NUL: no kernel makes such a file, and readers of a tar make another one.
        """
        if "\0" in text:
            raise StepError(f"the destination {text!r} has a NUL")
        path = posixpath.normpath("/" + posixpath.join(working_dir, text)).lstrip("/")
        directory = text.endswith(("/", "/.")) or not path
        return cls(path.encode("utf-8", "surrogateescape"), directory)


@frozen
class Placement:
    """How files are placed on a tree."""

    tree: Tree
    destination: Destination
    owner: Owner | None = None
    """``--chown``; None keeps the source's."""
    chmod: Chmod | None = None
    link: bool = False
    """``--link``: as if nothing were there."""
    earlier: Mapping[bytes, Change] = field(default_factory=dict)
    """What the sources before this one have put there."""

    @property
    def below(self) -> Tree:
        """What the image has."""
        return _NOTHING if self.link else self.tree

    def get(self, path: bytes) -> Entry | None:
        """Give what is there already."""
        change = self.earlier.get(path)
        return change.entry if change is not None else self.below.get(path)

    def resolve(self, path: bytes) -> bytes:
        """Give the path that is really meant, links followed."""
        return resolve(self, path, follow_last=True)

    def without_mode(self) -> Placement:
        """Give the placement of what ``--chmod`` is not for."""
        return replace(self, chmod=None)

    def new_directory(self, path: bytes, mtime: int) -> Entry:
        """Give a directory that the copy makes on its way: 0755, or the permissions of an octal ``--chmod``."""
        mode = self.chmod.octal & 0o777 if self.chmod is not None and self.chmod.octal is not None else 0o755
        return made_directory(self, path, mode, self.owner, mtime)

    def touched(self, entry: Entry, path: bytes, root: bytes) -> Entry:
        """Give an entry of the source as it will be at ``path``; a hard link's target moves below ``root``."""
        _, kind, mode, uid, gid, size, mtime, linkname, *rest = entry
        if self.owner is not None:
            uid, gid = self.owner
        if self.chmod is not None and kind != "symlink":
            mode = self.chmod.apply(mode, directory=kind == "directory")
        if kind == "hardlink":
            linkname = join(root, linkname)
        # _replace, or a call of the class, takes three times as long, and this is done for every file
        return tuple.__new__(Entry, (path, kind, mode, uid, gid, size, mtime, linkname, *rest))


def place(
    placement: Placement, files: Files, selected: Sequence[Selected], *, lasting: bool = False
) -> Iterator[Change]:
    """Give the changes that a copy makes, each directory before what is in it.

    One source streams, and its contents can only be opened before the next change is asked for, unless they are to be
    ``lasting``; several are put there one after the other, each seeing those before it, and come sorted.

    Raises:
        StepError: a directory would replace a file, or a file a directory.
    """
    if len(selected) == 1:
        return _lasting(placement, files, selected[0]) if lasting else _one(placement, selected[0])
    merged: dict[bytes, Change] = {}
    placement = replace(placement, earlier=merged)
    return merge((_lasting(placement, files, each) for each in selected), merged)


def merge(sources: Iterator[Iterator[Change]], merged: dict[bytes, Change] | None = None) -> Iterator[Change]:
    """Give the changes of several sources as one, sorted; later ones replace earlier ones of the same path.

    Args:
        sources: each is read to its end before the next.
        merged: where they are collected, for sources that look at what others have put there.

    Raises:
        StepError: a directory would replace a file, or a file a directory.
    """
    merged = {} if merged is None else merged
    linked: set[bytes] = set()
    for changes in sources:
        for change in changes:
            path, entry, _ = change
            if entry is None:
                continue
            if (earlier := merged.get(path)) is not None:
                check_replaces(earlier.entry, entry)
                if path in linked:
                    linked |= _keep_links(merged, earlier)
            if entry.kind == "hardlink":
                linked.add(entry.linkname)
            merged[path] = change
    for path in sorted(merged, key=_by_parts):
        yield merged[path]


def _keep_links(merged: dict[bytes, Change], file: Change) -> set[bytes]:
    """Let the other names of a file that is replaced keep it: the first of them is the file from now on, and given."""
    names = [path for path, (_, entry, _) in merged.items() if entry and _is_link(entry, file.path)]
    names.sort(key=_by_parts)
    for name in names:
        old = merged[name].entry
        if file.entry is None or old is None:
            continue
        if name == names[0]:
            merged[name] = file._replace(path=name, entry=file.entry._replace(path=name))
        else:
            merged[name] = Change(name, old._replace(linkname=names[0]))
    return set(names[:1])


def _is_link(entry: Entry, path: bytes) -> bool:
    return entry.kind == "hardlink" and entry.linkname == path


def _lasting(placement: Placement, files: Files, selected: Selected) -> Iterator[Change]:
    """Give the changes of one source with contents that can be opened at any later time."""
    root, inside = _target(placement, selected), selected.entry.kind == "directory"
    for change in _one(placement, selected):
        if change.open is None or isinstance(change.open, Lasting):
            yield change
            continue
        relative = change.path[len(root) :].lstrip(b"/") if inside else b""
        where = join(selected.path, relative)
        if isinstance(change.open, LocalFile):
            yield change._replace(open=FileByPath(files.open, change.open.info, where))
        else:
            yield change._replace(open=functools.partial(files.open, where))


def _one(placement: Placement, selected: Selected) -> Iterator[Change]:
    """Give the changes of one source."""
    target = _target(placement, selected)
    yield from parents(placement, target, selected.entry.mtime)
    if selected.entry.kind != "directory":
        entry = placement.touched(selected.entry, target, b"")
        check_replaces(placement.get(target), entry)
        for change in selected.walk():
            digest = change.entry.digest if change.entry is not None else b""
            yield Change(target, entry.with_digest(digest) if digest else entry, change.open)
        return
    yield from top_directory(placement, target, selected.entry.mtime)
    for change in selected.walk():
        if change.entry is not None:
            path = join(target, change.path)
            entry = placement.touched(change.entry, path, target)
            check_replaces(placement.get(path), entry)
            yield Change(path, entry, change.open)


def _target(placement: Placement, selected: Selected) -> bytes:
    """Give where one source goes: the destination, or into it where that is a directory and the source is none."""
    if selected.entry.kind == "directory":
        return placement.resolve(placement.destination.path)
    return target_of(placement, selected.name)


def target_of(placement: Placement, name: bytes) -> bytes:
    """Give where a file of this name goes; a link is followed where it is the destination, not inside of it."""
    destination = placement.resolve(placement.destination.path)
    existing = placement.get(destination)
    if placement.destination.directory or (existing is not None and existing.kind == "directory"):
        return join(destination, name)
    return destination


def parents(placement: Placement, path: bytes, mtime: int) -> Iterator[Change]:
    """Give the directories above ``path``: those that are there as they are, missing ones made.

    Raises:
        StepError: something that is no directory is in the way.
    """
    parts = path.split(b"/")
    for i in range(1, len(parts)):
        above = b"/".join(parts[:i])
        existing = placement.get(above)
        if existing is not None and existing.kind != "directory":
            raise StepError(f"cannot copy to non-directory: /{_text(above)}")
        yield Change(above, existing or placement.new_directory(above, mtime))


def top_directory(placement: Placement, path: bytes, mtime: int) -> Iterator[Change]:
    """Give the directory that takes the contents of another: one that is there keeps all but its time.

    Raises:
        StepError: something that is no directory is there.
    """
    if not path:
        return
    existing = placement.get(path)
    if existing is not None and existing.kind != "directory":
        raise StepError(f"cannot copy to non-directory: /{_text(path)}")
    yield Change(path, existing._replace(mtime=mtime) if existing else placement.new_directory(path, mtime))


def made_directory(tree: Entries, path: bytes, mode: int, owner: Owner | None, mtime: int) -> Entry:
    """Give a directory as mkdir makes it: below one with setgid it has that bit too, and its group unless told."""
    above, holder = path, None
    while holder is None and above:
        above = above.rpartition(b"/")[0]
        holder = tree.get(above)
    group = 0
    if holder is not None and holder.mode & stat.S_ISGID:
        mode, group = mode | stat.S_ISGID, holder.gid
    return Entry(path, "directory", mode, *(owner or (0, group)), mtime=mtime)


def check_replaces(existing: Entry | None, entry: Entry) -> None:
    """Check that a directory meets a directory, and a file anything else.

    Raises:
        StepError: it does not.
    """
    if existing is None or (existing.kind == "directory") == (entry.kind == "directory"):
        return
    if entry.kind == "directory":
        raise StepError(f"cannot copy to non-directory: /{_text(entry.path)}")
    raise StepError(f"cannot replace to directory /{_text(entry.path)} with file")


def join(directory: bytes, name: bytes) -> bytes:
    """Put a relative path below a directory; either may be the empty path."""
    return directory + b"/" + name if directory and name else directory or name


def _by_parts(path: bytes) -> list[bytes]:
    return path.split(b"/")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "replace")
