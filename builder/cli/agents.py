"""``--ssh``: agents of the user's, or one started for keys."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.execute.secrets import Agent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RAW = {"raw=true": True, "raw=false": False}


def agents(values: Sequence[str], environment: Mapping[str, str], stack: contextlib.ExitStack) -> dict[str, Agent]:
    """Read ``--ssh``: ``default`` is the agent of SSH_AUTH_SOCK, ``id=SOCKET`` another, ``id=KEY,KEY`` one for keys.

    An agent that is started here ends with ``stack``.

    Raises:
        BuildError: there is no such socket or key, or a key cannot be used.
    """
    found = {}
    for value in values:
        name, _, rest = value.partition("=")
        words = [word for word in rest.split(",") if word]
        raw = any(_RAW.get(word, False) for word in words)
        paths = [Path(word).absolute() for word in words if word not in _RAW]
        if not name:
            raise BuildError(f"invalid --ssh {value!r}", hint="write --ssh default, or --ssh ID=SOCKET")
        if not paths:
            socket = environment.get("SSH_AUTH_SOCK")
            if name != "default" or not socket:
                hint = "start an agent, and see that SSH_AUTH_SOCK is set" if name == "default" else "name a socket"
                raise BuildError(f"--ssh {value}: there is no agent", hint=hint)
            paths = [Path(socket)]
        found[name] = Agent(_socket(paths, environment, stack), raw)
    return found


def _socket(paths: Sequence[Path], environment: Mapping[str, str], stack: contextlib.ExitStack) -> Path:
    """Give the one socket among ``paths``, else that of an agent with those keys."""
    try:
        kinds = [stat.S_ISSOCK(path.stat().st_mode) for path in paths]
    except OSError as error:
        raise BuildError(f"--ssh: {error.filename}: {error.strerror}") from error
    if not any(kinds):
        return _start(paths, environment, stack)
    if len(paths) > 1:
        raise BuildError("--ssh: a socket stands alone", hint="give each agent an id of its own")
    return paths[0]


def _start(keys: Sequence[Path], environment: Mapping[str, str], stack: contextlib.ExitStack) -> Path:
    """Start an agent and give it keys; it ends as soon as this process does."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybuild-")))
    socket = directory / "agent"
    try:
        # The agent ends soon after the program that it is started for, which ends with our end of its pipe: so it does
        # even if this process is killed.
        script = "echo $SSH_AGENT_PID && exec cat"
        process = subprocess.Popen(
            ["ssh-agent", "-a", str(socket), "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    except OSError as error:
        raise BuildError(
            f"--ssh: ssh-agent cannot be started: {error.strerror}", hint="install openssh-client"
        ) from error
    assert process.stdout is not None
    agent = process.stdout.readline().strip()
    stack.callback(_end, process, agent)
    if not agent.isdigit():
        raise BuildError("--ssh: ssh-agent did not start")
    settings = {**environment, "SSH_AUTH_SOCK": str(socket), "SSH_ASKPASS_REQUIRE": "never"}
    for key in keys:
        done = subprocess.run(
            ["ssh-add", "-q", str(key)],
            env=settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=True,  # without a terminal nothing can be asked
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            hint = "a key with a passphrase has to be in an agent: use --ssh default"
            raise BuildError(f"--ssh: {key} cannot be used: {said[0] if said else 'ssh-add failed'}", hint=hint)
    return socket


def _end(process: subprocess.Popen[bytes], agent: bytes) -> None:
    with contextlib.suppress(OSError):
        if agent.isdigit():
            os.kill(int(agent), signal.SIGTERM)
    process.communicate()
