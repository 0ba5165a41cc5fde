"""An interpreter for steps that call the system itself: this machine's perl, with the libraries it is linked with."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support.programs import need

if TYPE_CHECKING:
    from pathlib import Path


def put(directory: Path) -> None:
    """Put it below a directory, to be copied to the root of an image; it is ``/perl`` there."""
    need("perl", "ldd")
    program = shutil.which("perl") or ""
    linked = subprocess.check_output(["ldd", program], text=True)
    sources = {path: path for path in re.findall(r"(/\S+) \(0x", linked)} | {"/perl": program}
    for path, source in sources.items():
        target = directory / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755)
