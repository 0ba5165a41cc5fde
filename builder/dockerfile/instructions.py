"""Instructions: one class for each, frozen; its docstring is its syntax.

Values stand as written until :func:`builder.dockerfile.expand.expand` gives the instruction anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from builder.dockerfile.heredoc import Heredoc, heredoc_of
from layers.frozen import frozen

if TYPE_CHECKING:
    from builder.dockerfile.mounts import RunMount
    from builder.errors import SourceRange


@frozen(kw_only=True)
class Written:
    """What every instruction has."""

    where: SourceRange
    text: str
    """The instruction as written, continued lines joined, without heredoc bodies."""

    @property
    def keyword(self) -> str:
        """The instruction's name in upper case."""
        return type(self).__name__.upper()


@frozen
class From(Written):
    """``FROM [--platform=platform] image [AS name]``: begin a stage."""

    image: str
    name: str | None
    """In lower case."""
    platform: str | None


@frozen
class Run(Written):
    """``RUN [--mount=...] [--network=...] [--security=...] [--device=...] command | ["program", ...]``."""

    arguments: tuple[str, ...]
    """In shell form one text, or none where nothing follows RUN."""
    shell: bool
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[RunMount, ...] = ()
    network: str = "default"
    """``default``, ``none`` or ``host``."""
    security: str = "sandbox"
    """``sandbox`` or ``insecure``."""
    devices: tuple[str, ...] = ()
    """Each as written: ``name[,required]``."""

    @property
    def script(self) -> Heredoc | None:
        """The heredoc that is all of the command and begins with ``#!``: a file to be executed, not a shell's text."""
        if self._lone and self.heredocs[0].body.startswith("#!"):
            return self.heredocs[0]
        return None

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments with heredocs put in; in shell form still without the shell.

        A lone heredoc's body is the command itself, so any shell will do; with anything beside it the shell reads the
        heredocs as written.
        """
        if not self.heredocs:
            return self.arguments or (("",) if self.shell else ())
        if self._lone:
            return (self.heredocs[0].body,)
        bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in self.heredocs)
        return (self.arguments[0] + bodies,)

    @property
    def _lone(self) -> bool:
        return len(self.heredocs) > 0 and heredoc_of(self.arguments[0]) is not None


@frozen
class Copy(Written):
    """``COPY [flags] source ... destination``, also as JSON; a source may be ``<<NAME``."""

    sources: tuple[str, ...]
    """Paths; heredocs are not among them."""
    destination: str
    from_stage: str | None = None
    """A stage's name or number, a named context or an image."""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()


@frozen
class Add(Written):
    """``ADD [flags] source ... destination``: copy files, unpack archives, fetch URLs and git repositories."""

    sources: tuple[str, ...]
    """Paths and URLs; heredocs are not among them."""
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    checksum: str = ""
    unpack: bool | None = None
    """None where the flag is not given: local archives are unpacked then, remote ones are not."""
    keep_git_dir: bool | None = None


@frozen
class Env(Written):
    """``ENV key=value ...``: set variables for later instructions and the image."""

    pairs: tuple[tuple[str, str], ...]


@frozen
class Label(Written):
    """``LABEL key=value ...``: set labels of the image."""

    pairs: tuple[tuple[str, str], ...]


@frozen
class Arg(Written):
    """``ARG name[=value] ...``: declare what ``--build-arg`` may set."""

    pairs: tuple[tuple[str, str | None], ...]


@frozen
class Workdir(Written):
    """``WORKDIR path``: make a directory and work there from now on."""

    path: str


@frozen
class User(Written):
    """``USER user[:group]``: who runs later commands and the image."""

    user: str


@frozen
class Cmd(Written):
    """``CMD command | ["program", ...]``: what a container runs, or gives to its entry point."""

    arguments: tuple[str, ...]
    """In shell form one text, or none where nothing follows CMD."""
    shell: bool


@frozen
class Entrypoint(Written):
    """``ENTRYPOINT command | ["program", ...]``: what a container always runs."""

    arguments: tuple[str, ...]
    """In shell form one text, or none where nothing follows ENTRYPOINT."""
    shell: bool


@frozen
class Expose(Written):
    """``EXPOSE port[-port][/protocol] ...``: say which ports a container listens on."""

    ports: tuple[str, ...]
    """In the order of their text, as written or, once expanded, as ``port/protocol`` each."""


@frozen
class Volume(Written):
    """``VOLUME path ...`` or ``VOLUME ["path", ...]``: say where a container keeps data."""

    paths: tuple[str, ...]


@frozen
class Shell(Written):
    """``SHELL ["program", "argument", ...]``: what runs commands in shell form."""

    arguments: tuple[str, ...]


@frozen
class Stopsignal(Written):
    """``STOPSIGNAL name | number``: the signal that ends a container."""

    signal: str


@frozen
class Healthcheck(Written):
    """``HEALTHCHECK [--interval=...] ... CMD command`` or ``HEALTHCHECK NONE``: how to see that a container is well."""

    test: tuple[str, ...] | None
    """The command's words; None for ``NONE``, which also takes away an inherited check."""
    shell: bool = False
    interval: int = 0
    """Nanoseconds, as all of these; 0 where not given."""
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@frozen
class Onbuild(Written):
    """``ONBUILD instruction``: what to do in a stage that begins from this image."""

    expression: str
    """The instruction as written, with its heredocs."""


@frozen
class Maintainer(Written):
    """``MAINTAINER name``: the image's author; a label is preferred."""

    name: str


Instruction: TypeAlias = (
    From | Run | Copy | Add | Env | Label | Arg | Workdir | User | Cmd | Entrypoint | Expose | Volume | Shell
    | Stopsignal | Healthcheck | Onbuild | Maintainer
)  # fmt: skip
