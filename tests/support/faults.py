"""What a registry in memory can be told to do wrong; see :meth:`tests.support.registry.Registry.fault`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.registry import Action, Handler


def status(code: int, body: bytes = b"", **headers: str) -> Action:
    """Answer with a status and headers; ``Retry_After="0"`` is the header ``Retry-After``."""

    def act(handler: Handler) -> bool:
        handler.answer(code, body, {key.replace("_", "-"): value for key, value in headers.items()})
        return True

    return act


def drop_after(count: int) -> Action:
    """Cut the connection after ``count`` bytes of the body."""

    def act(handler: Handler) -> bool:
        handler.drop_after = count
        return False

    return act


def hang_up(handler: Handler) -> bool:
    """Cut the connection before any answer."""
    handler.close_connection = True
    return True


def stall(handler: Handler) -> bool:
    """Say nothing until the end of the test."""
    handler.registry.stopped.wait(60)
    handler.close_connection = True
    return True


def with_headers(**headers: str) -> Action:
    """Answer as always, with these headers instead; an empty one is left out."""

    def act(handler: Handler) -> bool:
        handler.extra = {key.replace("_", "-"): value for key, value in headers.items()}
        return False

    return act
