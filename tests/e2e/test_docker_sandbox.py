"""What a step may not do, beside a real Docker engine's container: system calls, masked paths, capabilities."""

from __future__ import annotations

import ctypes
import errno
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder.runtime import seccomp, spec
from builder.runtime.runtime import Process
from builder.runtime.spec import Sandbox
from tests.support import perl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Write
    from tests.support.dockerd import Docker
    from tests.support.programs import Pybuild

pytestmark = [pytest.mark.e2e, pytest.mark.root]

_NEWER = """
    cachestat fchmodat2 futex_requeue futex_wait futex_wake getxattrat listmount listxattrat map_shadow_stack mseal
    name_to_handle_at pkey_alloc pkey_free pkey_mprotect process_vm_readv process_vm_writev removexattrat riscv_hwprobe
    setxattrat statmount uretprobe
"""
"""What the engine of Debian 12 does not allow yet."""
_WITHDRAWN = {"io_uring_enter", "io_uring_register", "io_uring_setup"}
"""What engines have ceased to allow, for what came of it."""
_NEWLY_MASKED = {"/proc/interrupts", "/sys/devices/virtual/powercap"}
"""Where that engine lets anybody look still."""
CALLS: dict[str, tuple[str, ...]] = {
    "namespaces": (
        "unshare 0x10000000",
        "unshare 0x20000",
        "setns -1",
        "clone 0x10000011",
        "clone 0x40000011",
        "clone3",
    ),
    "mounts": (
        *("mount", "umount2", "pivot_root", "fsopen", "fsconfig -1", "fsmount -1", "fspick -1", "open_tree -1"),
        *(
            "move_mount -1",
            "mount_setattr -1",
            "quotactl",
            "swapon",
            "swapoff",
            "open_by_handle_at -1",
            "fanotify_init",
        ),
    ),
    "keys": ("keyctl", "add_key", "request_key"),
    "kernel": (
        *("bpf", "perf_event_open", "init_module", "finit_module -1", "delete_module", "kexec_load", "reboot", "acct"),
        *("settimeofday", "clock_settime", "sethostname", "setdomainname", "syslog 3", "lookup_dcookie", "userfaultfd"),
        *("iopl", "ioperm", "vhangup", "nfsservctl", "uselib", "_sysctl", "sysfs 3", "ustat", "modify_ldt"),
    ),
    "others": ("kcmp 1 1", "process_vm_readv 1", "ptrace 0x4206 1", "move_pages", "migrate_pages", "get_mempolicy"),
    "allowed": ("chroot", "getpid", "seccomp 9", "io_setup", "mlockall", "personality 0xffffffff", "socket 2 1"),
    "arguments": ("personality 0x40000", "personality 0x8", "socket 16 3", "socket 39 5", "mbind", "set_mempolicy 9"),
}
"""System calls with their first arguments; the others are 0. Most are wrong, so that an allowed one says that."""
_CHANGED = {"process_vm_readv 1"}
"""What the engine of Debian 12 refuses still."""
ALWAYS_REFUSED = {*CALLS["namespaces"][:-1], *CALLS["mounts"], *CALLS["keys"], *CALLS["kernel"][:8]}
PROGRAM = """\
$| = 1;
for (@ARGV) {
    my ($title, $number, @given) = split /:/;
    my $child = fork;
    if (!$child) {
        my @arguments = map { hex($_) } @given;
        my $result = syscall($number, @arguments);
        exit 0 if $title =~ /^clone/ && $result == 0;
        print "call $title: ", ($result == -1 ? $! + 0 : 0), "\\n";
        exit 0;
    }
    waitpid $child, 0;
}
"""


def number(name: str) -> int:
    """Give the number of a system call on this machine; negative where it has none."""
    library = ctypes.CDLL("libseccomp.so.2")
    return int(library.seccomp_syscall_resolve_name(name.encode()))


def words() -> list[str]:
    """Give the calls as :data:`PROGRAM` takes them."""
    made = []
    for call in (call for calls in CALLS.values() for call in calls):
        name, *given = call.split()
        values = [int(each, 0) for each in given] + [0] * (6 - len(given))
        if number(name) >= 0:
            made.append(":".join([call, str(number(name)), *(f"{value & (1 << 64) - 1:x}" for value in values)]))
    return made


def answers(said: str) -> dict[str, str]:
    """Give the name of the error that each call has answered, or the empty text."""
    found = re.findall(r"call ([^:\n]+): (\d+)$", said, re.MULTILINE)
    return {call: errno.errorcode.get(int(code), "") for call, code in found}


@pytest.fixture(scope="module")
def engines(docker: Docker) -> Iterator[dict[str, Any]]:
    """The config.json of a container as the engine makes it by default."""
    docker("import", "-", "sandbox:latest", input=subprocess.check_output(["tar", "-c", "-C", "/bin", "busybox"]))
    name = docker("run", "-d", "--network=none", "sandbox", "/busybox", "sleep", "1000").strip()
    (path,) = Path(docker.host.removeprefix("unix://")).parent.glob(f"exec/**/{name}/config.json")
    try:
        yield json.loads(path.read_text())
    finally:
        docker("rm", "--force", name)


def ours() -> dict[str, Any]:
    """Give the config.json of a step on a machine without a gate; with one, it means the same (``test_gate.py``)."""
    document = spec.config(Process(("true",)), Path("/root"), Sandbox(), {}, "/group")
    capabilities = document["process"]["capabilities"]["effective"]
    document["linux"]["seccomp"] = seccomp.profile(capabilities)
    return document


def unconditional(document: dict[str, Any]) -> set[str]:
    """Give the calls that are allowed whatever their arguments."""
    rules = document["linux"]["seccomp"]["syscalls"]
    allowed = [each["names"] for each in rules if each["action"] == "SCMP_ACT_ALLOW" and not each.get("args")]
    return {name for names in allowed for name in names}


def conditional(document: dict[str, Any], name: str) -> set[tuple[Any, ...]]:
    """Give the rules for a call that look at its arguments, or give an error of their own."""
    return {
        (rule["action"], rule.get("errnoRet"), *(_argument(each) for each in rule.get("args") or ()))
        for rule in document["linux"]["seccomp"]["syscalls"]
        if name in rule["names"] and (rule.get("args") or rule["action"] != "SCMP_ACT_ALLOW")
    }


def _argument(given: dict[str, Any]) -> tuple[Any, ...]:
    return given["index"], given["op"], given["value"], given.get("valueTwo", 0)


def test_the_same_calls_are_allowed(engines: dict[str, Any]) -> None:
    """But for those that the engine is too old to know, and those that newer ones refuse."""
    theirs, own = unconditional(engines), unconditional(ours())

    assert theirs - own <= {*_WITHDRAWN, "socket"}
    assert own - theirs <= set(_NEWER.split())
    for key in ("defaultAction", "architectures"):
        assert engines["linux"]["seccomp"][key] == ours()["linux"]["seccomp"][key]


@pytest.mark.parametrize("name", ["clone", "clone3", "personality"])
def test_the_same_arguments_are_allowed(engines: dict[str, Any], name: str) -> None:
    expected = conditional(engines, name)

    assert expected
    assert expected == conditional(ours(), name)


def test_the_same_paths_are_covered_and_read_only(engines: dict[str, Any]) -> None:
    theirs, own = engines["linux"], ours()["linux"]

    assert set(theirs["readonlyPaths"]) == set(own["readonlyPaths"])
    assert set() == set(theirs["maskedPaths"]) - set(own["maskedPaths"])
    assert _NEWLY_MASKED >= {
        path for path in own["maskedPaths"] if "thermal_throttle" not in path and path not in theirs["maskedPaths"]
    }


def test_the_same_capabilities_are_given(engines: dict[str, Any]) -> None:
    def sets(document: dict[str, Any]) -> dict[str, set[str]]:
        return {kind: set(names) for kind, names in document["process"]["capabilities"].items() if names}

    assert sets(engines) == sets(ours())


def test_the_same_calls_have_the_same_answers(docker: Docker, based: Pybuild, write: Write) -> None:
    """Tried in a step by runc, and in the engine's container of the image that came of it."""
    context = write(None)
    perl.put(context / "root")
    (context / "root/calls").write_text(PROGRAM)
    command = ["/perl", "/calls", *words()]
    (context / "Dockerfile").write_text(f"FROM busybox\nCOPY root /\nRUN {json.dumps(command)}\n")
    archive = based.home / "image.tar"

    log = based("-t", "calls", "--progress", "plain", "-o", f"type=docker,dest={archive}", context).err
    docker("load", "-i", str(archive))
    theirs = answers(docker("run", "--rm", "--network=none", "calls", *command))
    own = answers(log)

    assert len(words()) == len(own)
    assert {} == {call: (theirs[call], own[call]) for call in own if theirs[call] != own[call] and call not in _CHANGED}
    assert set() == {call for call in ALWAYS_REFUSED & set(own) if own[call] != "EPERM"}
    assert "ENOSYS" == own["clone3"]
    assert ["", "", ""] == [own[call] for call in ("getpid", "socket 2 1", "personality 0xffffffff")]
