"""Where the Dockerfile comes from: a directory, a tar, nowhere; and what is refused before anything is built."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from layers.image import Image
    from tests.builder.cli.conftest import Cli


def _tar(files: dict[str, bytes], links: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("up", ["", "../" * 12])
def test_a_dockerfile_of_a_tar_that_links_to_this_machine_is_not_read(cli: Cli, tmp_path: Path, up: str) -> None:
    """Its lines would be shown in the error."""
    secret = tmp_path / "secret"
    secret.write_text("NEVER\n")
    target = f"{up}{str(secret).lstrip('/')}" if up else str(secret)

    error = cli.fails("build", "-", input=_tar({}, {"Dockerfile": target}))

    assert 'the build context has no file "Dockerfile"' in error
    assert "NEVER" not in error


@pytest.mark.parametrize("target", ["sub/Other", "/sub/Other", "../sub/Other"])
def test_links_of_a_tar_end_at_its_root(cli: Cli, target: str) -> None:
    cli("build", "-f", "link", "-", input=_tar({"sub/Other": b"FROM scratch\n"}, {"link": target}))


def test_a_tar_without_a_dockerfile_is_told_by_its_name_alone(cli: Cli) -> None:
    error = cli.fails("build", "-", input=_tar({"file": b""}, {}))

    assert 'the build context has no file "Dockerfile"' in error
    assert "/tmp" not in error


def test_a_pipe_is_a_dockerfile_of_a_tar_too(cli: Cli) -> None:
    """As shells give one: ``-f <(sed ... Dockerfile)``."""
    reader, writer = os.pipe()
    os.write(writer, b"FROM scratch\nCOPY file /\n")
    os.close(writer)
    cli("build", "-f", f"/dev/fd/{reader}", "-", input=_tar({"file": b"content"}, {}))
    os.close(reader)


def test_nothing_is_no_context(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a variable that nobody set, and no word for the current directory."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.chdir(tmp_path)

    assert 'build context ""' in cli.fails("build", "")


@pytest.mark.parametrize("option", [("--isolation", "jail"), ("--runtime", "/nowhere/runc"), ("--platform", "amd46")])
def test_what_no_step_asks_for_is_checked_too(cli: Cli, tmp_path: Path, option: tuple[str, str]) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")

    assert option[1] in cli.fails("build", *option, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "-w", "relative", "app"], "invalid --workdir 'relative'"),
        (["run", "-e", "=x", "app"], "invalid environment variable '=x'"),
        (["create", "-e", "", "app"], "invalid environment variable ''"),
    ],
)
def test_what_a_container_cannot_be_given_is_named(cli: Cli, app: Image, arguments: list[str], said: str) -> None:
    cli.put(app, "app")

    assert f"ERROR: {said}" in cli(*arguments, code=125 if arguments[0] == "run" else 1).err


def test_what_is_imported_and_no_tar_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(bytes(range(256)) * 8)

    assert f"cannot import {tmp_path}/program: " in cli.fails("import", tmp_path / "program", "app")
    assert "cannot import standard input: " in cli.fails("import", "-", input=bytes(range(256)) * 8)


@pytest.mark.parametrize("command", [["pause", "work"], ["network", "ls"], ["stats"], ["top", "work"]])
def test_a_command_that_is_dockers_alone_is_no_context(cli: Cli, command: list[str]) -> None:
    assert f"'{command[0]}' is a command of Docker that is not supported" in cli.fails(*command)


def test_a_file_that_cannot_be_written_is_told_in_words_while_it_happens(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")

    error = cli("build", "-o", f"type=tar,dest={tmp_path}", tmp_path, code=1).err

    assert "#2 ERROR: Is a directory" in error
