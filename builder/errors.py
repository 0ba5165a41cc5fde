"""Everything that goes wrong in a build, and where.

BuildError
├── DockerfileError      the text breaks the Dockerfile's grammar or an instruction's rules
├── ContextError         a file of the build context is missing, excluded, changed or unsafe
├── StepError            an instruction failed while it was carried out
│   ├── RunError         the command of a RUN ended with a status other than 0
│   └── LeakError        a secret's value was about to get into the image
├── IsolationError       no way was found to run a process in a root file system
├── ExportError          the image cannot be brought where it was asked to go
└── CancelledError       the user ended the build
"""

from __future__ import annotations

from layers.frozen import frozen


@frozen(order=True)
class SourceRange:
    """Lines of a Dockerfile, counted from 1; ``end`` is the last line itself."""

    file: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.file}:{self.start}"


class BuildError(Exception):
    """The base of this package's errors: what, where, and how to fix it."""

    def __init__(self, message: str, *, where: SourceRange | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class DockerfileError(BuildError):
    """The text breaks the Dockerfile's grammar or an instruction's rules."""


class ContextError(BuildError):
    """A file of the build context is missing, excluded, changed or unsafe."""


class StepError(BuildError):
    """An instruction failed while it was carried out."""


class RunError(StepError):
    """The command of a RUN ended with a status other than 0."""

    def __init__(self, command: str, exit_code: int, *, where: SourceRange | None = None, hint: str = "") -> None:
        message = f'process "{command}" did not complete successfully: exit code: {exit_code}'
        super().__init__(message, where=where, hint=hint)
        self.exit_code = exit_code


class LeakError(StepError):
    """A secret's value was about to get into the image; the lines of the Dockerfile may hold it and are not shown."""


class IsolationError(BuildError):
    """No way was found to run a process in a root file system."""


class ExportError(BuildError):
    """The image cannot be brought where it was asked to go."""


class CancelledError(BuildError):
    """The user ended the build."""
