"""``--filter`` of ``pybuild ps``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.cli.stored import find
from builder.errors import BuildError
from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.containers.record import Container
    from builder.containers.store import Containers

    Test = Callable[[Container], bool]

_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_KEYS = ("ancestor", "before", "exited", "id", "label", "name", "network", "since", "status", "volume")


class Filters:
    """Which containers are wanted; one has to pass every key, by any of the key's values, and all of the labels."""

    def __init__(self, containers: Containers, given: Sequence[str]) -> None:
        """Read ``key=value`` each.

        Raises:
            BuildError: no pair, an unknown key, or a value that does not fit it.
            NotFoundError: ``before`` or ``since`` a container that is not here.
        """
        self._containers = containers
        self._tests: dict[str, list[Test]] = {}
        for text in given:
            key, equals, value = text.partition("=")
            if key not in _KEYS or not equals:
                raise BuildError(f"invalid filter {text!r}", hint=f"the filters are {', '.join(_KEYS)}")
            self._tests.setdefault(text if key == "label" else key, []).append(self._test(key, value))

    @property
    def of_any_state(self) -> bool:
        """Whether containers that do not run are asked for."""
        return bool({"status", "exited"} & self._tests.keys())

    def take(self, container: Container) -> bool:
        """Tell whether a container is wanted."""
        return all(any(test(container) for test in tests) for tests in self._tests.values())

    def _test(self, key: str, value: str) -> Test:
        match key:
            case "name":
                return _named(value)
            case "id":
                return lambda container: container.id.startswith(value)
            case "ancestor":
                return self._made_of(value)
            case "label":
                return lambda container: _has_label(container, value)
            case "status":
                return self._in_state(value)
            case "exited":
                if not value.isdecimal():
                    raise BuildError(f"invalid filter exited={value!r}", hint="write an exit code")
                return lambda container: bool(container.finished) and container.exit_code == int(value)
            case "network":
                return lambda container: container.network == value
            case "volume":
                return lambda container: any(value.rstrip("/") in each.split(":")[:2] for each in container.mounts)
            case _:
                return self._older_or_younger(key, value)

    def _in_state(self, value: str) -> Test:
        if value not in _STATES:
            raise BuildError(f"invalid filter status={value!r}", hint=f"the states are {', '.join(_STATES)}")
        return lambda container: value == container.state(running=self._containers.is_running(container))

    def _older_or_younger(self, key: str, value: str) -> Test:
        other = self._containers.find(value).created
        return (lambda each: each.created < other) if key == "before" else (lambda each: each.created > other)

    def _made_of(self, value: str) -> Test:
        """Look for the image itself, and for those that go on from its layers."""
        layout = self._containers.layout
        try:
            wanted = find(layout, value)
        except (NotFoundError, InvalidError):
            return lambda container: value in {container.image, container.base}
        layers = wanted.image.config.diff_ids

        def made(container: Container) -> bool:
            base = layout.image(Digest.parse(container.base))
            return base.id == wanted.image.id or (bool(layers) and layers == base.config.diff_ids[: len(layers)])

        return made


def _named(pattern: str) -> Test:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise BuildError(f"invalid filter name={pattern!r}: {error}") from None
    return lambda container: bool(expression.search(container.name) or expression.search(f"/{container.name}"))


def _has_label(container: Container, text: str) -> bool:
    name, equals, value = text.partition("=")
    return name in container.labels and (not equals or container.labels[name] == value)
