"""Count what a command of pybuild does: a small program around it, in which every file that is opened is seen.

Not so what ``shutil.rmtree`` opens: a thread clears away while other work goes on, and in the end all that is left goes
at once, so that how often it looks is chance.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.programs import Pybuild

_AROUND = """
import atexit, collections, json, os, sys
counts, listed, forks, me = collections.Counter(), 0, 0, os.getpid()
def see(event, arguments):
    global listed, forks
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        frame = sys._getframe()
        while frame:
            if frame.f_code.co_name.startswith("_rmtree"):
                return
            frame = frame.f_back
        counts[os.path.basename(os.fsdecode(arguments[0]))] += 1
    elif event == "os.scandir" or event == "os.listdir":
        listed += 1
    elif event in ("os.fork", "os.posix_spawn", "subprocess.Popen"):
        forks += 1
sys.addaudithook(see)
def tell():
    if os.getpid() == me:
        with open("/proc/self/io") as io:
            done = dict(line.split(": ") for line in io)
        with open(sys.argv[0], "w") as out:
            json.dump({"opened": counts, "listed": listed, "forks": forks, "read": int(done["rchar"]),
                       "written": int(done["wchar"]), "modules": sorted(sys.modules)}, out)
atexit.register(tell)
sys.argv = sys.argv[1:]
from builder.cli.main import main
main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Work:
    """What one process has done; other processes that it started are not in it."""

    opened: Counter[str] = field(default_factory=Counter)
    """How many times files of each name were opened, without their directory."""
    listed: int = 0
    """Directories that were listed."""
    forks: int = 0
    """Processes that it started itself."""
    read: int = 0
    """Bytes that were read from files."""
    written: int = 0
    """Bytes that were written to files."""
    modules: tuple[str, ...] = ()
    """Modules of Python that were imported."""

    def opened_of(self, names: set[str]) -> int:
        """Give how many times files of these names were opened."""
        return sum(self.opened[name] for name in names)


def count(pybuild: Pybuild, *arguments: str | Path) -> Work:
    """Run a command, which must succeed, and give what it did."""
    told = pybuild.home / "work.json"
    done = subprocess.run(
        [sys.executable, "-c", _AROUND, str(told), *map(str, arguments)],
        env=pybuild.environment({"PYBUILD_ROOT": str(pybuild.store)}),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    found = json.loads(told.read_text())
    return Work(**{**found, "opened": Counter(found["opened"]), "modules": tuple(found["modules"])})
