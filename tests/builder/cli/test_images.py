"""``images``, ``inspect`` and ``history``."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builder.cli.imagefilters import glob, named
from layers import mutate
from layers.digest import Digest
from layers.reference import Reference
from tests.support.archives import tar_with
from tests.support.images import image, layer, layer_of_tar

if TYPE_CHECKING:
    from layers.image import Image, Index
    from tests.builder.cli.conftest import Cli


def dated(image: Image, created: str) -> Image:
    return mutate.with_config(image, replace(image.config, created=created))


def test_an_empty_store_is_a_heading(cli: Cli) -> None:
    assert "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n" == cli("images").out


def test_images_are_listed_by_name_the_newest_first(cli: Cli, app: Image, other: Image) -> None:
    app, other = dated(app, "2020-01-01T00:00:00Z"), dated(other, "2021-01-01T00:00:00Z")
    cli.put(app, "app:1", "registry.example.com/x/app:2")
    cli.put(other)

    rows = [line.split() for line in cli("images").lines]

    assert ["<none>", "<none>", other.id.short] == rows[1][:3]
    assert ["app", "1", app.id.short] == rows[2][:3]
    assert ["registry.example.com/x/app", "2", app.id.short] == rows[3][:3]
    assert ["15B"] == rows[2][-1:]


def test_every_option_of_the_list(cli: Cli, app: Image) -> None:
    descriptor = cli.put(app, "app:1")
    assert f"{app.id.short}\n" == cli("images", "-q").out
    assert f"{app.id}\n" == cli("image", "ls", "--no-trunc", "-q").out
    assert f"app 1 {descriptor.digest}" in " ".join(cli("images", "--digests").lines[1].split())
    assert [] == cli("images", "nope").lines[1:]
    assert 2 == len(cli("images", "app:1").lines)
    assert "app\t1\n" == cli("images", "--format", "{{.Repository}}\\t{{.Tag}}").out
    assert ["TAG       IMAGE ID", f"1         {app.id.short}"] == cli(
        "images", "--format", "table {{.Tag}}\\t{{.ID}}"
    ).lines
    assert "15B" == json.loads(cli("images", "--format", "json").out)["Size"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["dangling=true"], {"<none>"}),
        (["dangling=false"], {"app:1", "team/app:2"}),
        (["label=who"], {"app:1", "team/app:2", "<none>"}),
        (["label=who=me", "label=env=test"], {"app:1", "team/app:2"}),
        (["label=who=me", "label=env=nope"], set()),
        (["before=app:1"], set()),
        (["since=app:1"], {"<none>"}),
        (["until=2020-06-01"], {"app:1", "team/app:2"}),
        (["until=1h"], {"app:1", "team/app:2", "<none>"}),
        (["reference=app"], {"app:1"}),
        (["reference=*/app"], {"team/app:2"}),
        (["reference=*:1", "reference=*/*:2"], {"app:1", "team/app:2"}),
        (["reference=app", "dangling=true"], set()),
    ],
)
def test_filters_choose(cli: Cli, app: Image, other: Image, given: list[str], expected: set[str]) -> None:
    cli.put(dated(app, "2020-01-01T00:00:00Z"), "app:1", "team/app:2")
    cli.put(dated(other, "2021-01-01T00:00:00Z"))
    options = [part for each in given for part in ("--filter", each)]

    lines = cli("images", *options, "--format", "{{.Repository}}:{{.Tag}}").lines

    assert expected == {"<none>" if line == "<none>:<none>" else line for line in lines}


@pytest.mark.parametrize("given", ["nope=1", "dangling", "dangling=maybe", "before=nope", "until=never", "reference=["])
def test_a_wrong_filter_is_an_error(cli: Cli, given: str) -> None:
    cli.fails("images", "--filter", given)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("app", "app:1", True),
        ("app*", "application:1", True),
        ("*", "team/app", False),
        ("*/app", "team/app:x", True),
        ("ap?", "app", True),
        ("a[op]p:1", "app:1", True),
        ("a\\*p", "app", False),
        ("example.com/*/*", "example.com/a/b:1", True),
    ],
)
def test_patterns_are_gos(pattern: str, name: str, *, expected: bool) -> None:
    assert expected == named(Reference.parse(name), pattern)
    glob(pattern)


def test_a_tree_shows_platforms_and_which_are_not_here(cli: Cli, both: Index) -> None:
    descriptor = cli.layout.put(both, platforms=[both.load(both.manifest.manifests[0]).platform])  # type: ignore[union-attr] # it is an image
    cli.layout.tag(Reference.parse("app:1"), descriptor)

    rows = [line.split() for line in cli("images", "--tree").lines]

    assert ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE"] == rows[0]
    assert ["app:1", descriptor.digest.short, "15B"] == rows[1][:3]
    assert ["├─", "linux/amd64"] == rows[2][:2]
    assert ["└─", "linux/arm64", both.manifest.manifests[1].digest.short, "0B", "0B"] == rows[3]


def test_inspect_shows_what_docker_shows(cli: Cli, app: Image) -> None:
    descriptor = cli.put(app, "app:1")

    (document,) = json.loads(cli("inspect", "app:1").out)

    assert str(app.id) == document["Id"]
    assert ["app:1"] == document["RepoTags"]
    assert [f"app@{descriptor.digest}"] == document["RepoDigests"]
    assert ["A=b", "PATH=/bin"] == document["Config"]["Env"]
    assert document["Config"]["Entrypoint"] is None
    assert {"Type": "layers", "Layers": [str(each) for each in app.config.diff_ids]} == document["RootFS"]
    assert ("amd64", "linux", 15) == (document["Architecture"], document["Os"], document["Size"])


def test_inspect_takes_ids_digests_and_templates(cli: Cli, app: Image) -> None:
    descriptor = cli.put(app, "app:1")
    for name in (app.id.short, str(app.id), app.id.encoded[:3], str(descriptor.digest), f"app@{descriptor.digest}"):
        assert f"{app.id}\n" == cli("image", "inspect", "-f", "{{.Id}}", name).out
    assert (
        "[] map[] map[env:test who:me] \n"
        == cli(
            "inspect", "-f", "{{.Config.Entrypoint}} {{.Config.Volumes}} {{.Config.Labels}} {{.Variant}}", "app:1"
        ).out
    )
    assert [str(app.id)] == [each["Id"] for each in json.loads(cli("inspect", "--format", "json", "app:1").out)]


def test_inspect_shows_what_it_finds_and_names_what_it_does_not(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")

    done = cli("inspect", "-f", "{{.Id}}", "nope:1", "app:1", "other:1", code=1)

    assert f"{app.id}\n" == done.out
    assert "nope:1" in done.err
    assert "other:1" in done.err


def test_inspect_of_an_index_lists_its_images(cli: Cli, both: Index) -> None:
    cli.put(both, "app:1")

    (document,) = json.loads(cli("inspect", "app:1").out)

    assert [True, True] == [each["Available"] for each in document["Manifests"]]
    arm = json.loads(cli("inspect", "--platform", "linux/arm64", "app:1").out)[0]
    assert "arm64" == arm["Architecture"]
    assert "windows" in cli.fails("inspect", "--platform", "windows/amd64", "app:1")


@pytest.mark.parametrize(
    "arguments", [["-f", "{{.Nope}}"], ["-f", "{{"], ["--type", "volume"], ["--type", "container"]]
)
def test_inspect_refuses_what_makes_no_sense(cli: Cli, app: Image, arguments: list[str]) -> None:
    cli.put(app, "app:1")
    cli.fails("inspect", *arguments, "app:1")


def test_ambiguous_ids_are_refused(cli: Cli, app: Image) -> None:
    """Two of seventeen ids begin with the same digit."""
    for number in range(17):
        cli.put(dated(app, f"2020-01-01T00:00:{number:02}Z"))
    firsts = [each.digest.encoded[0] for each in (stored.descriptor for stored in cli.layout.images())]
    twice = next(digit for digit in firsts if firsts.count(digit) > 1)

    assert "several image ids begin with" in cli.fails("rmi", twice)


def test_history_has_the_newest_step_first_and_each_layers_size(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")

    rows = [line.split() for line in cli("history", "app:1").lines]

    assert [app.id.short, "N/A", "COPY", "1", "/", "6B"] == rows[1]
    assert ["<missing>", "N/A", "COPY", "0", "/", "9B"] == rows[2]
    assert [str(app.id), "<missing>"] == cli("history", "-q", "--no-trunc", "app:1").lines
    assert ["COPY 1 / 6", "COPY 0 / 9"] == cli(
        "history", "-H=false", "--format", "{{.CreatedBy}} {{.Size}}", app.id.short
    ).lines


def test_names_that_are_none_are_errors(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    assert "did you mean app:1" in cli.fails("history", "ap:1")
    assert "no image" in cli.fails("inspect", "sha256:" + "0" * 64)
    assert "invalid" in cli.fails("inspect", "A B")


def test_a_list_without_end_does_not_depend_on_layers(cli: Cli, app: Image) -> None:
    """A layer whose blob is gone is listed with the size of its blob, and no command crashes."""
    cli.put(app, "app:1")
    cli.layout.blobs.delete(app.layers[0].descriptor.digest)

    assert app.id.short in cli("images").out
    cli("history", "app:1")
    cli("inspect", "app:1")
    cli("system", "df")


def test_links_count_with_the_length_of_their_targets(cli: Cli) -> None:
    """As in Docker's overlay2, where lstat tells the size."""
    cli.put(image(layer_of_tar(tar_with({"file": b"12345", "link": "file"}))), "app:1")
    assert ["9B"] == cli("images", "--format", "{{.Size}}").lines


def test_a_terminal_is_sent_no_control_characters(cli: Cli, app: Image) -> None:
    entries = tuple(replace(each, created_by="RUN \x1b[2J\nx", comment="\x9b1m") for each in app.config.history)
    cli.put(mutate.with_config(app, replace(app.config, history=entries)), "app:1")

    out = cli("history", "--no-trunc", "app:1").out

    assert "RUN \\x1b[2J\\nx" in out
    assert "\\x9b1m" in out
    assert 3 == len(out.splitlines())


def test_a_layer_that_is_no_tar_does_not_hide_the_other_images(cli: Cli, app: Image) -> None:
    """Whoever may push can bring one; its blob's size stands for that of its files."""
    junk = layer_of_tar(b"this is no tar" * 1000, "none")
    lying = replace(layer({"lie": b"lie"}), diff_id=Digest.of(b"else"))
    cli.put(app, "app:1")
    cli.put(image(junk), "junk:1")
    cli.put(image(lying), "lying:1")

    lines = cli("images", "--format", "{{.Repository}} {{.Size}}").lines

    assert {"app 15B", "junk 14kB", f"lying {lying.descriptor.size}B"} == set(lines)
