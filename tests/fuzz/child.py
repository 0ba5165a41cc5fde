"""One target under atheris: ``python -m tests.fuzz.child PROGRAM TARGET [libFuzzer's options and corpora]``.

``PROGRAM`` is what libFuzzer runs with those options where it wants to run itself once more.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["builder", "layers", "dockerfile_parse"]):
    from tests.fuzz.target import timed
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Hand the target to libFuzzer, which never returns."""
    _, program, name, *options = sys.argv
    read = TARGETS[name].read
    atheris.Setup([program, *options], lambda content: timed(read, content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
