"""The config.json of one step, in the words of the OCI runtime specification.

Spec: runtime-spec/config.md and config-linux.md. The defaults (capabilities, masked paths, system calls) are Docker's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.runtime import seccomp, syscalls

if TYPE_CHECKING:
    from builder.runtime.runtime import Limit, Mount, Process

_ALL = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_SANDBOXED = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID
    SYS_CHROOT
"""
CAPABILITIES = tuple(f"CAP_{name}" for name in _ALL.split())
"""All capabilities, each at the number that it has in the kernel."""
SANDBOXED = frozenset(f"CAP_{name}" for name in _SANDBOXED.split())
"""What root in a sandboxed step may do."""
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_UNLIMITED = (1 << 64) - 1
HOST_GATEWAY = "host-gateway"
"""What stands for the machine's address in the lines for /etc/hosts."""
_GROUP_TTY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What the machine allows; the ladder finds it out."""

    initial: bool = True
    """Whether this is the machine's own user namespace."""
    ids: int = _UNLIMITED
    """How many user ids there are."""
    capabilities: frozenset[str] = frozenset(CAPABILITIES)
    """What this process may do, and can let a step do."""
    cgroups: bool = True
    """Whether a control group can be made, which keeps a step of real root from the machine's devices."""
    recording: bool = False
    """Whether owners that can only be pretended are written down."""
    own_proc: bool = True
    """Whether a step can have its own /proc; without it, it sees the machine's processes."""

    @property
    def guards_devices(self) -> bool:
        """Whether device files are harmless: the kernel opens none in a user namespace, a control group few."""
        return self.cgroups or not self.initial

    @property
    def single(self) -> bool:
        """Whether there is one id, so that owners can only be pretended."""
        return self.ids == 1


def own_capabilities(status: Path = Path("/proc/self/status")) -> frozenset[str]:
    """Give what this process may do itself and can pass on: a container's root has not everything."""
    lines = dict(line.split(":\t", 1) for line in status.read_text(errors="replace").splitlines() if ":\t" in line)
    mask = int(lines["CapEff"], 16) & int(lines["CapBnd"], 16)
    return frozenset(name for number, name in enumerate(CAPABILITIES) if mask >> number & 1)


def config(
    process: Process,
    rootfs: Path,
    sandbox: Sandbox,
    etc: dict[str, Path],
    group: str,
    *,
    chown: bool = False,
    network: str = "",
) -> dict[str, Any]:
    """Give the document; ``etc`` has the host files to be seen as ``hosts`` and ``resolv.conf``.

    ``group`` is the path of its control group, or empty where it has none of its own.
    ``chown`` tells whether somebody answers calls of that family; ``network`` is the namespace that is joined in place
    of the machine's.
    """
    capabilities = capabilities_of(process, sandbox)
    files = [_bind(path, f"/etc/{file}", readonly=False) for file, path in etc.items()]
    linux = _linux(process, sandbox, capabilities, group, chown=chown)
    if network:
        linux["namespaces"].append({"type": "network", "path": network})
    return {
        "ociVersion": "1.0.2",
        "process": process_of(process, sandbox, capabilities),
        "root": {"path": str(rootfs), "readonly": process.readonly},
        "hostname": process.hostname,
        "mounts": [*_system_mounts(process, sandbox, network), *files, *map(_mount, process.mounts)],
        "linux": linux,
    }


def capabilities_of(process: Process, sandbox: Sandbox) -> list[str]:
    """Give what root in a step may do, sorted."""
    insecure = process.security == "insecure"
    allowed = sandbox.capabilities if insecure else sandbox.capabilities & SANDBOXED
    if not insecure and not sandbox.guards_devices:
        allowed -= {"CAP_MKNOD"}
    return sorted(allowed)


def gate_of(process: Process, sandbox: Sandbox) -> bytes:
    """Give the filter that the runtime is to be started with; the document relies on it. Empty where there is none."""
    return seccomp.gate_of(capabilities_of(process, sandbox)) if _is_filtered(process, sandbox) else b""


def hosts(process: Process, gateway: str) -> str:
    """Give the /etc/hosts of a step, which reaches the machine at ``gateway``."""
    lines = ["127.0.0.1\tlocalhost " + process.hostname, "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{gateway if address == HOST_GATEWAY else address}\t{name}" for name, address in process.hosts]
    return "\n".join(lines) + "\n"


def environment(process: Process) -> dict[str, str]:
    """Give the variables of a step: its own, and HOME."""
    return {"HOME": process.user.home, **process.environment}


def process_of(process: Process, sandbox: Sandbox, capabilities: list[str]) -> dict[str, Any]:
    """Give the part of the document that is about the process alone."""
    user = process.user
    ids: dict[str, Any] = {"uid": 0, "gid": 0, "umask": 0o022}
    if not sandbox.single:
        ids |= {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}
    return {
        "terminal": process.has_terminal,
        "user": ids,
        "args": list(process.arguments),
        "env": [f"{name}={value}" for name, value in environment(process).items()],
        "cwd": process.cwd,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        "rlimits": [_limit(limit) for limit in process.limits],
        "noNewPrivileges": False,  # sudo and ping are setuid, and steps use them
    }


@functools.cache
def _thermal_paths() -> list[str]:
    """Give what tells, processor by processor, how much others work."""
    return sorted(map(str, Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle")))


def _limit(limit: Limit) -> dict[str, Any]:
    values = {"soft": limit.soft, "hard": limit.hard}
    return {
        "type": f"RLIMIT_{limit.name.upper()}",
        **{kind: _UNLIMITED if value < 0 else value for kind, value in values.items()},
    }


def _system_mounts(process: Process, sandbox: Sandbox, network: str) -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    tty = [f"gid={_GROUP_TTY}"] if sandbox.ids > _GROUP_TTY else []
    proc = _typed("/proc", "proc", "proc", quiet) if sandbox.own_proc else _bind(Path("/proc"), "/proc", readonly=False)
    if sandbox.initial or network or process.network == "none":
        sys = _typed("/sys", "sysfs", "sysfs", [*quiet, "ro"])
    else:  # only who owns the network namespace may mount its sysfs
        sys = _bind(Path("/sys"), "/sys", readonly=True, options=quiet)
    return [
        proc,
        _typed("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _typed("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *tty]),
        _typed("/dev/shm", "tmpfs", "shm", [*quiet, "mode=1777", f"size={process.shm_size}"]),  # noqa: S108 - a mount point
        _typed("/dev/mqueue", "mqueue", "mqueue", quiet),
        sys,
    ]


def _typed(target: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": options}


def _bind(source: Path, target: str, *, readonly: bool, options: list[str] | None = None) -> dict[str, Any]:
    return _typed(target, "bind", str(source), ["rbind", "rprivate", "ro" if readonly else "rw", *(options or [])])


def _mount(mount: Mount) -> dict[str, Any]:
    if mount.kind == "bind":
        return _bind(mount.source or Path("/nonexistent"), mount.target, readonly=mount.readonly)
    options = ["nosuid", "nodev", f"mode={mount.mode:o}", "ro" if mount.readonly else "rw"]
    if mount.size is not None:
        options.append(f"size={mount.size}")
    return _typed(mount.target, "tmpfs", "tmpfs", options)


def _linux(process: Process, sandbox: Sandbox, capabilities: list[str], group: str, *, chown: bool) -> dict[str, Any]:
    insecure = process.security == "insecure"
    kinds = ["ipc", "uts", "mount"]
    if sandbox.own_proc:
        kinds.append("pid")
    if process.network == "none":
        kinds.append("network")
    linux: dict[str, Any] = {"namespaces": [{"type": kind} for kind in kinds]}
    if group:
        linux["cgroupsPath"] = group
        linux["resources"] = process.resources.to_json()
    if group and sandbox.initial:  # in a user namespace no device can be opened anyway
        linux["resources"]["devices"] = [{"allow": insecure, "access": "rwm"}]
    if not insecure:
        linux |= {"maskedPaths": [*_MASKED, *_thermal_paths()], "readonlyPaths": list(_READONLY)}
    if _is_filtered(process, sandbox):
        make = seccomp.refusals if seccomp.gate_of(capabilities) else seccomp.profile
        linux["seccomp"] = make(
            capabilities, pretend_ownership=sandbox.single, chown=chown, identity=chown and syscalls.can_wait()
        )
    return linux


def _is_filtered(process: Process, sandbox: Sandbox) -> bool:
    return process.security != "insecure" or sandbox.single
