"""Names of Linux' signals, for STOPSIGNAL."""

from __future__ import annotations

import re

from builder.dockerfile.suggest import did_you_mean
from builder.errors import DockerfileError

_NAMES = frozenset(
    (
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
        "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
        "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    )
) | {f"RTMIN+{n}" for n in range(1, 16)} | {f"RTMAX-{n}" for n in range(1, 15)}  # fmt: skip


def check_signal(signal: str) -> None:
    """Refuse what is neither a signal's number nor its name, with or without SIG.

    Raises:
        DockerfileError: it is neither.
    """
    if re.fullmatch(r"[+-]?[0-9]{1,9}", signal):
        if int(signal):
            return
    elif signal.upper().removeprefix("SIG") in _NAMES:
        return
    known = [f"SIG{name}" for name in sorted(_NAMES)]
    raise DockerfileError(f"invalid signal: {signal[:160]}", hint=did_you_mean(signal, known, "SIGTERM, or a number"))
