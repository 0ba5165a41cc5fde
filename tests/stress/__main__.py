"""``python -m tests.stress --minutes 5``: many processes use one store at once, and look at what they have made."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.stress.crowd import crowd
from tests.stress.worker import WrongError
from tests.support.programs import Pybuild, remove
from tests.support.real_registry import real_registry

if TYPE_CHECKING:
    from collections.abc import Sequence

_REPOSITORY = Path(__file__).parents[2]
"""What is tried is what lies beside these tests."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Work for so many minutes, tell what was done, and give 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1, metavar="N")
    parser.add_argument("--workers", type=int, default=16, metavar="N", help="how many at once")
    parser.add_argument("--seed", type=int, default=int(time.time()), metavar="N", help="what they choose depends on")
    options = parser.parse_args(arguments)
    place = Path(tempfile.mkdtemp(prefix="stress-", dir="/var/tmp"))
    home = place / "home"
    home.mkdir()
    print(f"seed {options.seed}, {place}", flush=True)
    try:
        with real_registry() as registry:
            done = crowd(
                Pybuild(place / "store", home, {"PYTHONPATH": str(_REPOSITORY)}),
                place,
                workers=options.workers,
                seconds=options.minutes * 60,
                registry=registry,
                seed=options.seed,
            )
    except WrongError as error:
        print(error, f"the store stays: {place}", sep="\n")
        return 1
    print(f"{sum(done.values())} steps: {', '.join(f'{name} {count}' for name, count in done.most_common())}")
    remove(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
