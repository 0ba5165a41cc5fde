"""Which command a command line means, help, and the commands about the program and its store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from builder import __version__
from builder.cli.app import COMMANDS, GROUPS, app, with_command
from tests.builder.cli.test_naming import remember

if TYPE_CHECKING:
    from pathlib import Path

    from layers.image import Image, Index
    from tests.builder.cli.conftest import Cli

EVERY = [[name] for name in COMMANDS] + [[name, each] for name, (_, targets) in GROUPS.items() for each in targets]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["."], ["build", "."]),
        (["-t", "app", "."], ["build", "-t", "app", "."]),
        (["images", "-q"], ["images", "-q"]),
        (["image", "ls"], ["image", "ls"]),
        (["--help"], ["--help"]),
        (["--root", "/r", "images"], ["images", "--root", "/r"]),
        (["--root=/r", "image", "ls", "-q"], ["image", "ls", "--root=/r", "-q"]),
        (["--root", "/r", "login", "host"], ["login", "host"]),
        (["help"], ["--help"]),
        (["help", "image", "ls"], ["image", "ls", "--help"]),
        (["--root", "/r", "."], ["build", "--root", "/r", "."]),
    ],
)
def test_what_begins_with_no_command_builds(given: list[str], expected: list[str]) -> None:
    assert expected == with_command(given)


def test_a_mistyped_command_is_no_build_context(cli: Cli) -> None:
    assert "did you mean images" in cli.fails("imags", "-q")
    assert "did you mean manifest" in cli.fails("manifst")


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_command_helps_with_an_example(cli: Cli, command: list[str]) -> None:
    of_hostname = command[-1] in {"run", "create"} and command[0] != "manifest"
    for option in ("--help", *(() if of_hostname else ("-h",))):
        text = cli(*command, option).out
        assert f"Usage: pybuild {' '.join(command)}" in text
        assert "Example: " in text


def test_the_program_lists_its_commands(cli: Cli) -> None:
    text = cli("--help").out
    for name in (*COMMANDS, *GROUPS):
        assert f"\n  {name} " in text
    assert "  ls " in cli("image", "--help").out
    assert "Usage" in cli("image").err


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["images", "--nope"]),
        (2, ["image", "--nope"]),
        (2, ["build", "--nope", "."]),
        (2, ["ps", "--filter"]),
        (2, ["search", "--limit", "many", "app"]),
        (125, ["run", "--nope", "app"]),
        (2, ["create", "--pid", "host", "app"]),
        (2, ["image", "nope"]),
        (2, ["tag", "one"]),
        (2, ["history"]),
        (2, ["images", "one", "two"]),
        (125, ["run"]),
        (2, ["exec", "work"]),
        (0, ["manifest"]),
    ],
)
def test_wrong_usage_is_two(cli: Cli, code: int, arguments: list[str]) -> None:
    """Of run it is 125, as its other codes are the container's; a group without a command tells what there is."""
    assert "Usage: " in cli(*arguments, code=code).err or "requires an argument" in cli(*arguments, code=code).err


def test_an_option_that_containers_lack_is_explained_and_those_there_are_listed(cli: Cli) -> None:
    error = cli("run", "--ulimit", "nofile=5", "app", code=125).err

    assert "--ulimit is not supported: containers have limits of memory and processors alone" in error
    assert " -m " in error
    assert "--cpuset-cpus" in error


def test_aliases_of_docker(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    assert cli("images").out == cli("image", "list").out
    cli("image", "remove", "app:1")
    assert [] == cli.names()


def test_switches_take_gos_booleans(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    assert f"{app.id}\n" == cli("images", "--quiet=true", "--no-trunc=1").out
    assert cli("images").out == cli("images", "--quiet=false", "-a=true").out


def test_completion_knows_the_commands() -> None:
    names = app().list_commands(None)
    assert {"build", "images", "image", "manifest"} <= set(names)


def test_the_version_is_told_without_loading_the_command_line() -> None:
    """A program that asks for the version has it at once."""
    script = (
        "import sys\nfrom builder.cli.main import main\n"
        "try: main(['--version'])\nexcept SystemExit: print([m for m in ('typer', 'layers.image') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [f"pybuild version {__version__}", "[]"] == done.stdout.splitlines()


def test_listing_images_loads_little(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom builder.cli.main import main\n"
        "try: main(['images'])\nexcept SystemExit: pass\n"
        "heavy = ('urllib3', 'yaml', 'rich', 'zstandard', 'isal', 'dockerfile_parse', 'builder.pipeline', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    variables = {**os.environ, "PYBUILD_ROOT": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=variables)
    assert "[]" == done.stdout.splitlines()[-1]


def test_version_and_info_tell_what_there_is(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    assert f"pybuild version {__version__}" == cli("version").lines[0]
    assert f"{__version__}\n" == cli("version", "-f", "{{.Version}}").out
    assert f"Store: {cli.store}" in cli("info").lines
    assert 1 == json.loads(cli("system", "info", "--format", "json").out)["Images"]
    cli.fails("version", "-f", "{{.Nope}}")


def test_a_sound_store_has_nothing_to_repair(cli: Cli, app: Image, both: Index) -> None:
    cli.put(app, "app:1")
    cli.put(both, "both:1")
    remember(cli, app)

    assert "0 damaged, 0 orphans (0B); 0 broken images" in cli("fsck").out
    assert "repaired; freed 0B" in cli("fsck", "--repair").out

    assert app.digest == cli.image("app:1").digest


def test_damage_is_found_and_repaired(cli: Cli, app: Image, other: Image) -> None:
    cli.put(app, "app:1")
    cli.put(other, "other:1")
    orphan = cli.layout.blobs.put(b"orphan")
    remember(cli, app)
    damaged = app.layers[0].descriptor.digest
    path = cli.layout.blobs.path(damaged)
    path.write_bytes(bytes(path.stat().st_size))

    text = cli("fsck", code=1).out
    assert f"damaged blob {damaged}" in text
    assert "broken image app:1" in text

    assert "forgot app:1" in cli("fsck", "--repair").out
    assert ["other:1"] == cli.names()
    assert {orphan, damaged}.isdisjoint(cli.blobs())
    assert other.digest == cli.image("other:1").digest
    assert [] == list((cli.store / "cache" / "steps").iterdir())
    cli("fsck")


def test_what_is_missing_is_found(cli: Cli, app: Image, both: Index) -> None:
    cli.put(app, "app:1")
    cli.put(both, "both:1")
    cli.layout.blobs.delete(both.manifest.manifests[1].digest)
    cli("fsck")  # an index may list what was never fetched

    cli.layout.blobs.delete(app.manifest.config.digest)
    assert "broken image app:1" in cli("fsck", code=1).out


def test_orphans_are_listed(cli: Cli) -> None:
    orphan = cli.layout.blobs.put(b"orphan")
    assert f"orphan blob {orphan}" in cli("system", "fsck").lines


def test_a_store_that_is_none_is_an_error(cli: Cli) -> None:
    cli.store.mkdir()
    (cli.store / "oci-layout").write_text('{"imageLayoutVersion": "9"}')
    for command in (["images"], ["fsck"], ["load"], ["system", "df"], ["rmi", "x"], ["pull", "x"]):
        assert "version 9" in cli(*command, code=1).err
