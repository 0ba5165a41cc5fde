"""What is said of an option that a command has not."""

from __future__ import annotations

import pytest
from click import NoSuchOption

from builder.cli.mistyped import corrected

KNOWN = (
    *(
        "--tag",
        "-t",
        "--file",
        "--build-arg",
        "--build-context",
        "--label",
        "--progress",
        "--metadata-file",
        "--ulimit",
    ),
    *("--quiet", "--push", "--pull", "--ssh", "--load", "--format", "--root", "--platform", "--isolation", "--target"),
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("--lables", "--label"),
        ("--tags", "--tag"),
        ("--ulimits", "--ulimit"),
        ("--metadata", "--metadata-file"),
        ("--progress-mode", "--progress"),
        ("--load2", "--load"),
        ("--plattform", "--platform"),
    ],
)
def test_a_slip_of_the_pen_is_corrected_by_one_name(name: str, meant: str) -> None:
    error = corrected(NoSuchOption(name, possibilities=KNOWN), KNOWN, "build")

    assert f"No such option '{name}'. Did you mean {meant}?" == error.message


@pytest.mark.parametrize("name", ["--foo", "--gpus", "--cgroup", "--x", "-z"])
def test_what_is_like_nothing_is_not_corrected(name: str) -> None:
    assert f"No such option '{name}'." == corrected(NoSuchOption(name), KNOWN, "build").message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("--squash", "COPY --from"),
        ("--rm", "steps leave no containers"),
        ("--builder", "no daemon"),
        ("--sbom", "attest"),
    ],
)
def test_what_docker_has_and_a_build_has_not_is_named_with_the_reason(name: str, said: str) -> None:
    message = corrected(NoSuchOption(name), KNOWN, "build").message

    assert message.startswith(f"{name} is not supported: ")
    assert said in message
    assert "Did you mean" not in message


def test_other_commands_have_reasons_of_their_own() -> None:
    assert "No such option '--rm'." == corrected(NoSuchOption("--rm"), KNOWN, "images").message
