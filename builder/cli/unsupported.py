"""What Docker's ``run`` and ``create`` have and these have not, and what to do without."""

from __future__ import annotations

from click import NoSuchOption, UsageError

_NETWORK = "a container shares the machine's network: what it listens on is the machine's port"
_RIGHTS = "a container may do what a RUN step may, and not more"
_LIMITS = "containers have no limits of their own"
_REASONS = {
    **dict.fromkeys(("-p", "--publish", "-P", "--publish-all", "--expose", "--link"), _NETWORK),
    **dict.fromkeys(("--ip", "--ip6", "--mac-address", "--network-alias", "--net-alias", "--dns"), _NETWORK),
    **dict.fromkeys(("--privileged", "--cap-add", "--cap-drop", "--device", "--gpus", "--security-opt"), _RIGHTS),
    **dict.fromkeys(("--userns", "--pid", "--ipc", "--uts", "--cgroupns"), _RIGHTS),
    **dict.fromkeys(("-m", "--memory", "--cpus", "-c", "--cpu-shares", "--pids-limit", "--ulimit"), _LIMITS),
    "--restart": "there is no daemon to start it again; pybuild restart does",
    "--mount": "write -v /host/path:/path[:ro] or --tmpfs /path",
    "--volumes-from": "write -v /host/path:/path[:ro] for each",
    "-a": "output and errors are always attached, and input is by -i",
    "--attach": "output and errors are always attached, and input is by -i",
}
_SUPPORTED = (
    "-d -e -h -i -l -t -u -v -w --add-host --detach-keys --entrypoint --env-file --init --isolation --name --network "
    "--platform --pull --read-only --rm --runtime --sig-proxy --stop-signal --stop-timeout --tmpfs"
)


class _NotRunError(UsageError):
    """Wrong usage of ``run``, whose other exit codes are the container's."""

    exit_code = 125


def explained(error: UsageError, command: str) -> UsageError:
    """Give an error of usage that says what is supported, and whose exit code says that nothing was run."""
    kind = _NotRunError if command == "run" else UsageError
    if not isinstance(error, NoSuchOption):
        return kind(error.format_message(), error.ctx)
    reason = _REASONS.get(error.option_name)
    message = f"{error.option_name} is not supported{f': {reason}' if reason else ''}"
    return kind(f"{message}\nSupported are {_SUPPORTED}", error.ctx)
