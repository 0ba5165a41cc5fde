"""What Docker's ``run`` and ``create`` have and these have not, and what to do without."""

from __future__ import annotations

from click import NoSuchOption, UsageError

_NETWORK = "a container shares the machine's network: what it listens on is the machine's port"
_RIGHTS = "a container may do what a RUN step may, and not more"
_LIMITS = "containers have limits of memory and processors alone"
_REASONS = {
    **dict.fromkeys(("-p", "--publish", "-P", "--publish-all", "--expose", "--link"), _NETWORK),
    **dict.fromkeys(("--ip", "--ip6", "--mac-address", "--network-alias", "--net-alias", "--dns"), _NETWORK),
    **dict.fromkeys(("--privileged", "--cap-add", "--cap-drop", "--device", "--gpus", "--security-opt"), _RIGHTS),
    **dict.fromkeys(("--userns", "--pid", "--ipc", "--uts", "--cgroupns"), _RIGHTS),
    **dict.fromkeys(("--pids-limit", "--ulimit", "--blkio-weight", "--oom-kill-disable"), _LIMITS),
    "--cpus": "write --cpu-quota 150000 for 1.5 of them",
    "--restart": "there is no daemon to start it again; pybuild restart does",
    "--mount": "write -v /host/path:/path[:ro] or --tmpfs /path",
    "--volumes-from": "write -v /host/path:/path[:ro] for each",
    "-a": "output and errors are always attached, and input is by -i",
    "--attach": "output and errors are always attached, and input is by -i",
}


def explained(error: UsageError) -> UsageError:
    """Give an error of usage that says what the command has in the place of an option that it has not."""
    if not isinstance(error, NoSuchOption):
        return error
    reason = _REASONS.get(error.option_name)
    message = f"{error.option_name} is not supported{f': {reason}' if reason else ''}"
    there = [each.opts[0] for each in error.ctx.command.params if each.opts[0].startswith("-")] if error.ctx else []
    return UsageError(f"{message}\nSupported are {' '.join(sorted(there, key=_order))}", error.ctx)


def _order(name: str) -> tuple[int, str]:
    """Sort the short ones before the long."""
    return len(name) > 2, name
