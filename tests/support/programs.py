"""Other people's programs, and pybuild's own command line as people run it: as a process."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import referencing
from referencing.jsonschema import DRAFT4

from layers.reference import Reference
from layers.store.layout import Layout
from layers.validate import validate_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layers.image import Image

# Nothing leaves the machine: what is on loopback is reached directly, and all else is refused at once.
_OFFLINE = {"https_proxy": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1,localhost"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SCHEMAS = Path(__file__).parents[1] / "data" / "oci-schemas"
_SECONDS = 120


def need(*names: str) -> None:
    """Skip the test where a program is missing; in CI that is a failure (see ``tests/conftest.py``)."""
    missing = [name for name in names if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def run(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, seconds: float = _SECONDS
) -> str:
    """Give what a program prints; it must end well, and in time."""
    need(str(command[0]))
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=seconds,
        env={"PATH": PATH, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8", **(env or {})},
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr}{done.stdout}"
    return done.stdout


def skopeo(*arguments: str | Path) -> str:
    """Run skopeo without a policy file."""
    return run("skopeo", "--insecure-policy", *arguments)


def schema(name: str) -> jsonschema.Draft4Validator:
    """Give the validator of one of the image-spec's JSON schemas."""
    resources = []
    for path in _SCHEMAS.iterdir():
        content = json.loads(path.read_text())
        resource = DRAFT4.create_resource(content)
        bases = ("", "https://opencontainers.org/schema/", "https://opencontainers.org/schema/image/")
        resources += [(f"{base}{path.name}", resource) for base in bases]
        resources += [(f"https://opencontainers.org/schema/image/descriptor/{path.name}", resource)]
        resources += [(content.get("id", ""), resource)]
    registry = referencing.Registry[Any]().with_resources(resources)
    return jsonschema.Draft4Validator(json.loads((_SCHEMAS / name).read_text()), registry=registry)


@dataclass(frozen=True)
class Done:
    """How a run of pybuild ended."""

    code: int
    out: bytes
    err: str

    @property
    def cached(self) -> list[str]:
        """The titles of the steps that were not carried out."""
        lines = self.err.splitlines()
        return [
            line.partition(" ")[2]
            for line, following in itertools.pairwise(lines)
            if following == f"{line.partition(' ')[0]} CACHED"
        ]

    @property
    def steps(self) -> list[str]:
        """The titles of all steps of the Dockerfile."""
        return [line.partition(" ")[2] for line in self.err.splitlines() if line.startswith("#") and " [" in line]


@dataclass
class Pybuild:
    """pybuild's command line with a store and a home of its own: ``pybuild("-t", "app", context)``."""

    store: Path
    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """What is run in its place, and runs it."""

    def without(self, *names: str) -> Pybuild:
        """Give the same where some programs are not installed: it sees something else in their place."""
        paths = [path for name in names for folder in PATH.split(":") if os.path.exists(path := f"{folder}/{name}")]
        hidden = " && ".join(f"mount --bind /dev/null {path}" for path in paths) or "true"
        user = () if os.geteuid() == 0 else ("--user", "--map-current-user", "--keep-caps")
        return replace(self, prefix=("unshare", *user, "--mount", "sh", "-c", f'{hidden} && exec "$@"', "sh"))

    def command(self, *arguments: str | Path) -> list[str]:
        """Give the command line; the store is in it, by which its processes are known."""
        given = [str(each) for each in arguments]
        return [*self.prefix, sys.executable, "-m", "builder", "--root", str(self.store), *given]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give all of the environment: nothing of the suite's own comes through."""
        own = {"PATH": PATH, "HOME": str(self.home), "LANG": "C.UTF-8"} | _OFFLINE | self.variables | dict(more or {})
        coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        return own | coverage

    def __call__(
        self,
        *arguments: str | Path,
        code: int = 0,
        input: bytes = b"",  # noqa: A002 - named as subprocess does
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        before: Callable[[], None] | None = None,
    ) -> Done:
        """Run to the end, which must be of this exit code, and never with a traceback."""
        done = subprocess.run(
            self.command(*arguments),
            input=input,
            capture_output=True,
            check=False,
            cwd=cwd or self.home,
            env=self.environment(env),
            timeout=_SECONDS,
            preexec_fn=before,
        )
        error = done.stderr.decode(errors="replace")
        assert (code, "") == (done.returncode, error if "Traceback" in error else ""), error
        return Done(done.returncode, done.stdout, error)

    def start(self, *arguments: str | Path, output: Path) -> subprocess.Popen[bytes]:
        """Start, to be disturbed; what it prints goes to a file."""
        with output.open("wb") as file:
            return subprocess.Popen(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.home,
                env=self.environment(),
                start_new_session=True,
            )

    def fails(self, *arguments: str | Path, code: int = 1, **more: Any) -> str:
        """Run what must fail, and give its last lines: the error and what belongs to it."""
        error = self(*arguments, code=code, **more).err
        lines = error.splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith(("ERROR: ", "Error: ", "Usage: "))]
        assert starts, error
        assert not self.left()
        return "\n".join(lines[starts[-1] :])

    @property
    def layout(self) -> Layout:
        """The store."""
        return Layout.open(self.store)

    def image(self, name: str) -> Image:
        """Give an image out of the store; it is valid to the last byte and follows the schemas."""
        image = self.layout.image(Reference.parse(name))
        validate_image(image)
        schema("image-manifest-schema.json").validate(json.loads(image.manifest_bytes))
        schema("config-schema.json").validate(json.loads(image.config_bytes))
        return image

    def check_store(self) -> None:
        """Find the store sound: by the schemas, by every blob's digest, by skopeo."""
        if not (self.store / "oci-layout").exists():  # nothing has come into being yet
            assert not list(self.store.glob("*"))
            return
        schema("image-layout-schema.json").validate(json.loads((self.store / "oci-layout").read_text()))
        schema("image-index-schema.json").validate(json.loads((self.store / "index.json").read_text()))
        layout = self.layout
        for digest in layout.blobs.list():
            with layout.blobs.open(digest) as blob:
                while blob.read(1 << 20):
                    pass
        for reference, _ in layout.names():
            self.image(str(reference))
            skopeo("inspect", "--raw", f"oci:{self.store}:{reference}")

    def left(self) -> list[str]:
        """Give what a build has left behind: temporary files, processes, mounts."""
        names = [str(path) for folder in ("tmp", "run") for path in (self.store / folder).glob("*")]
        names += [str(path) for path in self.store.glob("unpacked/*/.new-*")]
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.store) in line]
        return [*names, *mounts, *processes(str(self.store))]


def processes(marker: str) -> list[str]:
    """Give the command lines of all processes that have ``marker`` in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if marker in text and path.parent.name != str(os.getpid()):
            found.append(text)
    return found


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not true after {seconds} seconds"
        time.sleep(0.02)


def remove(directory: Path) -> None:
    """Remove a directory, also where an ordinary user's subordinate ids own files there."""
    shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():
        script = "import shutil, sys; from builder.runtime.userns import enter; enter(); shutil.rmtree(sys.argv[1])"
        subprocess.run([sys.executable, "-c", script, str(directory)], check=True)
