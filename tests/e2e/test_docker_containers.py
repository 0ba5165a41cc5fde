"""Containers beside a real Docker engine's: the same command lines, the same output and exit codes."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.dockerd import client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.dockerd import Docker
    from tests.support.programs import Pybuild

pytestmark = [pytest.mark.e2e, pytest.mark.root]

Command = tuple[str, ...]
Answer = tuple[int, bytes]

TRAPS = "trap 'exit 9' TERM; trap 'exit 8' HUP; while :; do sleep 0.05; done"
RUN = ("run", "--network=host")


def answers(program: Sequence[str], commands: Sequence[Command], environment: dict[str, str]) -> list[Answer]:
    """Give the exit code and the standard output of each command; ids are masked."""
    found = []
    for command in commands:
        done = subprocess.run(
            [*program, *command],
            input=b"line one\nline two\n",
            capture_output=True,
            check=False,
            timeout=120,
            env=environment,
        )
        out = re.sub(rb"\b[0-9a-f]{64}\b", b"ID", done.stdout)
        if command[0] == "diff":  # Docker's order is none
            out = b"".join(sorted(out.splitlines(keepends=True)))
        found.append((done.returncode, out))
    return found


SCENES: dict[str, list[Command]] = {
    "streams": [
        (*RUN, "-i", "--rm", "busybox", "cat"),
        (*RUN, "--rm", "busybox", "cat"),
        (*RUN, "-i", "--rm", "busybox", "head", "-n", "1"),
        (*RUN, "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"),
        (*RUN, "--rm", "-t", "busybox", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo yes; echo $TERM"),
        (*RUN, "--rm", "-it", "busybox", "true"),
    ],
    "codes": [
        (*RUN, "--rm", "busybox", "sh", "-c", "exit 3"),
        (*RUN, "--rm", "busybox", "sh", "-c", "kill -9 $$; exit 1"),
        (*RUN, "--rm", "busybox", "nope"),
        (*RUN, "--rm", "busybox", "/etc/motd"),
        (*RUN, "--rm", "--nope", "busybox"),
        (*RUN, "--rm", "-w", "relative", "busybox", "pwd"),
        (*RUN, "--rm", "-u", "nobody-knows", "busybox", "id"),
        (*RUN, "-d", "--name", "work", "busybox", "nope"),
        ("ps", "-a", "--format", "{{.Names}} {{.Status}} {{.State}}"),
        ("start", "work"),
        ("start", "nope"),
        ("stop", "work"),
        ("kill", "work"),
        ("attach", "work"),
        ("rm", "nope", "work"),
    ],
    "options": [
        (*RUN, "--rm", "-w", "/srv", "-u", "web", "-e", "A=1", "busybox", "sh", "-c", "pwd; id; echo $A $HOME"),
        (*RUN, "--rm", "-u", "33:44", "busybox", "id"),
        (*RUN, "--rm", "--entrypoint", "echo", "busybox", "a", "b"),
        (*RUN, "--rm", "--entrypoint", "echo", "busybox"),
        (*RUN, "--rm", "--read-only", "--tmpfs", "/work:size=64k", "busybox", "sh", "-c", "touch /work/a && touch /b"),
        (*RUN, "--rm", "--add-host", "there:10.1.2.3", "busybox", "grep", "there", "/etc/hosts"),
        ("run", "--rm", "--network=none", "-h", "here", "busybox", "hostname"),
        (*RUN, "--rm", "-v", "/etc/hostname:/shown:ro", "busybox", "sh", "-c", "test -s /shown && echo x > /shown"),
    ],
    "company": [
        (*RUN, "-d", "--name", "server", "-e", "A=1", "busybox", "sh", "-c", "echo kept > /kept; exec sleep 1000"),
        ("exec", "server", "sh", "-c", "until test -s /kept; do sleep 0.1; done; cat /kept; echo $A $HOSTNAME | wc -w"),
        ("exec", "-i", "server", "cat"),
        ("exec", "server", "cat"),
        ("exec", "-u", "web", "-w", "/srv", "-e", "B=2", "server", "sh", "-c", "id; pwd; echo $B"),
        ("exec", "server", "sh", "-c", "exit 5"),
        ("exec", "-it", "server", "true"),
        ("exec", "-d", "server", "touch", "/detached"),
        ("exec", "server", "sh", "-c", "until test -e /detached; do sleep 0.02; done"),
        ("diff", "server"),
        ("rename", "server", "renamed"),
        ("start", "renamed"),
        ("ps", "--format", "{{.Names}} {{.Image}} {{.Command}} {{.State}}"),
        ("rm", "renamed"),
        ("kill", "-s", "NOPE", "renamed"),
        ("stop", "-t", "0", "renamed"),
        ("wait", "renamed"),
        ("ps", "-a", "--filter", "exited=137", "--format", "{{.Names}}"),
        ("diff", "renamed"),
        ("rm", "renamed"),
    ],
    "signals": [
        (*RUN, "-d", "--name", "work", "busybox", "sh", "-c", TRAPS),
        ("kill", "-s", "HUP", "work"),
        ("wait", "work"),
        ("restart", "work"),
        ("exec", "work", "sleep", "0.3"),
        ("stop", "work"),
        ("wait", "work"),
        ("restart", "-t", "0", "work"),
        ("kill", "work"),
        ("wait", "work"),
        ("rm", "work"),
    ],
    "logs": [
        (*RUN, "--name", "work", "busybox", "sh", "-c", "seq 5; sleep 0.1; echo last >&2; printf end"),
        ("logs", "work"),
        ("logs", "--tail", "2", "work"),
        ("logs", "--tail", "0", "work"),
        ("logs", "-f", "--tail=3", "work"),
        ("logs", "--since", "1h", "work"),
        ("logs", "--since", "2100-01-01T00:00:00", "work"),
        ("logs", "--until", "1h", "work"),
        ("logs", "nope"),
        ("rm", "work"),
    ],
    "lists": [
        (*RUN, "--name", "first", "-l", "k=v", "-v", "/etc/hosts:/m", "busybox", "sh", "-c", "echo a > /f; exit 4"),
        (*RUN, "-d", "--name", "second", "busybox", "sleep", "1000"),
        ("ps", "-a", "--format", "{{.Names}}|{{.Networks}}|{{.Mounts}}|{{.LocalVolumes}}|{{.Size}}"),
        ("ps", "-s", "--format", "table {{.Names}}\t{{.Size}}\t{{.Mounts}}\t{{.Networks}}\t{{.LocalVolumes}}"),
        *(
            ("ps", "-a", *(word for each in filters.split() for word in ("-f", each)), "--format", "{{.Names}}")
            for filters in (
                *("status=exited", "status=exited status=running", "status=running exited=4", "status=nope"),
                *("name=^/first$", "name=^sec", "name=first name=second", "name=none", "label=k label=k=w"),
                *("before=second", "since=first", "since=nope", "ancestor=busybox", "ancestor=nope", "id=zzz"),
                *("network=host", "network=none", "volume=/m", "volume=/etc/hosts", "volume=/n", "nope=1"),
            )
        ),
        ("inspect", "-s", "-f", "{{.SizeRw}} {{.RestartCount}} {{.Platform}}", "first"),
        ("logs", "--details", "first"),
        ("rm", "-f", "nope"),
        ("rm", "-f", "nope", "first", "second"),
    ],
    "copies": [
        ("create", "--name", "work", "busybox", "true"),
        ("cp", "-L", "/bin/sh", "work:/tmp"),
        ("cp", "/bin/sh", "work:/tmp/as-it-is"),
        ("cp", "/etc/hosts", "work:/nowhere/"),
        ("cp", "/etc/hosts", "work:/etc/motd/"),
        ("cp", "/etc/security", "work:/etc/motd"),
        ("cp", "/etc/security", "work:/tmp/made/"),
        ("diff", "work"),
        ("commit", "work", "made:1"),
        (*RUN, "--rm", "made:1", "sh", "-c", "readlink /tmp/sh; readlink /tmp/as-it-is"),
        ("rm", "work"),
        ("rmi", "made:1"),
    ],
    "commit": [
        (*RUN, "--name", "work", "-e", "A=1", "-l", "k=v", "busybox", "sh", "-c", "echo a > /a; rm /etc/motd"),
        ("commit", "-m", "why", "-a", "me", "-c", "ENV B=2", "-c", "WORKDIR /srv", "work", "made:1"),
        ("inspect", "-f", "{{json .Config.Env}} {{json .Config.Cmd}} {{.Config.WorkingDir}} {{.Author}}", "made:1"),
        ("inspect", "-f", "{{len .RootFS.Layers}} {{json .Config.Labels}} {{.Comment}}", "made:1"),
        ("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made:1"),
        (*RUN, "--rm", "made:1", "sh", "-c", "cat /a; ls /etc/motd; pwd"),
        ("create", "--name", "same", "busybox", "true"),
        ("commit", "same", "made:2"),
        ("inspect", "-f", "{{len .RootFS.Layers}}", "made:2"),
        ("rm", "work", "same"),
        ("rmi", "made:1"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
def test_containers_answer_as_docker_does(based: Pybuild, docker: Docker, place: Path, scene: str) -> None:
    commands = SCENES[scene]
    based("save", "-o", place / "busybox.tar", "busybox")
    docker("load", "-i", str(place / "busybox.tar"))
    reference = (client(), "--host", docker.host)

    expected = answers(reference, commands, dict(os.environ))
    actual = answers(based.command(), commands, based.environment())

    for command, theirs, ours in zip(commands, expected, actual, strict=True):
        assert (command, theirs) == (command, ours)
