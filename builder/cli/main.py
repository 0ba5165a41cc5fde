"""The program: finds the command, runs it, and turns errors into messages and exit codes."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from builder import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.errors import BuildError
    from layers.errors import LayersError

_FAILED, _INTERRUPTED, _NOT_RUN = 1, 130, 125


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program with these arguments, by default those of the process, and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        print(f"pybuild version {__version__}")
        sys.exit(0)
    sys.exit(_guarded(given))


def _guarded(arguments: list[str]) -> int:
    """Run a command and give the exit code: 1 for an error (of run 125), 2 for wrong usage, 130 when interrupted."""
    gc.set_threshold(50_000)  # frozen values form no cycles; looking for some took 6 % of a build with nothing new
    from builder.cli.app import app, with_command  # noqa: PLC0415 - --version needs none of it
    from builder.errors import BuildError, CancelledError  # noqa: PLC0415
    from layers.errors import LayersError  # noqa: PLC0415

    failed = _FAILED
    try:
        _take_bounds()
        given = with_command(arguments)
        if given[:1] == ["run"] or given[:2] == ["container", "run"]:
            failed = _NOT_RUN  # others are the container's
        app()(args=given, prog_name="pybuild")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else _FAILED
    except CancelledError as error:
        _say(error)
        return _INTERRUPTED
    except (BuildError, LayersError) as error:
        _say(error)
        return failed
    except BrokenPipeError:  # whoever read the output has gone: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"ERROR: {where}{error.strerror or error}", file=sys.stderr)
        return failed
    return 0


def _take_bounds() -> None:
    """Take over how much may come out of compressed content, and be in a tar, where the environment says it.

    Raises:
        BuildError: it is no number.
    """
    names = ("UNPACKED", "RATIO", "ENTRIES", "NAMES")
    size, ratio, entries, text = (os.environ.get(f"PYBUILD_MAX_{name}", "") for name in names)
    if not (size or ratio or entries or text):
        return
    from builder.cli.inputs import size as read_size  # noqa: PLC0415 - most have nothing to say
    from layers.changeset import tar  # noqa: PLC0415 - likewise
    from layers.compression import Bounds  # noqa: PLC0415 - likewise

    Bounds.size = read_size(size, "PYBUILD_MAX_UNPACKED") or Bounds.size
    Bounds.ratio = _count(ratio, "PYBUILD_MAX_RATIO") or Bounds.ratio
    tar.Bounds.entries = _count(entries, "PYBUILD_MAX_ENTRIES") or tar.Bounds.entries
    tar.Bounds.text = read_size(text, "PYBUILD_MAX_NAMES") or tar.Bounds.text


def _count(text: str, variable: str) -> int:
    """Read a number of what the environment says; an empty text is 0."""
    if text and not (text.isascii() and text.isdigit() and int(text[:10])):
        from builder.errors import BuildError  # noqa: PLC0415 - most are right

        raise BuildError(f"invalid {variable} {text!r}", hint="write a whole number")
    return int(text[:10] or 0)


def _say(error: BuildError | LayersError) -> None:
    """Write an error to standard error: what and where, the lines there, and how to fix it."""
    lines = [f"ERROR: {error}", *getattr(error, "__notes__", ())]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    print("\n".join(lines), file=sys.stderr)
