"""Readers of the command line: templates, sizes, times, and values with a grammar of their own."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from builder.cli import human, inputs
from builder.cli.call import Call
from builder.cli.imagefilters import glob
from builder.cli.template import Template
from builder.containers.work import read_mount
from builder.context.remote_git import GitRef, redacted
from builder.dockerfile.durations import nanoseconds
from builder.dockerfile.ports import is_mapping, protocol_of, single_ports
from builder.dockerfile.rules import Checks
from builder.dockerfile.stopsignals import check_signal
from builder.errors import BuildError
from builder.execute.chmod import Chmod
from builder.execute.times import parse_epoch
from builder.export.exporter import Output
from builder.runtime.user import resolve_owner, resolve_user
from layers.errors import LayersError
from tests.fuzz.target import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

_IMAGE: dict[str, Any] = {
    "Id": "sha256:" + "0" * 64,
    "RepoTags": ["a:b", "c:d"],
    "Size": 12345,
    "Config": {"Env": ["A=b"], "Labels": {"x": "y"}, "Cmd": None, "User": ""},
    "True": True,
    "Nothing": None,
    "Half": 0.5,
}
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:\n:::\nbad:x:y:z\n\xff:x:7:8::/:\n"
_GROUP = b"root:x:0:\nstaff:x:50:me,root\nbad:x:y:\n"
_ENVIRONMENT = {"A": "b", "SECRET": "value", "\udcff": "\udcfe"}


def template(content: bytes) -> None:
    """Read a template of Go and carry it out."""
    found = Template.parse(text_of(content))
    for value in (_IMAGE, "text", None):
        with contextlib.suppress(BuildError):
            found.render(value)


def numbers(content: bytes) -> None:
    """Read sizes, times and durations."""
    text = text_of(content)
    human.parse_size(text)
    human.point_in_time(text)
    for show in (human.ago, human.created_at, human.rfc3339):
        assert show(text)
    _each(
        lambda: inputs.size(text, "--memory"),
        lambda: nanoseconds("interval", text),
        lambda: parse_epoch(text),
        lambda: inputs.limits([text]),
        lambda: check_signal(text),
        lambda: Chmod.parse(text).apply(0o644, directory=False),
    )


def options(content: bytes) -> None:
    """Read an option's value by the grammar of each."""
    text = text_of(content)
    values = text.split("\n")
    _each(
        lambda: inputs.pairs(values, "--label"),
        lambda: inputs.build_arguments(values, _ENVIRONMENT),
        lambda: inputs.annotation_pairs(values),
        lambda: inputs.extra_hosts(values),
        lambda: inputs.secrets(values, _ENVIRONMENT),
        lambda: inputs.limits(values),
        lambda: inputs.allowed(values),
        lambda: inputs.stage_names(values),
        lambda: Output.parse(text),
        lambda: Call.parse(text),
        lambda: Checks.parse(text),
        lambda: glob(text).match("a/b:c"),
        lambda: read_mount(text),
        lambda: [protocol_of(port) for port in single_ports(text)],
        lambda: is_mapping(text),
    )


def users(content: bytes) -> None:
    """Look a user up: the first line is who, then a passwd file and behind ``%%`` a group file."""
    who, _, files = content.partition(b"\n")
    passwd, _, group = files.partition(b"%%")
    _each(
        lambda: resolve_user(text_of(who), _PASSWD, _GROUP),
        lambda: resolve_owner(text_of(who), _PASSWD, _GROUP),
        lambda: resolve_user(text_of(who), passwd, group),
        lambda: resolve_owner(text_of(who), passwd, group),
    )


def repository(content: bytes) -> None:
    """Read the address of a git repository."""
    text = text_of(content)
    redacted(text)
    for shorthand in (True, False):
        GitRef.parse(text, shorthand=shorthand)


def _each(*readers: Callable[[], object]) -> None:
    for read in readers:
        with contextlib.suppress(BuildError, LayersError):
            json.dumps(str(read()))
