"""An image store on disk: an OCI image layout, with what is derived from its blobs beside it.

``oci-layout``, ``index.json`` and ``blobs/`` are the standard's, and skopeo, umoci and crane read them as they are.
``version`` is that of all the rest: ``side/`` holds small files derived from blobs, ``partial/`` the beginnings of
blobs whose download was cut short, ``locks/`` and ``tmp/`` what their names say; callers keep ``unpacked/`` and
``cache/`` there.

Spec: image-spec/image-layout.md.
"""

from __future__ import annotations

import difflib
import re
import threading
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, Self

from layers import jsonread
from layers.compression import read_ahead
from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError, StoreError, VerificationError
from layers.frozen import frozen
from layers.image import BlobLayer, Image, Index, Resumable, check_layers, load
from layers.model import Descriptor, IndexManifest
from layers.platform import Platform
from layers.reference import Reference
from layers.store.blobs import DiskBlobs
from layers.store.files import disk_errors, replace_file, seal_of, unsealed
from layers.store.lock import Lock
from layers.store.names import Names, doubt
from layers.store.parts import discard, resume
from layers.store.version import HINT, VERSION, check_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from layers.image import Layer, Reader
    from layers.store.blobs import BlobWriter
    from layers.store.files import Parts

_CHUNK = 1 << 20
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


@frozen
class Stored:
    """An image or index that the store keeps, and its names; one without names is what Docker shows as ``<none>``."""

    descriptor: Descriptor
    names: tuple[Reference, ...]


class Match(NamedTuple):
    """What a text on the command line stands for."""

    descriptor: Descriptor
    reference: Reference | None
    """The name that was written; None where it was an id."""


class Layout:
    """An image store; several processes and threads may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = DiskBlobs(root)
        self.lock = Lock(root / "locks" / "use")
        """Shared by who writes blobs until they have a name; held alone by who collects what has none."""
        self._names = Names(self.blobs)

    @classmethod
    def open(cls, root: Path, *, create: bool = True) -> Self:
        """Open the store in a directory, and make it there if need be.

        Raises:
            NotFoundError: there is none, and none is to be made.
            StoreError: another version, or the disk refuses.
        """
        marker = root / "oci-layout"
        layout = cls(root)
        try:
            content = marker.read_bytes()
        except FileNotFoundError:
            if not create:
                raise NotFoundError(f"{root} is no OCI image layout: it has no file oci-layout") from None
            layout._create(marker)
            return layout
        except OSError as error:
            raise StoreError(f"cannot read {marker}: {error.strerror}") from error
        version = jsonread.get(jsonread.parse_object(content, str(marker)), str, "imageLayoutVersion", str(marker))
        if version is None or not version.startswith("1."):
            raise StoreError(f"{root} is an image layout of version {version}, and only 1.x is known", hint=HINT)
        check_version(root)
        return layout

    def _create(self, marker: Path) -> None:
        with disk_errors("make a store in", self.root):
            (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        with Lock(self.root / "locks" / "names").exclusive():
            if not (self.root / "index.json").exists():
                replace_file(self.root / "index.json", IndexManifest(()).to_bytes(), self.blobs.temporary())
            replace_file(self.root / "version", b"%d\n" % VERSION, self.blobs.temporary())
            replace_file(marker, b'{"imageLayoutVersion":"1.0.0"}', self.blobs.temporary())

    def using(self, *, wait: float | None = None) -> AbstractContextManager[None]:
        """Keep collectors away: hold this from the first blob written or relied on until it has a name.

        Raises:
            BusyError: a collector is at work, and the wait (seconds; None is for ever) is over.
        """
        return self.lock.shared(wait=wait)

    # Reading

    def get(self, target: Reference | Digest) -> Image | Index:
        """Give what a name or a manifest's digest leads to; a name with a digest is its digest.

        Raises:
            NotFoundError: nothing of that name is here; the hint has names like it.
        """
        return load(self.blobs, self.descriptor(target))

    def image(self, target: Reference | Digest, platform: Platform | None = None) -> Image:
        """Give the image for a platform; without one, this machine's out of an index, and any that stands alone.

        Raises:
            NotFoundError: nothing of that name, or no image for that platform, is here.
            InvalidError: it is an artifact and no image.
        """
        found = self.get(target)
        if isinstance(found, Index):
            found = found.image(platform or Platform.host())
        elif platform is not None and not platform.runs(found.platform):
            hint = f"there is an image for {found.platform.full}"
            raise NotFoundError(f"no image of {target} for platform {platform}", hint=hint)
        check_layers(found.manifest, found.config)
        return found

    def layer(self, descriptor: Descriptor, diff_id: Digest) -> BlobLayer:
        """Give the layer kept under a descriptor; whether its blob is here is seen when it is opened."""
        return BlobLayer(self.blobs, descriptor, diff_id)

    def descriptor(self, target: Reference | Digest) -> Descriptor:
        """Give the descriptor of what a name or a manifest's digest leads to.

        Raises:
            NotFoundError: nothing of that name is here; the hint has names like it.
        """
        digest = target.digest if isinstance(target, Reference) else target
        entries = self._names.entries()
        for each in entries:
            if each.descriptor.digest == digest if digest else each.reference == target:
                return each.descriptor
        if digest and self.blobs.has(digest):
            return Descriptor("", digest, self.blobs.size(digest))
        name = target.familiar if isinstance(target, Reference) else str(target)
        raise _not_found(name, [each.reference.familiar for each in entries if each.reference])

    def names(self) -> list[tuple[Reference, Descriptor]]:
        """Give every name and what it leads to, sorted."""
        entries = [(each.reference, each.descriptor) for each in self._names.entries() if each.reference]
        return sorted(entries, key=lambda entry: str(entry[0]))

    def images(self) -> list[Stored]:
        """Give every image and index that is kept, also those without a name, in the order they came."""
        found: dict[Digest, tuple[Descriptor, list[Reference]]] = {}
        for descriptor, _, reference in self._names.entries():
            names = found.setdefault(descriptor.digest, (descriptor, []))[1]
            if reference is not None:
                names.append(reference)
        return [Stored(descriptor, tuple(sorted(names, key=str))) for descriptor, names in found.values()]

    def resolve(self, text: str) -> Match:
        """Give what a person means: a name, an image id or manifest digest, or the beginning of one.

        Raises:
            NotFoundError: nothing is called that; the hint has names like it.
            InvalidError: several ids begin so.
        """
        entries = self._names.entries()
        for each in entries:
            if each.name and text == each.name:
                return Match(each.descriptor, each.reference)
        id_ = _ID.fullmatch(text)
        if id_ is None or len(id_[1]) < 64:
            reference = Reference.parse(text) if id_ is None else _parse_or_none(text)
            for each in entries:
                if reference is not None and each.reference == reference:
                    return Match(each.descriptor, reference)
            if reference is not None and reference.digest is not None:
                return Match(self.descriptor(reference), None)
        if id_ is not None and (match := self._by_id(id_[1])):
            return match
        raise _not_found(text, [each.reference.familiar for each in entries if each.reference])

    def _by_id(self, beginning: str) -> Match | None:
        found: dict[Digest, Descriptor] = {}
        for stored in self.images():
            for descriptor, id_ in self._ids(stored.descriptor):
                if id_.encoded.startswith(beginning):
                    found.setdefault(id_, descriptor)
        if len({each.digest for each in found.values()}) > 1 and len(found) > 1:
            ids = ", ".join(sorted(each.short for each in found))
            raise InvalidError(f"several image ids begin with {beginning}: {ids}", hint="write more digits")
        return Match(next(iter(found.values())), None) if found else None

    def _ids(self, descriptor: Descriptor) -> Iterator[tuple[Descriptor, Digest]]:
        """Give every digest that a person may know an image by: the manifests' and the configs'."""
        yield descriptor, descriptor.digest
        try:
            found = load(self.blobs, descriptor)
        except NotFoundError:  # an index may list images that were never fetched
            return
        if isinstance(found, Image):
            yield descriptor, found.id
        else:
            for child in found.manifest.manifests:
                yield from self._ids(child)

    # Writing

    def put(
        self,
        source: Image | Index,
        *,
        concurrency: int = 4,
        platforms: Sequence[Platform] | None = None,
        sparse: bool = False,
    ) -> Descriptor:
        """Store an image, or an index with its images: layers first and side by side, its manifest last.

        What is here already is not read. It has no name yet: see :meth:`using`, :meth:`tag` and :meth:`keep`. Of an
        index only the images for ``platforms`` are stored where some are given; with ``sparse``, those that are not
        at the source are left out.

        Raises:
            NotFoundError: a layer's content, or an image for a platform, is not at the source.
            VerificationError: content is not what was promised.
            StoreError: the disk refuses.
        """
        if isinstance(source, Image):
            self._put_image(source, source.digest, concurrency)
            return source.descriptor
        wanted = source.manifest.manifests
        if platforms is not None:
            wanted = tuple({source.select(each).digest: source.select(each) for each in platforms}.values())
        for child in wanted:
            try:
                found = source.load(child)
            except NotFoundError:
                if not sparse:
                    raise
            else:
                if isinstance(found, Image):
                    self._put_image(found, child.digest, concurrency)
                else:
                    self.put(found, concurrency=concurrency, platforms=platforms, sparse=sparse)
        self._put_document(source.raw, source.digest)
        return source.descriptor

    def _put_image(self, image: Image, digest: Digest, concurrency: int) -> None:
        self._put_layers(image.layers, concurrency)
        self._put_document(image.config_bytes, image.manifest.config.digest)
        self._put_document(image.manifest_bytes, digest)

    def _put_document(self, content: bytes, digest: Digest) -> None:
        actual = Digest.of(content, digest.algorithm)
        if actual != digest:
            raise VerificationError("a document has other content", expected=digest, actual=actual)
        if not self.blobs.has(digest, len(content)):
            with self.blobs.write(hashing=False) as writer:
                writer.write(content)
                writer.commit(digest)

    def _put_layers(self, layers: Sequence[Layer], concurrency: int) -> None:
        distinct = {layer.descriptor.digest: layer for layer in layers}
        missing = [each for digest, each in distinct.items() if not self.blobs.has(digest, each.descriptor.size)]
        if not missing:
            return
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - a build that changes nothing needs none

        stop = threading.Event()
        with ThreadPoolExecutor(max(1, min(concurrency, len(missing)))) as pool:
            try:
                for copied in [pool.submit(self._put_layer, layer, stop) for layer in missing]:
                    copied.result()
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _put_layer(self, layer: Layer, stop: threading.Event) -> None:
        # the layer verifies what it reads, so that hashing here would be hashing twice
        if not isinstance(layer, Resumable):
            with layer.open() as reader, self.blobs.write(hashing=False) as writer:
                _copy(reader, writer, layer.descriptor, stop)
            return
        digest = layer.descriptor.digest
        while True:
            with resume(self.blobs, digest, layer.descriptor.size) as (held, writer):
                try:
                    with layer.open_after(held) as reader:
                        _copy(reader, writer, layer.descriptor, stop)
                except VerificationError:
                    discard(self.root, digest)
                    if not held.size:
                        raise
                else:
                    return

    def tag(self, reference: Reference, descriptor: Descriptor) -> None:
        """Let a name lead to a stored image or index; one that loses its last name by this is kept without.

        Raises:
            InvalidError: the name has the digest of something else.
            NotFoundError: the manifest is not in the store.
        """
        self.blobs.size(descriptor.digest)
        self._names.point(reference, descriptor)

    def keep(self, descriptor: Descriptor) -> None:
        """Keep a stored image or index without a name; one that has a name keeps it."""
        self._names.keep(descriptor)

    def untag(self, reference: Reference) -> Descriptor:
        """Take a name away, and give what it led to; an image without another name is kept no longer.

        Raises:
            NotFoundError: there is no such name.
        """
        found = self._names.drop(reference)
        if found is None:
            raise _not_found(reference.familiar, [each.familiar for each, _ in self.names()])
        return found

    def forget(self, digest: Digest) -> tuple[Reference, ...]:
        """Take every name away from a manifest and keep it no longer; give the names it had."""
        return tuple(each.reference for each in self._names.forget(digest) if each.reference)

    def doubtful(self) -> list[tuple[str, str]]:
        """Give the pairs of names of entries that bear two, of which one is not what was written; they lead nowhere."""
        return [pair for each in self._names.entries() if (pair := doubt(each.descriptor)) is not None]

    def drop_doubtful(self) -> None:
        """Let the entries of :meth:`doubtful` names have none; their images are kept."""
        self._names.drop_doubtful()

    # What is derived from blobs

    def side(self, digest: Digest, kind: str) -> Path:
        """Give the file of data derived from a blob; it goes when the blob does."""
        return self.root / "side" / digest.algorithm / f"{digest.encoded}.{kind}"

    def read_side(self, digest: Digest, kind: str) -> bytes | None:
        """Give the derived data; None where there is none, or it is not what was written for this blob."""
        try:
            return unsealed(self.side(digest, kind).read_bytes(), f"{kind} of {digest}")
        except FileNotFoundError:
            return None

    def write_side(self, digest: Digest, kind: str, content: bytes | Parts) -> None:
        """Write the derived data, whole or not at all.

        Raises:
            StoreError: the disk refuses.
        """
        path = self.side(digest, kind)
        with disk_errors("make", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        parts = [content] if isinstance(content, bytes) else content
        replace_file(path, [*parts, seal_of(parts, f"{kind} of {digest}")], self.blobs.temporary())


def _copy(reader: Reader, writer: BlobWriter, descriptor: Descriptor, stop: threading.Event) -> None:
    with closing(read_ahead(iter(lambda: reader.read(_CHUNK), b""))) as chunks:
        for data in chunks:
            if stop.is_set():
                return
            writer.write(data)
    writer.commit(descriptor.digest, descriptor.size)


def _parse_or_none(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except InvalidError:
        return None


def _not_found(name: str, names: list[str]) -> NotFoundError:
    close = difflib.get_close_matches(name, names, cutoff=0.6)
    return NotFoundError(f"no image {name} in the store", hint=f"did you mean {' or '.join(close)}?" if close else "")
