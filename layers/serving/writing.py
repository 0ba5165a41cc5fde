"""What a registry does for those who push and delete.

Spec: distribution-spec/spec.md, "Push" and "Content Management".
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from layers.digest import Digest
from layers.errors import StoreError
from layers.model import Descriptor
from layers.serving import names
from layers.serving.messages import Response
from layers.serving.pushed import check
from layers.serving.refusal import RefusalError, unknown_manifest, unsupported
from layers.serving.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.reference import Reference
    from layers.serving.catalogue import Catalogue
    from layers.serving.lease import Lease
    from layers.serving.messages import Request
    from layers.serving.pushed import Pushed
    from layers.serving.settings import Settings
    from layers.serving.uploads import Source, Upload
    from layers.store.layout import Layout

_CHUNK = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?")
_ALGORITHMS = ("sha256", "sha384", "sha512")
_MAX_TAGS = 20


class Writing:
    """The requests that change something; a method for each kind."""

    def __init__(self, layout: Layout, catalogue: Catalogue, lease: Lease, settings: Settings) -> None:
        self._layout = layout
        self._catalogue = catalogue
        self._lease = lease
        self._max_manifest = settings.max_manifest
        self._upload_idle = settings.upload_idle
        self._uploads = Uploads(layout.blobs, settings.max_uploads)
        self._guard = threading.Lock()
        self._by_digest: dict[tuple[str, Digest], Reference] = {}
        """Names by digest that pushes made: they go when an index of their repository leads to what they name."""

    # Blobs

    def begin(self, request: Request, name: str) -> Response:
        """``POST /v2/<name>/blobs/uploads/``: begin an upload; or bring all of it, or have no need to."""
        names.repository(name)
        mount, digest = request.parameter("mount"), request.parameter("digest")
        algorithm = request.parameter("digest-algorithm") or "sha256"
        if algorithm not in _ALGORITHMS:
            raise RefusalError(400, "DIGEST_INVALID", f"unknown algorithm {algorithm[:40]!r}")
        with self._lease.working():
            if mount:
                wanted = names.digest(mount)
                if self._layout.blobs.has(wanted):
                    self._lease.expect(wanted)
                    return _created(name, wanted)
                algorithm = wanted.algorithm
            elif digest:
                algorithm = names.digest(digest).algorithm
            upload = self._uploads.begin(name, algorithm)
            self._lease.expect(upload.id, for_ever=True)
            if digest and not mount:
                with self._uploads.at(name, upload.id), self._ending(upload):
                    upload.append(request.body)
                    return self._finish(upload, name, names.digest(digest))
            return Response(202, _state(name, upload))

    def append(self, request: Request, name: str, id_: str) -> Response:
        """``PATCH /v2/<name>/blobs/uploads/<id>``: bring more of a blob."""
        with self._lease.working(), self._uploads.at(name, id_) as upload:
            _check_place(request, name, upload)
            try:
                upload.append(request.body)
            except StoreError:  # what the disk has of it is not what was hashed
                self._end(upload)
                raise
            return Response(202, _state(name, upload))

    def finish(self, request: Request, name: str, id_: str) -> Response:
        """``PUT /v2/<name>/blobs/uploads/<id>?digest=<digest>``: bring the rest of a blob, and say what it is."""
        digest = names.digest(request.parameter("digest"))
        with self._lease.working(), self._uploads.at(name, id_) as upload:
            _check_place(request, name, upload)
            with self._ending(upload):
                upload.append(request.body)
                return self._finish(upload, name, digest)

    def _finish(self, upload: Upload, name: str, digest: Digest) -> Response:
        upload.finish(digest)
        self._lease.expect(digest)
        return _created(name, digest)

    @contextmanager
    def _ending(self, upload: Upload) -> Iterator[None]:
        """Forget an upload in the end, however it ends."""
        try:
            yield
        finally:
            self._end(upload)

    def _end(self, upload: Upload) -> None:
        self._uploads.end(upload)
        self._lease.settled([upload.id])

    def status(self, request: Request, name: str, id_: str) -> Response:  # noqa: ARG002 - all are called alike
        """``GET /v2/<name>/blobs/uploads/<id>``: say how much of a blob has come."""
        with self._uploads.at(name, id_) as upload:
            return Response(204, _state(name, upload))

    def cancel(self, request: Request, name: str, id_: str) -> Response:  # noqa: ARG002 - likewise
        """``DELETE /v2/<name>/blobs/uploads/<id>``: forget an upload."""
        with self._uploads.at(name, id_) as upload, self._ending(upload):
            return Response(204)

    @contextmanager
    def relied_on(self, digest: Digest) -> Iterator[None]:
        """Keep a blob that somebody is told of in this block: it may be about to be named."""
        with self._lease.working():
            yield
            self._lease.expect(digest)

    def delete_blob(self, request: Request, name: str, digest: str) -> Response:  # noqa: ARG002 - likewise
        """``DELETE /v2/<name>/blobs/<digest>``: refuse, since other names may need it; a prune knows."""
        raise unsupported("blobs are not deleted one by one: pybuild image prune deletes what nothing needs")

    # Manifests

    def put_manifest(self, request: Request, name: str, reference: str) -> Response:
        """``PUT /v2/<name>/manifests/<reference>``: give a name to a manifest that is complete."""
        repository, target = names.repository(name), names.tag_or_digest(reference)
        content = self._document(request.body)
        digest = target if isinstance(target, Digest) else Digest.of(content)
        if digest != Digest.of(content, digest.algorithm):
            raise RefusalError(400, "DIGEST_INVALID", f"the manifest is not {digest}")
        tags = [target] if isinstance(target, str) else _tags(request)
        with self._lease.working():
            pushed = check(self._layout, content, request.headers.get("Content-Type") or "")
            self._store(content, digest)
            descriptor = Descriptor(pushed.media_type, digest, len(content), platform=pushed.platform)
            for tag in tags:
                self._layout.tag(replace(repository, tag=tag), descriptor)
            if not tags:
                self._name_by_digest(repository, descriptor)
            self._lease.settled(pushed.needs | {digest})
            self._drop_listed(repository, pushed)
        headers = {"Location": f"/v2/{name}/manifests/{reference}", "Docker-Content-Digest": str(digest)}
        if pushed.subject is not None:
            headers["OCI-Subject"] = str(pushed.subject)
        if tags and isinstance(target, Digest):
            headers["OCI-Tag"] = ", ".join(tags)
        return Response(201, headers)

    def _document(self, body: Source) -> bytes:
        """Read a manifest into memory, as all of it is needed."""
        parts, size = [], 0
        while data := body.read(1 << 16):
            parts.append(data)
            size += len(data)
            if size > self._max_manifest:
                raise RefusalError(413, "MANIFEST_INVALID", f"a manifest has at most {self._max_manifest} bytes")
        return b"".join(parts)

    def _store(self, content: bytes, digest: Digest) -> None:
        if not self._layout.blobs.has(digest, len(content)):
            with self._layout.blobs.write(hashing=False) as writer:
                writer.write(content)
                writer.commit(digest)

    def _name_by_digest(self, repository: Reference, descriptor: Descriptor) -> None:
        """Keep a manifest that has no tag, unless it belongs to the repository already."""
        if self._catalogue.find(repository.familiar_name, descriptor.digest) is None:
            name = replace(repository, digest=descriptor.digest)
            self._layout.tag(name, descriptor)
            with self._guard:
                self._by_digest[repository.name, descriptor.digest] = name

    def _drop_listed(self, repository: Reference, pushed: Pushed) -> None:
        for digest in pushed.lists:
            with self._guard:
                name = self._by_digest.pop((repository.name, digest), None)
            if name is not None:
                self._untag(name)

    def _untag(self, name: Reference) -> None:
        if name in dict(self._layout.names()):
            self._layout.untag(name)

    def delete_manifest(self, request: Request, name: str, reference: str) -> Response:  # noqa: ARG002 - likewise
        """``DELETE /v2/<name>/manifests/<reference>``: take a tag away, or a manifest out of a repository.

        A manifest that loses its last tag stays, without a name, until it is pruned or deleted by its digest.
        """
        repository, target = names.repository(name).familiar_name, names.tag_or_digest(reference)
        with self._lease.working():
            found = self._catalogue.listing().repositories.get(repository)
            doomed = [
                (known, descriptor)
                for known, descriptor in (found.names if found else [])
                if (known.tag == target if isinstance(target, str) else descriptor.digest == target)
            ]
            if isinstance(target, Digest):
                self._delete(repository, target, [known for known, _ in doomed])
            elif not doomed:
                raise unknown_manifest(f"nothing in the store is called {name}, {reference}")
            else:
                for known, descriptor in doomed:
                    self._untag(known)
                    if not any(descriptor.digest == each.digest for _, each in self._layout.names()):
                        self._layout.keep(descriptor)
        return Response(202)

    def _delete(self, repository: str, digest: Digest, doomed: list[Reference]) -> None:
        nameless = any(each.digest == digest for each in self._catalogue.listing().nameless)
        if not doomed and not nameless:
            if self._catalogue.find(repository, digest) is None:
                raise unknown_manifest(f"{digest} is not in this repository")
            raise unsupported(f"{digest} is one image of an index: delete the index")
        for name in doomed:
            self._untag(name)
        if nameless:
            self._layout.forget(digest)

    # From time to time

    def expire(self) -> None:
        """Forget uploads and pushes that nobody goes on with."""
        self._lease.settled(self._uploads.expire(self._upload_idle))
        self._lease.expire()

    def close(self) -> None:
        """Forget all uploads and pushes; no request is at work any more."""
        self._uploads.close()
        self._lease.close()


def _state(name: str, upload: Upload) -> dict[str, str]:
    """Say where to go on with an upload, and from which byte; the first byte's number stands for none as well."""
    location = f"/v2/{name}/blobs/uploads/{upload.id}"
    return {"Location": location, "Range": f"0-{max(0, upload.size - 1)}", "Docker-Upload-UUID": upload.id}


def _created(name: str, digest: Digest) -> Response:
    return Response(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": str(digest)})


def _check_place(request: Request, name: str, upload: Upload) -> None:
    """Refuse a chunk that does not follow on what has come."""
    given = request.headers.get("Content-Range")
    if given is None:
        return
    found = _CHUNK.fullmatch(given.strip())
    if found is None or int(found[1]) != upload.size or int(found[2]) < int(found[1]):
        message = f"the next byte is number {upload.size}"
        raise RefusalError(416, "BLOB_UPLOAD_INVALID", message, headers=_state(name, upload))


def _tags(request: Request) -> list[str]:
    """Give the tags that a push by digest asks for."""
    found = [names.tag_or_digest(each) for each in request.query.get("tag", ())]
    tags = [each for each in found if isinstance(each, str)]
    if len(tags) != len(found) or len(tags) > _MAX_TAGS:
        raise RefusalError(400, "MANIFEST_INVALID", f"tag= names at most {_MAX_TAGS} tags")
    return tags
