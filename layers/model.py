"""The JSON documents of an image, as frozen values.

Reading keeps what it does not know in ``extra``, so that read-then-write loses nothing. Writing gives the bytes that
BuildKit would: keys in its order, configs compact, manifests and indexes indented.

Spec: image-spec/descriptor.md, manifest.md, image-index.md, config.md.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from layers import mediatype
from layers.digest import Digest
from layers.errors import InvalidError
from layers.frozen import frozen
from layers.jsonread import dump, get, parse_object, require, string_map, strings, without
from layers.platform import Platform, normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

JsonObject = dict[str, Any]


def _set(target: JsonObject, **values: Any) -> None:
    """Set what is not empty: Go's ``omitempty``."""
    target.update({key: value for key, value in values.items() if value})


@frozen
class Descriptor:
    """What content is, how it is named and how many bytes it has. Spec: descriptor.md."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    _KNOWN: ClassVar = frozenset({"mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType"})

    @classmethod
    def from_json(cls, source: JsonObject, where: str) -> Self:
        """Read a descriptor found at ``where``.

        Raises:
            InvalidError: a field is missing, of another type, or out of range.
        """
        size = require(source, int, "size", where)
        if not 0 <= size < 1 << 63:
            raise InvalidError(f"{where}.size is not the size of anything: {size}")
        platform = get(source, dict, "platform", where)
        return cls(
            get(source, str, "mediaType", where) or "",
            Digest.parse(require(source, str, "digest", where)),
            size,
            strings(source, "urls", where) or (),
            string_map(source, "annotations", where) or {},
            _read_platform(platform, f"{where}.platform") if platform is not None else None,
            get(source, str, "artifactType", where) or "",
            without(source, cls._KNOWN),
        )

    def to_json(self) -> JsonObject:
        """Give the JSON object, keys in the order of the spec's Go structure."""
        result: JsonObject = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        platform = _write_platform(self.platform) if self.platform else None
        _set(result, urls=list(self.urls), annotations=dict(sorted(self.annotations.items())), platform=platform)
        _set(result, artifactType=self.artifact_type)
        return {**result, **self.extra}


def _read_platform(source: JsonObject, where: str) -> Platform:
    return normalise(
        require(source, str, "os", where),
        require(source, str, "architecture", where),
        get(source, str, "variant", where) or "",
        get(source, str, "os.version", where) or "",
        strings(source, "os.features", where) or (),
    )


def _write_platform(platform: Platform) -> JsonObject:
    result: JsonObject = {"architecture": platform.architecture, "os": platform.os}
    _set(result, **{"os.version": platform.os_version, "os.features": list(platform.os_features)})
    _set(result, variant=platform.variant)
    return result


@frozen
class Manifest:
    """The config and the layers of one image, oldest layer first. Spec: manifest.md."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = mediatype.OCI_MANIFEST
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    subject: Descriptor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    _KNOWN: ClassVar = frozenset(
        {"schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"},
    )

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read a manifest of OCI or of Docker's schema 2.

        Raises:
            InvalidError: no JSON, an index, Docker's schema 1, or a field of another type.
        """
        source = parse_object(content, "manifest")
        if source.get("schemaVersion") == 1:
            raise InvalidError(
                "manifest has Docker's schema 1, which holds no digests of its content",
                hint="push the image again with a builder of this decade",
            )
        if "manifests" in source:
            raise InvalidError("manifest has a list of manifests: it is an index")
        layers = require(source, list, "layers", "manifest")
        subject = get(source, dict, "subject", "manifest")
        return cls(
            Descriptor.from_json(require(source, dict, "config", "manifest"), "manifest.config"),
            tuple(_descriptor(each, f"manifest.layers[{i}]") for i, each in enumerate(layers)),
            get(source, str, "mediaType", "manifest") or mediatype.OCI_MANIFEST,
            string_map(source, "annotations", "manifest") or {},
            get(source, str, "artifactType", "manifest") or "",
            Descriptor.from_json(subject, "manifest.subject") if subject else None,
            without(source, cls._KNOWN),
        )

    def to_bytes(self) -> bytes:
        """Give the document, indented by two spaces as BuildKit writes it."""
        result: JsonObject = {"schemaVersion": 2, "mediaType": self.media_type}
        _set(result, artifactType=self.artifact_type)
        result["config"] = self.config.to_json()
        result["layers"] = [layer.to_json() for layer in self.layers]
        _set(result, subject=self.subject.to_json() if self.subject else None)
        _set(result, annotations=dict(sorted(self.annotations.items())))
        return dump({**result, **self.extra}, indent=2)


@frozen
class IndexManifest:
    """A list of manifests, each for a platform. Spec: image-index.md."""

    manifests: tuple[Descriptor, ...]
    media_type: str = mediatype.OCI_INDEX
    annotations: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    _KNOWN: ClassVar = frozenset({"schemaVersion", "mediaType", "manifests", "annotations"})

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read an index of OCI or a manifest list of Docker.

        Raises:
            InvalidError: no JSON, no list of manifests, or a field of another type.
        """
        source = parse_object(content, "index")
        if "layers" in source or "config" in source:
            # a document that is both would be another image to another reader
            raise InvalidError("index has layers or a config: it is a manifest")
        manifests = get(source, list, "manifests", "index")
        return cls(
            tuple(_descriptor(each, f"index.manifests[{i}]") for i, each in enumerate(manifests or ())),
            get(source, str, "mediaType", "index") or mediatype.OCI_INDEX,
            string_map(source, "annotations", "index") or {},
            without(source, cls._KNOWN),
        )

    def to_bytes(self) -> bytes:
        """Give the document, indented by two spaces as BuildKit writes it."""
        result: JsonObject = {"schemaVersion": 2, "mediaType": self.media_type}
        result["manifests"] = [each.to_json() for each in self.manifests]
        _set(result, annotations=dict(sorted(self.annotations.items())))
        return dump({**result, **self.extra}, indent=2)


def _descriptor(source: object, where: str) -> Descriptor:
    if not isinstance(source, dict):
        raise InvalidError(f"{where} is a {type(source).__name__}, not an object")
    return Descriptor.from_json(source, where)
