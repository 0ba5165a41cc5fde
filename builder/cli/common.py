"""Options that many commands have, one alias each."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

Several = list[str] | None

Root = Annotated[str, typer.Option("--root", metavar="DIR", help="The store; default: PYBUILD_ROOT, or in your home.")]
PlatformName = Annotated[str, typer.Option("--platform", help="The platform: os/architecture[/variant].")]
Format = Annotated[
    str, typer.Option("--format", metavar="FORMAT", help="table, table TEMPLATE, json, or a Go template for each line.")
]
NoTrunc = Annotated[bool, typer.Option("--no-trunc", help="Show everything in full length.")]
QuietIds = Annotated[bool, typer.Option("-q", "--quiet", help="Show ids only.")]
Filter = Annotated[Several, typer.Option("--filter", metavar="KEY=VALUE", help="Only what passes; repeatable.")]
ShortFilter = Annotated[
    Several, typer.Option("-f", "--filter", metavar="KEY=VALUE", help="Only what passes; repeatable.")
]
IsolationMode = Annotated[
    str,
    typer.Option("--isolation", metavar="WAY", help="How processes are kept apart: auto, runc, crun, chroot or proot."),
]
OciRuntime = Annotated[
    str,
    typer.Option(
        "--runtime",
        metavar="NAME|PATH",
        help="The OCI runtime to use and no other: runc, crun or youki, or the path of any. "
        "Tried with runc 1.1 and crun 1.8.",
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Allow plain HTTP, and certificates of anybody.")]
Yes = Annotated[bool, typer.Option("-f", "--force", help="Do not ask.")]


def confirm(warning: str) -> None:
    """Ask on the terminal whether to go on.

    Raises:
        BuildError: the answer was anything but yes, or there is nobody to answer.
    """
    print(f"WARNING! {warning}")
    print("Are you sure you want to continue? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print()
    if answer.strip().lower() not in {"y", "yes"}:
        raise BuildError("nothing was removed", hint="answer y, or do not be asked with -f")


def way(isolation: str, runtime: str) -> str:
    """Give how to run processes out of ``--isolation`` and ``--runtime``.

    Raises:
        BuildError: they exclude each other, or there is no such way or runtime.
    """
    if isolation != "auto":
        from builder.runtime.ladder import CHOICES, RUNTIMES  # noqa: PLC0415 - only who asks needs it

        if "/" not in isolation and isolation not in RUNTIMES:
            one_of("--isolation", isolation, CHOICES)
    if not runtime:
        return isolation
    if isolation not in {"auto", runtime}:
        raise BuildError(f"--runtime {runtime} and --isolation {isolation} exclude each other")
    from builder.runtime.ladder import RUNTIMES  # noqa: PLC0415 - only who asks needs it

    if "/" in runtime:
        path = Path(runtime).absolute()
        if not os.access(path, os.X_OK):
            raise BuildError(f"--runtime {runtime}: there is no such program")
        return str(path)
    if runtime not in RUNTIMES:
        hint = f"choose {', '.join(RUNTIMES)}, or write the path of an OCI runtime"
        raise BuildError(f"unknown --runtime {runtime!r}", hint=hint)
    return runtime


def one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    """Give the value of an option that has few.

    Raises:
        BuildError: it is another one.
    """
    if value not in choices:
        raise BuildError(f"unknown {option} {value!r}", hint=f"choose {', '.join(choices[:-1])} or {choices[-1]}")
    return value


def raise_last(errors: Sequence[Exception]) -> None:
    """Say all that went wrong while the rest went on: print every error, and raise the last."""
    sys.stdout.flush()
    for error in errors[:-1]:
        print(f"ERROR: {error}", file=sys.stderr)
    if errors:
        raise errors[-1]
