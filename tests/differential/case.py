"""Cases: folders with a Dockerfile, and what belongs to it as data.

- ``Dockerfile``, and ``Dockerfile.older`` where the real builder is too old for what the first one says; the same said
  in its words. Both must then give the same file system; histories differ by their nature and are not compared.
- ``context.json``: the build context's files, as ``tests.support.material`` describes them
- ``case.json``, all of it optional:
  ``build_args``, ``labels``: objects; ``target``, ``platform``: text;
  ``fails``: ``{"ours": text, "theirs": text}``, which the messages contain; null where that builder succeeds;
  ``older``: why the real builder is given other words, or succeeds or fails alone;
  ``expected_differences``: ``[{"at": where, "ours": value, "theirs": value, "reason": why}]``: each must be there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CASES = Path(__file__).parent / "cases"
_KNOWN = {"build_args", "labels", "target", "platform", "fails", "older", "expected_differences"}


@dataclass(frozen=True)
class Case:
    """One Dockerfile, to be built by both."""

    name: str
    dockerfile: bytes
    older: bytes | None = None
    context: list[dict[str, Any]] = field(default_factory=list)
    build_args: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    fails: dict[str, str | None] | None = None
    expected: list[dict[str, Any]] = field(default_factory=list)

    @property
    def options(self) -> list[str]:
        """Give the command-line options, which both builders understand."""
        options = ["--network=host"]
        options += [f"--build-arg={name}={value}" for name, value in self.build_args.items()]
        options += [f"--label={name}={value}" for name, value in self.labels.items()]
        options += [f"--target={self.target}"] if self.target else []
        options += [f"--platform={self.platform}"] if self.platform else []
        return options


def read_cases() -> list[Case]:
    """Give all cases, by name.

    Raises:
        AssertionError: a case has an unknown key, or does not give a reason for a difference.
    """
    return [_read(folder) for folder in sorted(_CASES.iterdir())]


def _read(folder: Path) -> Case:
    older, context, options = (folder / name for name in ("Dockerfile.older", "context.json", "case.json"))
    case = json.loads(options.read_text()) if options.exists() else {}
    assert set(case) <= _KNOWN, folder.name
    fails, expected = case.get("fails"), case.get("expected_differences", [])
    alone = older.exists() or (fails is not None and None in {fails["ours"], fails["theirs"]})
    assert alone == bool(case.get("older")), f"{folder.name}: older is the reason for builders that are told apart"
    assert all(each["reason"] for each in expected), folder.name
    return Case(
        folder.name,
        (folder / "Dockerfile").read_bytes(),
        older.read_bytes() if older.exists() else None,
        json.loads(context.read_text()) if context.exists() else [],
        case.get("build_args", {}),
        case.get("labels", {}),
        case.get("target", ""),
        case.get("platform", ""),
        fails,
        expected,
    )
