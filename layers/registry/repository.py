"""One repository of a registry: its manifests, tags and blobs, and the images they make.

Spec: distribution-spec/spec.md, "Pull", "Push", "Content Discovery", "Content Management".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from layers import mediatype
from layers.digest import Digest
from layers.errors import InvalidError, LayersError, NotFoundError, RegistryError, VerificationError
from layers.frozen import frozen
from layers.image import Image, Index
from layers.jsonread import parse_object, strings
from layers.model import Descriptor
from layers.platform import Platform
from layers.registry.assemble import Document, assemble
from layers.registry.download import open_blob
from layers.registry.response import Response, clean, join, origin, public_url
from layers.registry.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from layers.image import Held, Reader
    from layers.registry.session import Session

T = TypeVar("T")
Name = str | Digest
"""What a manifest is asked for by: its tag or its digest."""

_KNOWN = (mediatype.OCI_INDEX, mediatype.OCI_MANIFEST, mediatype.DOCKER_INDEX, mediatype.DOCKER_MANIFEST)
_ACCEPT = ", ".join(_KNOWN) + ", */*;q=0.1"
_NEXT = re.compile(r'<([^>]*)>\s*(?:;[^,]*)?;\s*rel="?next"?')
_NO_HEAD = frozenset({405, 501})
_MAX_PAGES = 10_000


@frozen
class _Place:
    """Where a repository can be read: at its registry or at a mirror of it."""

    registry: str
    repository: str
    mirror: str = ""

    @property
    def scopes(self) -> tuple[str, ...]:
        return (f"repository:{self.repository}:pull",)

    @property
    def attempts(self) -> int | None:
        """One at a mirror: the registry behind it is the next attempt."""
        return 1 if self.mirror else None

    def path(self, kind: str, name: object) -> str:
        return f"/v2/{self.repository}/{kind}/{name}"


@frozen
class Repository:
    """A repository; holds nothing open itself, so that it can be kept and shared by threads."""

    session: Session
    registry: str
    repository: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}"

    def _named(self, name: Name) -> str:
        return f"{self}{'@' if isinstance(name, Digest) else ':'}{name}"

    def resolve(self, name: Name) -> Descriptor:
        """Give the descriptor of a manifest without fetching it, where the registry can say that much.

        Raises:
            NotFoundError: there is none of that name.
            AuthenticationError, RegistryError: the registry refuses or cannot be reached.
        """
        return self._read(lambda place: self._head(place, name)) or self.document(name).descriptor

    def _head(self, place: _Place, name: Name) -> Descriptor | None:
        with self._ask(place, "HEAD", "manifests", name, {"Accept": _ACCEPT}, expect=_NO_HEAD) as response:
            digest, size = _content_digest(response), response.length
            media_type = response.header("Content-Type").partition(";")[0].strip()
        if response.status in _NO_HEAD or digest is None or size is None or media_type not in _KNOWN:
            return None
        if isinstance(name, Digest) and digest != name:
            raise VerificationError(f"manifest in {self}", expected=name, actual=digest)
        return Descriptor(media_type, digest, size)

    def document(self, name: Name) -> Document:
        """Give a manifest or index as it is stored, verified against the digest asked for, or against the registry's.

        Raises:
            NotFoundError: there is none of that name.
            VerificationError: its bytes are not those of the digest.
            InvalidError: too large, no JSON, Docker's schema 1, or its type is not clear.
            AuthenticationError, RegistryError: the registry refuses or cannot be reached.
        """
        return self._read(lambda place: self._get(place, name))

    def manifest(self, name: Name) -> tuple[bytes, str]:
        """Give the bytes and the media type of a manifest or index; see :meth:`document`."""
        document = self.document(name)
        return document.content, document.media_type

    def _get(self, place: _Place, name: Name) -> Document:
        content, response = self.session.fetch(
            place.registry,
            place.path("manifests", name),
            what=self._named(name),
            scopes=place.scopes,
            headers={"Accept": _ACCEPT},
            attempts=place.attempts,
        )
        promised, media_type = _content_digest(response), response.header("Content-Type")
        for expected in (name if isinstance(name, Digest) else None, promised):
            if expected is not None and (actual := Digest.of(content, expected.algorithm)) != expected:
                raise VerificationError(f"manifest {name} of {self}", expected=expected, actual=actual)
        return Document.read(content, media_type, self._named(name))

    def get(self, name: Name) -> Image | Index:
        """Give the image or the index of a tag or digest; layers, and an index's images, are fetched when asked for.

        Raises:
            As :meth:`document`; InvalidError also where manifest and config contradict each other.
        """
        return assemble(self, self.document(name))

    def image(self, name: Name, platform: Platform | None = None) -> Image:
        """Give an image; out of an index the one for ``platform``, by default this machine's.

        Raises:
            As :meth:`get`; NotFoundError also where the index has nothing for the platform.
        """
        found = self.get(name)
        return found.image(platform or Platform.host()) if isinstance(found, Index) else found

    def open_blob(
        self, descriptor: Descriptor, report: Callable[[int], None] | None = None, held: Held | None = None
    ) -> AbstractContextManager[Reader]:
        """Open a blob: verified as it is read, and resumed where the connection breaks.

        Read to the end: a wrong byte is known only there. ``report`` is told the bytes so far. What is ``held`` of it
        already is verified with the rest, and only the rest is asked for and given.

        Raises:
            NotFoundError: there is no such blob.
            VerificationError: at once or by the reader, where size or digest are others, or the registry has no such
                rest.
            RegistryError: the registry refuses, or the connection broke each time.
        """
        return open_blob(descriptor, lambda offset: self._blob(descriptor, offset), self.session.settings, report, held)

    def _blob(self, descriptor: Descriptor, offset: int) -> Response:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        return self._read(lambda place: self._ask(place, "GET", "blobs", descriptor.digest, headers))

    def has_blob(self, digest: Digest, size: int) -> bool:
        """Tell whether the registry itself, not a mirror, has a blob of that many bytes in this repository."""
        scopes = (f"repository:{self.repository}:pull,push",)  # it is asked before a push: one token for both
        with self.session.request(
            self.registry,
            "HEAD",
            f"/v2/{self.repository}/blobs/{digest}",
            what=f"blob {digest}",
            scopes=scopes,
            expect=frozenset({200, 404}),
        ) as response:
            # one of another size is not this blob, whatever answers for it
            return response.status == 200 and response.length in {None, size}

    def upload_blob(
        self,
        descriptor: Descriptor,
        open_content: Callable[[], AbstractContextManager[Reader]],
        *,
        mount_from: str = "",
        report: Callable[[int], None] | None = None,
    ) -> bool:
        """Bring a blob here and tell whether it had to be sent.

        It is not sent where it is here already, or where the registry can mount it from its repository ``mount_from``.
        ``open_content`` is called again for each further attempt; ``report`` is told the bytes so far.

        Raises:
            VerificationError: the content is not what the descriptor says.
            AuthenticationError, RegistryError: the registry refuses, or the connection breaks each time.
        """
        if self.has_blob(descriptor.digest, descriptor.size):
            return False
        return Upload(self.session, self.registry, self.repository, descriptor, open_content, report).run(mount_from)

    def put_manifest(self, content: bytes, media_type: str, name: Name) -> Digest:
        """Store a manifest or index under a tag or its digest; its blobs and manifests must be there.

        Raises:
            VerificationError: the registry stored something else.
            AuthenticationError, RegistryError: the registry refuses.
        """
        digest = Digest.of(content)
        with self.session.request(
            self.registry,
            "PUT",
            f"/v2/{self.repository}/manifests/{name}",
            what=str(self),
            scopes=(f"repository:{self.repository}:pull,push",),
            expect=frozenset({200, 201, 202, 204}),
            headers={"Content-Type": media_type},
            body=content,
        ) as response:
            stored = _content_digest(response)
        if stored is None:  # not all registries say it; neither does a login page, which says 200 to everything
            stored = self._stored(name)
        if stored.algorithm == digest.algorithm and stored != digest:
            raise VerificationError(f"the manifest stored in {self}", expected=digest, actual=stored)
        return digest

    def _stored(self, name: Name) -> Digest:
        """Give the digest of what the registry itself, not a mirror, now has under a name."""
        place = _Place(self.registry, self.repository)
        try:
            found = self._head(place, name)
            return found.digest if found else self._get(place, name).descriptor.digest
        except NotFoundError as error:
            raise RegistryError(f"{self._named(name)} is not there, though the registry took it") from error

    def tags(self) -> Iterator[str]:
        """Give the tags in the registry's order, page by page.

        Raises:
            NotFoundError: there is no such repository.
            InvalidError: the answer is no list of tags.
            AuthenticationError, RegistryError: the registry refuses or cannot be reached.
        """
        target = f"/v2/{self.repository}/tags/list"
        for content in self._pages(target):
            yield from strings(parse_object(content, f"the tags of {self}"), "tags", f"the tags of {self}") or ()

    def _pages(self, target: str) -> Iterator[bytes]:
        """Give the bodies of a list and of its next pages."""
        seen: set[str] = set()
        while target and target not in seen and len(seen) < _MAX_PAGES:
            seen.add(target)
            scopes = (f"repository:{self.repository}:pull",)
            content, response = self.session.fetch(self.registry, target, what=str(self), scopes=scopes)
            yield content
            target = next_page(response)

    def delete(self, name: Name) -> None:
        """Delete a manifest by its digest, and so every tag of it; or one tag, where the registry can.

        Raises:
            NotFoundError: there is none of that name.
            AuthenticationError, RegistryError: the registry refuses; many do not delete.
        """
        self._delete("manifests", name)

    def delete_blob(self, digest: Digest) -> None:
        """Delete a blob from this repository.

        Raises:
            As :meth:`delete`.
        """
        self._delete("blobs", digest)

    def _delete(self, kind: str, name: Name) -> None:
        self.session.request(
            self.registry,
            "DELETE",
            f"/v2/{self.repository}/{kind}/{name}",
            what=self._named(name),
            scopes=(f"repository:{self.repository}:delete,pull,push",),
            expect=frozenset({200, 202, 204}),
        ).close()

    def _ask(
        self,
        place: _Place,
        method: str,
        kind: str,
        name: Name,
        headers: dict[str, str],
        *,
        expect: frozenset[int] = frozenset(),
    ) -> Response:
        return self.session.request(
            place.registry,
            method,
            place.path(kind, name),
            what=self._named(name),
            scopes=place.scopes,
            expect=expect | ({200, 206} if "Range" in headers else {200}),
            headers=headers,
            attempts=place.attempts,
        )

    def _read(self, ask: Callable[[_Place], T]) -> T:
        """Ask the mirrors, then the registry; what goes wrong at a mirror is no error."""
        for mirror in self.session.mirrors(self.registry):
            host, slash, prefix = mirror.partition("/")
            try:
                return ask(_Place(host, prefix.strip("/") + slash + self.repository, mirror))
            except NotFoundError:
                continue
            except RegistryError as error:
                if error.status is None:
                    self.session.mirror_failed(mirror)
            except LayersError:
                continue
        return ask(_Place(self.registry, self.repository))


def next_page(response: Response) -> str:
    """Give the URL of a list's next page; ``""`` at the end.

    Raises:
        RegistryError: it is not at the same registry.
    """
    found = _NEXT.search(response.header("Link"))
    if found is None:
        return ""
    target = join(response.url, found[1])
    if origin(target) != origin(response.url):
        raise RegistryError(f"GET {public_url(response.url)}: the next page is elsewhere, at {public_url(target)}")
    return target


def _content_digest(response: Response) -> Digest | None:
    text = response.header("Docker-Content-Digest")
    if not text:
        return None
    try:
        return Digest.parse(text)
    except InvalidError as error:
        raise RegistryError(f"{public_url(response.url)}: Docker-Content-Digest is {clean(text, 90)!r}") from error
