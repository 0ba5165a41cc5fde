"""One target under atheris: ``python -m tests.fuzz.child TARGET [libFuzzer's options and corpora]``."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["builder", "layers", "dockerfile_parse"]):
    from tests.fuzz.target import timed
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Hand the target to libFuzzer, which never returns."""
    program, name, *options = sys.argv
    read = TARGETS[name].read
    atheris.Setup([program, *options], lambda content: timed(read, content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
