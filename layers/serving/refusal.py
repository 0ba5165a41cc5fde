"""Answers that say no, in the words of the standard.

Spec: distribution-spec/spec.md, "Error Codes".
"""

from __future__ import annotations

import json


class RefusalError(Exception):
    """A request is refused: a status of HTTP, a code of the specification, and why."""

    def __init__(self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    @property
    def body(self) -> bytes:
        """The JSON document that tells the client."""
        return json.dumps({"errors": [{"code": self.code, "message": self.message}]}).encode()


def unknown_manifest(message: str) -> RefusalError:
    """Give the refusal of a manifest that is not there."""
    return RefusalError(404, "MANIFEST_UNKNOWN", message)


def bad_manifest(message: str) -> RefusalError:
    """Give the refusal of a manifest that breaks a rule."""
    return RefusalError(400, "MANIFEST_INVALID", message)


def unsupported(message: str) -> RefusalError:
    """Give the refusal of what this registry does not do."""
    return RefusalError(405, "UNSUPPORTED", message)
