"""The config.json of a step, and its system calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.runtime import seccomp, spec
from builder.runtime.cgroups import Resources
from builder.runtime.runtime import Limit, Mount, Process, ResolvedUser
from builder.runtime.spec import CAPABILITIES, SANDBOXED, Sandbox

ROOTLESS = Sandbox(initial=False, ids=65537, cgroups=False)


def config(process: Process, sandbox: Sandbox = ROOTLESS) -> dict[str, Any]:
    group = "/name" if sandbox.cgroups or process.resources.asked else ""
    return spec.config(process, Path("/root"), sandbox, {"hosts": Path("/b/hosts")}, group)


def mount(document: dict[str, Any], target: str) -> dict[str, Any]:
    (found,) = [each for each in document["mounts"] if each["destination"] == target]
    return dict(found)


def kinds(document: dict[str, Any]) -> set[str]:
    return {each["type"] for each in document["linux"]["namespaces"]}


def test_an_ordinary_user_gets_no_control_group_and_the_machines_sys() -> None:
    document = config(Process(("true",)))

    assert {"pid", "ipc", "uts", "mount"} == kinds(document)
    assert not {"resources", "cgroupsPath"} & document["linux"].keys()
    assert "bind" == mount(document, "/sys")["type"]
    assert "gid=5" in mount(document, "/dev/pts")["options"]


def test_root_gets_a_control_group_that_allows_no_device() -> None:
    document = config(Process(("true",)), Sandbox())

    assert [{"allow": False, "access": "rwm"}] == document["linux"]["resources"]["devices"]
    assert "sysfs" == mount(document, "/sys")["type"]


def test_limits_are_those_of_the_group() -> None:
    """A user's has no rules for devices, which its namespace cannot open."""
    limits = Resources("/mine", memory=1 << 30, memory_swap=-1, cpu_quota=5000, cpuset_cpus="0-1")
    document = config(Process(("true",), resources=limits))

    resources = document["linux"]["resources"]
    assert {"quota": 5000, "cpus": "0-1"} == resources["cpu"]
    assert 1 << 30 == resources["memory"]["limit"]
    assert "devices" not in resources


def test_without_control_groups_root_can_make_no_device() -> None:
    capabilities = config(Process(("true",)), Sandbox(cgroups=False))["process"]["capabilities"]["bounding"]

    assert SANDBOXED - {"CAP_MKNOD"} == set(capabilities)


def test_no_network_is_a_namespace_of_its_own() -> None:
    document = config(Process(("true",), network="none"))

    assert "network" in kinds(document)
    assert "sysfs" == mount(document, "/sys")["type"]


def test_a_step_can_do_without_its_own_proc() -> None:
    document = config(Process(("true",)), Sandbox(initial=False, cgroups=False, own_proc=False))

    assert "pid" not in kinds(document)
    assert "bind" == mount(document, "/proc")["type"]


def test_one_id_means_no_other_user_and_no_group() -> None:
    document = config(Process(("true",), user=ResolvedUser(5, 6, (7,))), Sandbox(initial=False, ids=1, cgroups=False))

    assert {"uid": 0, "gid": 0, "umask": 0o022} == document["process"]["user"]
    assert "gid=5" not in mount(document, "/dev/pts")["options"]
    pretended = [each for each in document["linux"]["seccomp"]["syscalls"] if each.get("errnoRet") == 0]
    assert any("fchownat" in each["names"] for each in pretended)


def test_an_insecure_step_may_do_what_the_builder_may() -> None:
    document = config(Process(("true",), security="insecure"), Sandbox(capabilities=frozenset({"CAP_SYS_ADMIN"})))

    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & document["linux"].keys()
    assert ["CAP_SYS_ADMIN"] == document["process"]["capabilities"]["effective"]


def test_the_process_is_as_it_was_given() -> None:
    process = Process(
        ("a", "b c"), {"X": "1=2"}, "/w", ResolvedUser(1, 2, (3,), "/h"), limits=(Limit("nofile", 5, -1),), shm_size=9
    )
    document = config(process)

    assert ["a", "b c"] == document["process"]["args"]
    assert ["HOME=/h", "X=1=2"] == document["process"]["env"]
    assert {"uid": 1, "gid": 2, "additionalGids": [3], "umask": 0o022} == document["process"]["user"]
    assert [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 2**64 - 1}] == document["process"]["rlimits"]
    assert "size=9" in mount(document, "/dev/shm")["options"]
    assert not document["process"]["noNewPrivileges"]


def test_mounts_come_in_their_order_after_the_systems() -> None:
    mounts = (Mount("/a", source=Path("/s"), readonly=True), Mount("/b", "tmpfs", size=5, mode=0o700))
    document = config(Process(("true",), mounts=mounts))

    assert ["/etc/hosts", "/a", "/b"] == [each["destination"] for each in document["mounts"][-3:]]
    assert ["rbind", "rprivate", "ro"] == mount(document, "/a")["options"]
    assert ["nosuid", "nodev", "mode=700", "rw", "size=5"] == mount(document, "/b")["options"]


def test_an_explicit_home_wins() -> None:
    assert {"HOME": "/x"} == spec.environment(Process(("true",), {"HOME": "/x"}, user=ResolvedUser(home="/h")))


def test_own_capabilities_are_those_that_can_be_passed_on(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nCapEff:\t00000000000000ff\nCapBnd:\t0000000000000003\n")

    assert frozenset(CAPABILITIES[:2]) == spec.own_capabilities(status)


def actions(name: str, profile: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in profile["syscalls"] if name in each["names"]]


@pytest.mark.parametrize(
    "name", ["mount", "unshare", "bpf", "keyctl", "io_uring_setup", "reboot", "init_module", "kexec_load"]
)
def test_dangerous_system_calls_are_refused(name: str) -> None:
    """All that is not listed is; these need a capability that a step has not."""
    assert [] == actions(name, seccomp.profile(SANDBOXED))


def test_clone_makes_no_namespaces_and_clone3_is_not_there() -> None:
    profile = seccomp.profile(SANDBOXED, machine="x86_64")

    assert [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ", "valueTwo": 0}] == [
        argument for each in actions("clone", profile) for argument in each["args"]
    ]
    assert [38] == [each["errnoRet"] for each in actions("clone3", profile)]


def test_a_capability_brings_its_system_calls() -> None:
    assert actions("mount", seccomp.profile({"CAP_SYS_ADMIN"}))
    assert actions("chroot", seccomp.profile({"CAP_SYS_CHROOT"}))
    assert not actions("chroot", seccomp.profile(set()))


def test_chown_is_allowed_where_another_filter_has_it_answered() -> None:
    profile = seccomp.profile(SANDBOXED, pretend_ownership=True, chown=True)

    assert ["SCMP_ACT_ALLOW"] == [each["action"] for each in profile["syscalls"] if "fchownat" in each["names"]]


def test_setuid_is_allowed_where_another_filter_has_it_answered() -> None:
    profile = seccomp.profile(SANDBOXED, pretend_ownership=True, chown=True, identity=True)

    assert ["SCMP_ACT_ALLOW"] == [each["action"] for each in profile["syscalls"] if "setresuid" in each["names"]]


def test_pretended_ownership_allows_fifos_and_pretends_devices() -> None:
    profile = seccomp.profile(SANDBOXED, pretend_ownership=True)
    by_type = {each["args"][0]["valueTwo"]: each["action"] for each in actions("mknodat", profile)}

    assert "SCMP_ACT_ALLOW" == by_type[0o010000]
    assert "SCMP_ACT_ERRNO" == by_type[0o020000]
    assert [0] == [each["errnoRet"] for each in actions("setgroups", profile)]
