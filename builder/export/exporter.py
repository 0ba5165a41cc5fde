"""Where a finished image goes, and how it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from builder.errors import ExportError
from layers.frozen import frozen
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layers.image import Image
    from layers.mediatype import Compression

OutputKind = Literal["image", "registry", "docker", "oci", "local", "tar"]
_KINDS: dict[str, OutputKind] = {
    "image": "image",
    "registry": "registry",
    "docker": "docker",
    "oci": "oci",
    "local": "local",
    "tar": "tar",
}
_COMPRESSIONS: dict[str, Compression] = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "none"}


@frozen
class Output:
    """One ``--output``, as it was asked for."""

    kind: OutputKind
    destination: str = ""
    """A path, ``-`` for standard output, or ``""`` where the kind needs none."""
    names: tuple[str, ...] = ()
    """``name=``: what to call the image there, in place of ``--tag``."""
    compression: Compression | None = None
    level: int | None = None
    force_compression: bool = False
    """Whether layers of the base are compressed anew as well."""
    oci_media_types: bool = True
    push: bool = False
    archive: bool = True
    """``tar=false`` writes an OCI layout as a directory."""
    rewrite_timestamp: bool = False

    def named(self, names: Sequence[Reference]) -> list[Reference]:
        """Give the names that the image has here: those of ``--tag`` and those of ``name=``.

        Raises:
            InvalidError: one of the latter is no name.
        """
        return list(dict.fromkeys([*names, *(Reference.parse(name) for name in self.names)]))

    @classmethod
    def parse(cls, text: str) -> Output:
        """Read ``type=docker,dest=image.tar``, a directory, or ``-`` for a tar of the file system.

        Raises:
            ExportError: an unknown type or attribute, or a value that does not fit.
        """
        if text == "-":
            return cls("tar", "-")
        if "=" not in text.split(",", 1)[0]:
            return cls("local", text)
        attributes: dict[str, str] = {}
        for part in _fields(text):
            key, equals, value = part.partition("=")
            if not equals:
                raise ExportError(f"invalid output {text!r}: {part!r} is no key=value")
            attributes[key.strip().lower()] = value
        return _from_attributes(cls, text, attributes)


class Exporter(Protocol):
    """Takes a finished image somewhere."""

    @property
    def title(self) -> str:
        """What progress calls it: ``exporting to docker image format``."""

    def export(self, image: Image, names: Sequence[Reference]) -> None:
        """Bring the image there under these names.

        Raises:
            ExportError: it cannot be brought there; nothing half-written stays.
            LayersError: the image, its store or a registry gave way.
        """


def _fields(text: str) -> list[str]:
    """Split at commas as CSV does: a field in double quotes may hold commas."""
    fields, current, quoted = [], "", False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            fields.append(current)
            current = ""
        else:
            current += character
    return [*fields, current]


def _from_attributes(make: type[Output], text: str, attributes: dict[str, str]) -> Output:
    kind = _KINDS.get(attributes.pop("type", ""))
    if kind is None:
        hint = f"the types are {', '.join(_KINDS)}"
        raise ExportError(f"invalid output {text!r}: no known type", hint=hint)
    compression = attributes.pop("compression", None)
    if compression is not None and compression not in _COMPRESSIONS:
        hint = f"the compressions are {', '.join(_COMPRESSIONS)}"
        raise ExportError(f"invalid output {text!r}: unknown compression {compression!r}", hint=hint)
    destination = attributes.pop("dest", "")
    if kind == "local" and not destination:
        raise ExportError(f"invalid output {text!r}: type=local needs dest=DIRECTORY")
    level = attributes.pop("compression-level", None)
    if level is not None and not level.isdecimal():
        raise ExportError(f"invalid output {text!r}: compression-level is no number: {level!r}")
    names = attributes.pop("name", "")
    output = make(
        kind,
        destination,
        tuple(name for name in names.split(",") if name),
        _COMPRESSIONS[compression] if compression else None,
        int(level) if level is not None else None,
        force_compression=_flag(text, attributes, "force-compression", default=False),
        oci_media_types=_flag(text, attributes, "oci-mediatypes", default=True),
        push=_flag(text, attributes, "push", default=kind == "registry"),
        archive=_flag(text, attributes, "tar", default=True),
        rewrite_timestamp=_flag(text, attributes, "rewrite-timestamp", default=False),
    )
    if attributes:
        raise ExportError(f"invalid output {text!r}: unknown attribute {next(iter(attributes))!r}")
    return output


def _flag(text: str, attributes: dict[str, str], name: str, *, default: bool) -> bool:
    value = attributes.pop(name, None)
    if value is None:
        return default
    if value.lower() not in {"true", "false", "1", "0", ""}:
        raise ExportError(f"invalid output {text!r}: {name} is true or false, not {value!r}")
    return value.lower() in {"true", "1", ""}
