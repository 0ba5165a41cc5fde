"""ImageConfig: read whatever builders write, written as BuildKit does, nothing lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from layers.config import ContainerConfig, Healthcheck, History, ImageConfig, chain_ids
from layers.digest import Digest
from layers.errors import InvalidError
from layers.platform import Platform

A, B, C = (Digest.of(each) for each in (b"a", b"b", b"c"))
DOCUMENT: dict[str, Any] = {
    "architecture": "arm",
    "author": "me",
    "config": {
        "User": "app",
        "ExposedPorts": {"443/tcp": {}, "80/tcp": {}},
        "Env": ["A=1", "PATH=/bin"],
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "true"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/data",
        "Labels": {"a": "b"},
        "StopSignal": "SIGINT",
        "ArgsEscaped": True,
        "Healthcheck": {
            "Test": ["CMD", "true"],
            "Interval": 10**9,
            "Timeout": 2,
            "StartPeriod": 3,
            "StartInterval": 4,
            "Retries": 5,
            "Unknown": [1],
        },
        "OnBuild": ["RUN true"],
        "Shell": ["/bin/sh", "-c"],
        "Unknown": {"x": 1},
    },
    "created": "2024-01-01T00:00:00Z",
    "history": [
        {"created": "2024-01-01T00:00:00Z", "created_by": "COPY", "author": "me", "comment": "c"},
        {"created_by": "ENV", "empty_layer": True, "future": 1},
    ],
    "moby.buildkit.cache.v0": "eA==",
    "os": "linux",
    "os.features": ["f"],
    "os.version": "1",
    "rootfs": {"type": "layers", "diff_ids": [str(A)]},
    "variant": "v7",
}


def test_a_config_comes_back_as_it_was_read() -> None:
    assert DOCUMENT == json.loads(ImageConfig.from_bytes(json.dumps(DOCUMENT).encode()).to_bytes())


def test_the_bytes_are_compact_and_the_keys_of_the_document_sorted() -> None:
    content = ImageConfig.from_bytes(json.dumps(dict(reversed(DOCUMENT.items()))).encode()).to_bytes()

    assert json.dumps(DOCUMENT, separators=(",", ":")).encode() == content


def test_what_is_empty_is_left_out() -> None:
    expected = b'{"architecture":"amd64","config":{},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'

    assert expected == ImageConfig(Platform("linux", "amd64")).to_bytes()


def test_a_config_without_anything_is_one_for_linux_on_this_machine() -> None:
    config = ImageConfig.from_bytes(b"{}")

    assert ImageConfig(Platform("linux", Platform.host().architecture, Platform.host().variant)) == config


def test_null_is_nothing() -> None:
    """Go writes null for what was never set."""
    content = b'{"config": {"Env": null, "Cmd": null, "Labels": null, "Healthcheck": null}, "rootfs": null}'

    assert ContainerConfig() == ImageConfig.from_bytes(content).config


def test_a_platform_is_brought_into_normal_form() -> None:
    content = json.dumps({"os": "Linux", "architecture": "aarch64", "variant": "v8"}).encode()

    assert Platform("linux", "arm64") == ImageConfig.from_bytes(content).platform


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"rootfs": []}, r"config\.rootfs is a list"),
        ({"config": {"WorkingDir": "/a\0b"}}, r"config\.config\.WorkingDir has a NUL"),
        ({"config": {"Env": ["A=/\0b"]}}, r"config\.config\.Env has a NUL"),
        ({"rootfs": {"diff_ids": [1]}}, r"config\.rootfs\.diff_ids\[0\] is a int"),
        ({"rootfs": {"diff_ids": ["x"]}}, "not a digest"),
        ({"history": {}}, r"config\.history is a dict"),
        ({"history": [None]}, r"config\.history\[0\] is a NoneType, not an object"),
        ({"history": [{"empty_layer": 1}]}, r"config\.history\[0\]\.empty_layer is a int"),
        ({"config": {"Env": "A=1"}}, r"config\.config\.Env is a str"),
        ({"config": {"Labels": {"a": None}}}, r"config\.config\.Labels\.a is a NoneType"),
        ({"config": {"Healthcheck": {"Interval": "1s"}}}, r"config\.config\.Healthcheck\.Interval is a str"),
        ({"config": {"Healthcheck": {"Test": "x"}}}, r"config\.config\.Healthcheck\.Test is a str"),
        ({"created": 1}, r"config\.created is a int"),
        ({"architecture": []}, r"config\.architecture is a list"),
    ],
)
def test_a_broken_config_is_an_error_that_names_the_path(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        ImageConfig.from_bytes(json.dumps(document).encode())


def test_ports_volumes_and_labels_are_written_sorted() -> None:
    config = ContainerConfig(exposed_ports=("90/tcp", "80/tcp"), volumes=("/b", "/a"), labels={"b": "1", "a": "2"})

    found = config.to_json()

    assert [["80/tcp", "90/tcp"], ["/a", "/b"], ["a", "b"]] == [
        list(found[key]) for key in ("ExposedPorts", "Volumes", "Labels")
    ]


def test_a_healthcheck_of_none_is_kept() -> None:
    config = ContainerConfig(healthcheck=Healthcheck(("NONE",)))

    assert {"Healthcheck": {"Test": ["NONE"]}} == config.to_json()


def test_history_knows_what_made_no_layer() -> None:
    assert {"created_by": "ENV", "empty_layer": True} == History(created_by="ENV", empty_layer=True).to_json()


def test_chain_ids_name_every_stack_of_layers() -> None:
    """config.md, "Layer ChainID": ChainID(A, B, C) = Digest(ChainID(A, B) + " " + C)."""
    ab = Digest.of(f"{A} {B}".encode())

    assert (A, ab, Digest.of(f"{ab} {C}".encode())) == chain_ids((A, B, C))
    assert () == chain_ids(())
