"""Warnings as people and programs read them: gathered during a build, told at its end."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from builder.dockerfile.parse import excerpt
from builder.dockerfile.rules import RULES, page
from builder.events import Warned
from builder.execute.guard import RULE as LEAK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.cli.render import Renderer
    from builder.errors import SourceRange
    from builder.events import Event


@dataclass(slots=True)
class Gathering:
    """A renderer that keeps the warnings that pass through it, each once."""

    renderer: Renderer
    found: dict[Warned, None] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Show one event; a warning only the first time."""
        if isinstance(event, Warned):
            if event in self.found:
                return
            self.found[event] = None
        self.renderer(event)

    def close(self) -> None:
        """Show what is left."""
        self.renderer.close()


def summary(found: Sequence[Warned], content: bytes, file: str) -> str:
    """Give what stands at the end of a build: how many there are, and each with its lines."""
    if not found:
        return ""
    lines = [f"\n {_count(len(found))} found:"]
    for warning in found:
        place = f" (line {warning.where.start})" if warning.where else ""
        lines.append(f" - {warning.rule}: {warning.message}{place}")
        shown = source_lines(content, file, warning.where)
        if shown and warning.rule != LEAK:  # those lines may hold the secret
            lines.append(shown + "\n")
    return "\n".join(lines)


def source_lines(content: bytes, file: str, where: SourceRange | None) -> str:
    """Give the lines of a place and those around it; "" where it is not in this file."""
    if where is None or where.file != file:
        return ""
    return excerpt(content.decode("utf-8", "replace").splitlines(), where)


def metadata(found: Sequence[Warned], content: bytes, file: str) -> list[dict[str, Any]]:
    """Give warnings as buildx writes them into a metadata file: texts in base64, the Dockerfile with each."""
    documents = []
    for warning in found:
        place = f" (line {warning.where.start})" if warning.where else ""
        document: dict[str, Any] = {"level": 1, "short": _base64(f"{warning.rule}: {warning.message}{place}")}
        if warning.rule in RULES:
            document |= {"detail": [_base64(RULES[warning.rule])]}
        if url := page(warning.rule):
            document |= {"url": url}
        if warning.where is not None and warning.where.file == file:
            document |= {"sourceInfo": source(content, file), "range": ranges(warning.where)}
        documents.append(document)
    return documents


def source(content: bytes, file: str) -> dict[str, str]:
    """Give a Dockerfile as it goes with places in it."""
    return {"filename": file, "data": base64.b64encode(content).decode(), "language": "Dockerfile"}


def ranges(where: SourceRange) -> list[dict[str, dict[str, int]]]:
    """Give a place in BuildKit's form."""
    return [{"start": {"line": where.start}, "end": {"line": where.end}}]


def _count(number: int) -> str:
    return "1 warning" if number == 1 else f"{number} warnings"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
