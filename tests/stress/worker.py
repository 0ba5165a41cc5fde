"""One of many who use a store at once: it makes things, and looks whether they are what it made."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.programs import Pybuild

_SECONDS = 300
"""After which a command is taken to hang."""
_BUSY = ("is using the store", "is held by another process")
"""What a command may say that deletes, and is kept out by others."""


class WrongError(Exception):
    """A command did what it should not."""


class Worker:
    """Does one thing after the other, at random; nobody else has its names."""

    def __init__(self, number: int, pybuild: Pybuild, place: Path, registry: str, seed: int) -> None:
        """``place`` is a directory of its own; without ``registry`` nothing is pushed."""
        self._prefix = f"w{number}"
        self._pybuild = pybuild
        self._place = place
        self._registry = registry
        self._random = random.Random(f"{seed} {number}")
        self._count = 0
        self.images: dict[str, str] = {}
        """What ``/made`` in each image says."""
        self.done: Counter[str] = Counter()

    def step(self) -> None:
        """Do something.

        Raises:
            WrongError: it went wrong.
        """
        making = [self._build, self._build, self._commit]
        using = [self._run, self._tag, self._rmi, self._archive, self._list, self._inspect, self._company]
        if self._registry:
            using += [self._push_and_pull]
        choices = making if not self.images else [*making, *using, *using, self._prune, self._prune]
        if len(self.images) > 6:
            choices = [self._rmi]
        chosen: Callable[[], None] = self._random.choice(choices)
        self._count += 1
        chosen()
        self.done[chosen.__name__.strip("_")] += 1

    def check(self) -> None:
        """Look at all that should be there.

        Raises:
            WrongError: something is not.
        """
        for name in self.images:
            self._look(name)

    def _call(self, *arguments: str, busy: bool = False, code: int = 0) -> str:
        """Run a command and give its output; ``busy`` is whether it may be kept out by others."""
        command = " ".join(arguments)
        try:
            done = subprocess.run(
                self._pybuild.command(*arguments),
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                env=self._pybuild.environment(),
                stdin=subprocess.DEVNULL,
                cwd=self._place,
            )
        except subprocess.TimeoutExpired as error:
            raise WrongError(f"{command}: hangs") from error
        said = done.stderr.decode(errors="replace")
        kept_out = busy and done.returncode == 1 and any(each in said for each in _BUSY)
        if (done.returncode != code and not kept_out) or "Traceback" in said:
            raise WrongError(f"{command}: ended with {done.returncode} and not {code}: {said}")
        return done.stdout.decode(errors="replace")

    def _expect(self, expected: object, actual: object, what: str) -> None:
        if expected != actual:
            raise WrongError(f"{what}: {actual!r} and not {expected!r}")

    def _look(self, name: str) -> None:
        self._expect(self.images[name], self._call("run", "--rm", name, "cat", "/made"), f"/made in {name}")

    def _any(self) -> str:
        return self._random.choice(sorted(self.images))

    def _new_name(self) -> str:
        return f"{self._prefix}/image:{self._random.randrange(6)}"

    # What it does

    def _build(self) -> None:
        context, name = self._place / "context", self._new_name()
        context.mkdir(exist_ok=True)
        content = f"{self._prefix} {self._random.randrange(4)}\n"
        (context / "file").write_text(content)
        base = self._random.choice(["busybox", *self.images])
        steps = self._random.choice(["RUN cp /copied /made", "RUN cat /copied > /made\nRUN rm -f /commit"])
        (context / "Dockerfile").write_text(f"FROM {base}\nCOPY file /copied\n{steps}\n")
        options = ["--no-cache"] if self._random.random() < 0.2 else []
        self._call("build", *options, "-t", name, str(context))
        self.images[name] = content
        self._look(name)

    def _commit(self) -> None:
        name, container, content = self._new_name(), f"{self._prefix}-{self._count}", f"commit {self._count}\n"
        base = self._random.choice(["busybox", *self.images])
        self._call("run", "--name", container, base, "sh", "-c", f"echo commit {self._count} > /made; echo > /commit")
        self._call("exec", container, "test", "-e", "/commit")
        self._call("commit", container, name)
        self._call("rm", container)
        self.images[name] = content
        self._look(name)

    def _company(self) -> None:
        container, name = f"{self._prefix}-{self._count}", self._any()
        self._call("run", "-d", "--name", container, name, "sleep", "1000")
        self._expect(self.images[name], self._call("exec", container, "cat", "/made"), "/made beside a process")
        self._call("rm", "-f", container)
        self._call("exec", container, "true", code=1)

    def _run(self) -> None:
        self._look(self._any())

    def _tag(self) -> None:
        old, new = self._any(), self._new_name()
        self._call("tag", old, new)
        self.images[new] = self.images[old]
        self._look(new)

    def _rmi(self) -> None:
        name = self._any()
        self._call("rmi", name)
        del self.images[name]
        self._call("inspect", "--type", "image", name, code=1)

    def _archive(self) -> None:
        name, archive = self._any(), str(self._place / "image.tar")
        kind = self._random.choice(["docker", "oci"])
        self._call("save", "--format", kind, "-o", archive, name)
        self._call("rmi", name)
        self._call("load", "-i", archive)
        self._look(name)

    def _push_and_pull(self) -> None:
        name = self._any()
        remote = f"{self._registry}/{name}"
        self._call("tag", name, remote)
        self._call("push", remote)
        self._call("rmi", remote)
        self._call("pull", remote)
        content = self._call("run", "--rm", remote, "cat", "/made")
        self._expect(self.images[name], content, f"/made in {remote}")
        self._call("rmi", remote)

    def _list(self) -> None:
        shown = self._call("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        own = {name for name in shown if name.startswith(f"{self._prefix}/")}
        self._expect(set(self.images), own, "names that are listed")

    def _inspect(self) -> None:
        name = self._any()
        id_ = self._call("inspect", "-f", "{{.Id}}", name).strip()
        self._expect(id_, self._call("inspect", "-f", "{{.Id}}", id_).strip(), f"the id of {name}")
        self._call("history", name)

    def _prune(self) -> None:
        command = self._random.choice(
            [("image", "prune"), ("builder", "prune"), ("builder", "prune", "-a"), ("system", "prune")]
        )
        self._call(*command, "-f", busy=True)
