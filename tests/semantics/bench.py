"""Whole builds: the command line in this process, or as a process of its own where it runs steps."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from builder.cli.main import main
from layers.compression import open_reader
from layers.reference import Reference
from layers.store.layout import Layout
from layers.store.merged import MergedFiles, reading
from layers.store.trees import Trees
from tests.support.material import make
from tests.support.programs import Pybuild

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layers.changeset.entry import Entry
    from layers.changeset.tree import Tree
    from layers.image import Image


@dataclass(frozen=True)
class Built:
    """An image, and what was said while it was built."""

    image: Image
    layout: Layout
    scratch: Path
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The config as JSON."""
        found: dict[str, Any] = json.loads(self.image.config_bytes)
        return found

    @property
    def config(self) -> dict[str, Any]:
        """What a container gets of it."""
        found: dict[str, Any] = self.document["config"]
        return found

    @property
    def env(self) -> dict[str, str]:
        """The variables, without PATH."""
        pairs = (variable.partition("=") for variable in self.config.get("Env", []))
        return {name: value for name, _, value in pairs if name != "PATH"}

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.config.get("Labels") or {}
        return found

    @property
    def history(self) -> list[str]:
        """The steps in the history's words."""
        return [entry["created_by"] for entry in self.document["history"]]

    @property
    def tree(self) -> Tree:
        return Trees(self.layout).tree(self.image.layers)

    @property
    def files(self) -> dict[str, Entry]:
        """What is in it, by path."""
        return {entry.path.decode(): entry for entry in self.tree.walk()}

    @property
    def paths(self) -> list[str]:
        return sorted(self.files)

    def text(self, path: str) -> str:
        """Give a file's content."""
        files = MergedFiles(Trees(self.layout), self.image.layers, self.scratch)
        with reading(files.open(path.encode())) as file:
            return file.read().decode()

    def layer(self, index: int = -1) -> dict[str, tarfile.TarInfo]:
        """Give what is in one layer's tar, by the names in it."""
        return {info.name: info for info in self.members(index)}

    def members(self, index: int = -1) -> list[tarfile.TarInfo]:
        """Give the members of one layer's tar in order."""
        with self.image.layers[index].open() as blob, open_reader(blob) as content:
            data = content.read()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return tar.getmembers()

    @property
    def cached(self) -> int:
        """How many steps were not carried out."""
        return self.err.count(" CACHED\n")


@dataclass
class Bench:
    """Where tests build."""

    root: Path
    processes: bool = False
    """Run the program as a process of its own: what runs steps enters namespaces."""
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.home.mkdir(exist_ok=True)
        self.layout = Layout.open(self.store)

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def home(self) -> Path:
        return self.root / "home"

    def put(self, name: str, image: Image) -> None:
        """Give the store a base image."""
        self.layout.tag(Reference.parse(name), self.layout.put(image))

    def context(self, dockerfile: str, files: Any = ()) -> Path:
        """Make a context: files as a mapping, or as ``tests.support.material`` describes them."""
        self.count += 1
        context = self.root / f"context{self.count}"
        context.mkdir()
        if isinstance(files, dict):
            files = [{"path": path, "content": content} for path, content in files.items()]
        make(context, files)
        (context / "Dockerfile").write_text(dockerfile)
        return context

    def run(self, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Run the program; give its exit code, output and errors."""
        given = [str(each) for each in arguments]
        program = Pybuild(self.store, self.home)
        if self.processes:
            done = subprocess.run(
                program.command("build", *given),
                check=False,
                capture_output=True,
                text=True,
                env=program.environment(variables),
                cwd=self.home,
            )
            return done.returncode, done.stdout, done.stderr
        streams = io.BytesIO(), io.BytesIO()
        out, err = (io.TextIOWrapper(stream, write_through=True) for stream in streams)
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(program.environment(variables))
        code: object = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main(["build", "--root", str(self.store), *given])
        except SystemExit as end:
            code = end.code
        finally:
            os.environ.clear()
            os.environ.update(before)
        texts = [stream.getvalue().decode() for stream in streams]
        assert "Traceback" not in texts[1], texts[1]
        return int(str(code)), texts[0], texts[1]

    def build(
        self, dockerfile: str, files: Any = (), *options: str, variables: Mapping[str, str] | None = None
    ) -> Built:
        """Build, which must go well."""
        return self.again(self.context(dockerfile, files), *options, variables=variables)

    def again(self, context: Path, *options: str, variables: Mapping[str, str] | None = None) -> Built:
        """Build in a context that is there."""
        code, _, err = self.run("--progress=plain", "-t", "built", *options, context, variables=variables)
        assert code == 0, err
        return Built(self.layout.image(Reference.parse("built")), self.layout, self.root, err)

    def fails(self, dockerfile: str, files: Any = (), *options: str) -> str:
        """Build, which must fail; give what is said on standard error."""
        code, _, err = self.run("--progress=plain", *options, self.context(dockerfile, files))
        assert code == 1, err
        return err[err.rindex("\nERROR: ") + 1 :] if not err.startswith("ERROR: ") else err
