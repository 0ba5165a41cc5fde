"""What --output says."""

from __future__ import annotations

import pytest

from builder.errors import ExportError
from builder.export.exporter import Output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out", Output("local", "out")),
        ("-", Output("tar", "-")),
        ("type=docker,dest=a.tar", Output("docker", "a.tar")),
        ("type=oci,dest=a,tar=false", Output("oci", "a", archive=False)),
        ("type=registry", Output("registry", push=True)),
        ("type=image,push=true", Output("image", push=True)),
        ("type=image,name=a", Output("image", names=("a",))),
        ('type=image,"name=a,b"', Output("image", names=("a", "b"))),
        ("type=oci,compression=zstd,compression-level=9", Output("oci", compression="zstd", level=9)),
        ("type=docker,compression=uncompressed", Output("docker", compression="none")),
        ("type=docker,oci-mediatypes=false", Output("docker", oci_media_types=False)),
        ("type=oci,force-compression=1,rewrite-timestamp", None),
    ],
)
def test_an_output_is_read_as_buildx_reads_it(text: str, expected: Output | None) -> None:
    if expected is None:
        with pytest.raises(ExportError, match="no key=value"):
            Output.parse(text)
        return
    assert expected == Output.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "type=nothing",
        "type=docker,compression=lzma",
        "type=local",
        "type=docker,compression-level=x",
        "type=docker,unknown=1",
        "type=docker,tar=perhaps",
        "dest=a",
    ],
)
def test_what_does_not_fit_is_refused_and_named(text: str) -> None:
    with pytest.raises(ExportError) as caught:
        Output.parse(text)
    assert text in caught.value.message
