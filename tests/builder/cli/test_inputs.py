"""Values of options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.cli import inputs
from builder.errors import BuildError
from builder.execute.secrets import Secret
from builder.runtime.runtime import Limit

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secret_is_a_file_or_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "a,b"
    file.write_text("x")
    environment = {"V": "value", "both": "1"}
    expected = {
        f'id=a,"src={file}"': Secret(file),
        f'type=file,id=a,"source={file}"': Secret(file),
        "id=a,env=V": Secret(value=b"value"),
        "id=a,type=env,src=V": Secret(value=b"value"),
    }
    for text, secret in expected.items():
        assert {"a": secret} == inputs.secrets([text], environment)
    assert {"V": Secret(value=b"value")} == inputs.secrets(["id=V"], environment)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("src=x", "no id"),
        ("id=a,type=tpm", "type is file or env"),
        ("id=a,colour=red", "unexpected 'colour'"),
        ("a", "unexpected 'a'"),
        ("id=a,env=ABSENT", "no environment variable ABSENT"),
        ("id=absent", "there is no file absent"),
        ('id=a,"src=', "quotes"),
    ],
)
def test_what_is_no_secret_is_refused(text: str, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        inputs.secrets([text], {})


def test_sizes_have_units_of_1024() -> None:
    texts = ["", "7", "64m", "1.5g", "2 KB", "1KiB", "3b"]

    assert [0, 7, 64 << 20, 3 << 29, 2048, 1024, 3] == [inputs.size(text, "--shm-size") for text in texts]


@pytest.mark.parametrize("text", ["m", "-1", "1x", "1" * 40, "1e3"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="invalid --shm-size"):
        inputs.size(text, "--shm-size")


def test_limits_have_one_number_or_two() -> None:
    found = inputs.limits(["nofile=10:20", "nproc=5", "core=-1", "nofile=30"])

    assert (Limit("nofile", 30, 30), Limit("nproc", 5, 5), Limit("core", -1, -1)) == found


@pytest.mark.parametrize(
    "text", ["nofile", "nofile=", "nofile=2:1", "nofile=-1:1", "files=1", "nofile=1:2:3", "nofile=a"]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="invalid --ulimit"):
        inputs.limits([text])


def test_names_may_stand_with_commas() -> None:
    assert frozenset({"a", "b"}) == inputs.stage_names(["A,b", "a"])
    assert frozenset({"security.insecure", "network.host"}) == inputs.allowed(["security.insecure,network.host"])
