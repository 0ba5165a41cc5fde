"""What is measured: each workload is a Dockerfile over a context, or something done with its image."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Workload(NamedTuple):
    """One line of the table."""

    key: str
    title: str
    dockerfile: str = ""
    """``{base}`` stands for the base image."""
    context: str = "empty"
    act: Literal["build", "push", "pull", "version"] = "build"
    archive: bool = False
    """Whether the image goes into an archive for ``docker load``."""
    cached: bool = False
    """Whether results of earlier builds may be used."""
    before: Literal["", "edit", "empty"] = ""
    """Before each run, untimed: edit a file, or empty the store."""


_ALL = "FROM {base}\nCOPY . /app/\n"
_STAGES = """\
FROM {base} AS a
RUN sleep 2 && echo a > /a
FROM {base} AS b
RUN sleep 2 && echo b > /b
FROM {base}
COPY --from=a /a /a
COPY --from=b /b /b
"""
_CHOWN = """\
FROM {base}
RUN mkdir -p /srv/app && chown 1000:1000 /srv/app
COPY --chown=1000:1000 . /srv/app/
"""
_RUNS = "FROM {base}\n" + "".join(f"RUN echo {i} > /f{i}\n" for i in range(20))
_COPIES = "FROM {base}\n" + "".join(f"COPY f{i} /d/f{i}\n" for i in range(100))
_DEEP = "FROM {base}\n" + "".join(f"COPY f{i % 100} /d/g{i}\n" for i in range(125)) + "RUN echo top > /top\n"

WORKLOADS = {
    each.key: each
    for each in (
        Workload("W1", "COPY of 20,000 small files, to the store", _ALL, "small"),
        Workload("W1b", "the same to a docker-load tarball", _ALL, "small", archive=True),
        Workload("W2", "COPY of 1 GiB in 8 files, to the store", _ALL, "large"),
        Workload("W2b", "the same to a docker-load tarball", _ALL, "large", archive=True),
        Workload("W3", "nothing changed: W1 again", _ALL, "small", cached=True),
        Workload(
            "W4",
            "one of 20,000 files changed, two RUN steps after it",
            _ALL + "RUN echo one > /one\nRUN echo two > /two\n",
            "small",
            cached=True,
            before="edit",
        ),
        Workload("W5", "20 RUN steps", _RUNS),
        Workload("W6", "RUN cp -a /usr /usr2", "FROM {base}\nRUN cp -a /usr /usr2\n"),
        Workload("W7", "empty store: pull, one RUN", "FROM {base}\nRUN echo hello > /hello\n", before="empty"),
        Workload("W8", "two stages of 2 s each", _STAGES),
        Workload("W9", "100,000 files in the context, 200 taken", "FROM {base}\nCOPY . /\n", "ignored100000"),
        Workload("W10", "push of W1", _ALL, "small", act="push", before="edit"),
        Workload("W10b", "pull of W1 into an empty store", _ALL, "small", act="pull", before="empty"),
        Workload("W11", "--version, 20 times", act="version"),
        Workload("W12", "COPY --chown of 5,000 files onto a RUN layer", _CHOWN, "medium"),
        Workload("W14", "100 COPY steps", _COPIES, "wide"),
        Workload("M1", "COPY of 1 GiB of zeros", _ALL, "sparse1"),
        Workload("M20", "COPY of 20 GiB of zeros", _ALL, "sparse20"),
        Workload("M127", "127 layers, a RUN on top", _DEEP, "wide"),
    )
}
QUICK = ("W1", "W2", "W3", "W5", "W6", "W7", "W8", "W9", "W10", "W10b", "W11", "W12", "W14")
"""What is measured where there is little time."""
DEFAULT = tuple(key for key in WORKLOADS if key.startswith("W"))
"""What is measured when nothing is said; the M ones take long, or are about memory alone."""
