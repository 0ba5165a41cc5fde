"""Many workers on one store, for a time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.stress.worker import Worker, WrongError
from tests.support import bases
from tests.support.programs import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.programs import Pybuild


def crowd(
    pybuild: Pybuild, place: Path, *, workers: int, seconds: float, registry: str = "", seed: int = 0
) -> Counter[str]:
    """Let them work, each in a directory below ``place``, and find the store sound; give what they have done.

    The time is that in which something new is begun.

    Raises:
        WrongError: what went wrong, of every worker the first.
    """
    bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
    end = time.monotonic() + seconds
    wrong: list[str] = []
    everybody = []
    for number in range(workers):
        own = place / f"worker{number}"
        own.mkdir()
        everybody.append(Worker(number, pybuild, own, registry, seed))

    def work(worker: Worker) -> None:
        try:
            while time.monotonic() < end and not wrong:
                worker.step()
            worker.check()
        except WrongError as error:
            wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in everybody]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if wrong:
        raise WrongError("\n".join(wrong))
    _look_at(pybuild, {name for worker in everybody for name in worker.images})
    return sum((worker.done for worker in everybody), Counter())


def _look_at(pybuild: Pybuild, names: set[str]) -> None:
    """Find the store sound, with every image that somebody has made, before and after a collection."""
    for _ in range(2):
        said = pybuild("fsck").out.decode()
        if "0 damaged" not in said or "0 broken" not in said:
            raise WrongError(said)
        pybuild.check_store()
        known = {reference.familiar for reference, _ in pybuild.layout.names()}
        if not names <= known:
            raise WrongError(f"lost: {sorted(names - known)}")
        listed = run("umoci", "ls", "--layout", pybuild.store).split()
        if len(listed) != len(known):
            raise WrongError(f"umoci sees {listed}, here are {sorted(known)}")
        pybuild("system", "prune", "-f")
    if pybuild.left():
        raise WrongError(f"left behind: {pybuild.left()}")
