"""What a registry answers to those who pull and list.

Spec: distribution-spec/spec.md, "Pull" and "Content Discovery"; RFC 9110, sections 12.5.1, 13 and 14.
"""

from __future__ import annotations

import bisect
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from layers import mediatype
from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError
from layers.image import Image, Index, load, read_document
from layers.jsonread import parse_object
from layers.platform import Platform
from layers.serving import names
from layers.serving.catalogue import document_type
from layers.serving.messages import FilePart, Response, json_response
from layers.serving.refusal import RefusalError, unknown_manifest
from layers.store.files import disk_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layers.model import Descriptor
    from layers.serving.catalogue import Catalogue
    from layers.serving.messages import Request
    from layers.store.layout import Layout

_NEVER = re.compile(r"\bq=0(?:\.0*)?\s*(?:;|$)")
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")


class Reading:
    """The requests that change nothing; a method for each kind."""

    def __init__(self, layout: Layout, catalogue: Catalogue) -> None:
        self._layout = layout
        self._catalogue = catalogue

    def version(self, request: Request) -> Response:  # noqa: ARG002 - all are called alike
        """``/v2/``: say that this is a registry."""
        return json_response({})

    def repositories(self, request: Request) -> Response:
        """``/v2/_catalog``: list the repositories."""
        return _page(request, "repositories", sorted(self._catalogue.listing().repositories), {})

    def tags(self, request: Request, name: str) -> Response:
        """``/v2/<name>/tags/list``: list a repository's tags."""
        repository = self._served(name)
        found = self._catalogue.listing().repositories.get(repository)
        if found is None:
            raise RefusalError(404, "NAME_UNKNOWN", f"nothing in the store is called {name}")
        return _page(request, "tags", sorted(found.tags), {"name": name})

    def referrers(self, request: Request, name: str, digest: str) -> Response:
        """``/v2/<name>/referrers/<digest>``: list what has this manifest as its subject."""
        found = self._catalogue.referrers(self._served(name), names.digest(digest))
        headers = {"Content-Type": mediatype.OCI_INDEX}
        if wanted := request.parameter("artifactType"):
            found = [each for each in found if each.get("artifactType") == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        return json_response({"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": found}, headers)

    def manifest(self, request: Request, name: str, reference: str) -> Response:
        """``/v2/<name>/manifests/<reference>``: give a manifest or index, byte for byte."""
        repository, target = self._served(name), names.tag_or_digest(reference)
        if isinstance(target, Digest):
            descriptor = self._catalogue.find(repository, target)
        else:
            found = self._catalogue.listing().repositories.get(repository)
            descriptor = found.tags.get(target) if found else None
        if descriptor is None:
            raise unknown_manifest(f"nothing in the store is called {name}, {reference}")
        try:
            content = read_document(self._layout.blobs, descriptor)
            media_type = document_type(parse_object(content, "manifest"))
            accepts = request.headers.get_all("Accept") or ()
            if not isinstance(target, Digest) and not _accepted(media_type, accepts):
                descriptor, content, media_type = self._other(descriptor, media_type, accepts)
        except NotFoundError:  # listed by an index that was pulled in part, or collected just now
            raise unknown_manifest(f"{reference} is not in the store") from None
        except InvalidError as error:
            raise unknown_manifest(f"{reference} cannot be read: {error.message}") from None
        headers = _named(descriptor.digest) | {"Content-Type": media_type}
        if _is_known(request, descriptor.digest):
            return Response(304, headers)
        return Response(200, headers, content)

    def _other(self, descriptor: Descriptor, media_type: str, accepts: Sequence[str]) -> tuple[Descriptor, bytes, str]:
        """Give in place of an index its image for this machine, to who knows no indexes; nothing else is converted.

        Raises:
            RefusalError: the client knows no such image either.
        """
        found = load(self._layout.blobs, descriptor)
        if isinstance(found, Index):
            image: Image | Index = found.image(Platform.host())
            if isinstance(image, Image) and _accepted(image.manifest.media_type, accepts):
                return image.descriptor, image.manifest_bytes, image.manifest.media_type
        raise unknown_manifest(f"the manifest is of type {media_type}, which the request does not accept")

    def blob(self, request: Request, name: str, digest: str) -> Response:
        """``/v2/<name>/blobs/<digest>``: give a blob, or a range of it; the store has one set of them for all names."""
        self._served(name)
        wanted = names.digest(digest)
        path = self._layout.blobs.path(wanted)
        with disk_errors("read", path):
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise RefusalError(404, "BLOB_UNKNOWN", f"no blob {wanted} is in the store") from None
        part = FilePart(file, 0, 0)
        try:
            with disk_errors("read", path):
                size = os.fstat(file).st_size
            headers = _named(wanted) | {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
            if _is_known(request, wanted):
                part.close()
                return Response(304, headers)
            part.start, part.count = _range(request, wanted, size)
        except BaseException:
            part.close()
            raise
        if part.count == size:
            return Response(200, headers, part)
        last = part.start + part.count - 1
        return Response(206, headers | {"Content-Range": f"bytes {part.start}-{last}/{size}"}, part)

    def _served(self, name: str) -> str:
        return names.repository(name).familiar_name


def _named(digest: Digest) -> dict[str, str]:
    return {"Docker-Content-Digest": str(digest), "ETag": f'"{digest}"'}


def _is_known(request: Request, digest: Digest) -> bool:
    """Tell whether the client has this already (If-None-Match)."""
    known = [each.strip() for value in request.headers.get_all("If-None-Match") or () for each in value.split(",")]
    return any(each.removeprefix("W/").strip('"') in {str(digest), "*"} for each in known)


def _accepted(media_type: str, accepts: Sequence[str]) -> bool:
    """Tell whether a client takes a type: one that says nothing, or only that it is JSON, takes all."""
    given = [each.partition(";") for each in ",".join(accepts).split(",") if each.strip()]
    known = {kind.strip().lower() for kind, _, parameters in given if not _NEVER.search(parameters)}
    return not given or not known.isdisjoint({media_type, "*/*", "application/*", "application/json"})


def _range(request: Request, digest: Digest, size: int) -> tuple[int, int]:
    """Give where the wanted bytes begin, and how many they are; all, where the request asks for no one range.

    Raises:
        RefusalError: there are no such bytes.
    """
    found = _RANGE.fullmatch((request.headers.get("Range") or "").strip())
    condition = request.headers.get("If-Range")
    if found is None or (condition and condition.strip().strip('"') != str(digest)):
        return 0, size
    if found[3]:
        start, end = max(0, size - int(found[3])), size - 1
    else:
        start, end = int(found[1]), min(int(found[2] or size), size - 1)
    if start > end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise RefusalError(416, "SIZE_INVALID", f"the blob has {size} bytes", headers=headers)
    return start, end - start + 1


def _page(request: Request, key: str, entries: list[str], document: dict[str, str]) -> Response:
    """Give one page of a sorted list, and with ``Link`` where the next one begins."""
    count, last = request.parameter("n"), request.parameter("last")
    if count and not re.fullmatch(r"[0-9]{1,9}", count):
        raise RefusalError(400, "PAGINATION_NUMBER_INVALID", f"invalid n {count[:40]!r}")
    if last:
        entries = entries[bisect.bisect_right(entries, last) :]
    headers = {}
    if count:
        rest = entries[int(count) :]
        entries = entries[: int(count)]
        if rest and entries:
            query = urlencode({"n": count, "last": entries[-1]})
            headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    return json_response({**document, key: entries}, headers)
