"""What laws are tried on: root file systems and layers."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.rootfs import (
    GID,
    IS_ROOT,
    UID,
    Node,
    Nodes,
    directory,
    fifo,
    file,
    hardlink,
    symlink,
    whiteout,
)

NAMES = [b"a", b"b", b"c", b"a.b", b".d", "ä".encode(), b"\xff\n", b"x" * 120]
"""Few, so that trees meet; some sort below the slash, are no UTF-8, or have no room in a ustar name."""
MODES = st.sampled_from([0o755, 0o644, 0o700, 0o4755, 0o2775, 0o1777])
TIMES = st.sampled_from([0, 1, 1_000_000_000, 1_700_000_000, -5])
CONTENTS = st.sampled_from([b"", b"x", b"y", b"content\n" * 100])
XATTRS = st.sampled_from([{}, {}, {}, {"user.note": b"n\xff\n"}, {"user.note": b"m", "user.other": b""}])
OWNERS = st.sampled_from([(0, 0), (1000, 1000), (3_000_000, 7)]) if IS_ROOT else st.just((UID, GID))
TARGETS = st.sampled_from([b"a", b"../a", b"/b", b"/a/b", b"../../..", b".", b"b/c", b"\xff\n"])


@st.composite
def paths(draw: st.DrawFn, depth: int = 3) -> bytes:
    return b"/".join(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=depth)))


@st.composite
def nodes(draw: st.DrawFn, path: bytes) -> Node:
    """Give anything but a hard link at this path."""
    kind = draw(st.sampled_from(["file", "file", "directory", "symlink", "fifo"]))
    mtime = draw(TIMES)
    if kind == "file":
        node = file(path, draw(CONTENTS), draw(MODES), mtime, draw(XATTRS))
    elif kind == "directory":
        # without setgid: it would be inherited by what a test itself makes below
        node = directory(path, draw(st.sampled_from([0o755, 0o700, 0o1777])), mtime)
        node = node._replace(entry=node.entry._replace(xattrs=draw(XATTRS)))
    elif kind == "symlink":
        node = symlink(path, draw(TARGETS), mtime)
    else:
        node = fifo(path, 0o600, mtime)
    uid, gid = draw(OWNERS)
    return node._replace(entry=node.entry._replace(uid=uid, gid=gid))


@st.composite
def trees(draw: st.DrawFn) -> Nodes:
    """Give a root file system: parents are directories, and some files have several names."""
    made: Nodes = {}
    for path in sorted(draw(st.sets(paths(), max_size=8))):
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            parent = b"/".join(parts[:count])
            if parent not in made:
                made[parent] = directory(parent, 0o755, draw(TIMES))
            elif made[parent].entry.kind != "directory":
                break
        else:
            files = [each for each, node in made.items() if node.entry.kind == "file"]
            if path not in made:
                if files and draw(st.integers(0, 4)) == 0:
                    made[path] = hardlink(path, draw(st.sampled_from(files)))
                else:
                    made[path] = draw(nodes(path))
    return made


@st.composite
def layers(draw: st.DrawFn) -> list[Node]:
    """Give a layer's entries in any order: parents may be missing, or links, and whiteouts may stand anywhere."""
    made: list[Node] = []
    for path in draw(st.lists(paths(), max_size=6, unique=True)):
        parent, slash, name = path.rpartition(b"/")
        choice = draw(st.integers(0, 9))
        if choice == 0:
            made.append(whiteout(parent + slash + b".wh." + name))
        elif choice == 1:
            made.append(whiteout(parent + slash + b".wh..wh..opq"))
        elif choice == 2 and made:
            made.append(hardlink(path, draw(st.sampled_from(made)).entry.path))
        else:
            made.append(draw(nodes(path)))
    return made
