"""What can be known of namespaces without entering one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.runtime.userns import find_program, hints, subordinate_ids

if TYPE_CHECKING:
    from pathlib import Path


APPARMOR = "kernel.apparmor_restrict_unprivileged_userns"


def test_ranges_of_a_user_follow_each_other(tmp_path: Path) -> None:
    """By name or number; other users' lines and broken ones are skipped."""
    file = tmp_path / "subuid"
    file.write_text("other:1:5\nme:100000:65536\n\nme:broken\nme:x:1\nme:5:0\n1000:400000:10\n")

    assert [(1, 100000, 65536), (65537, 400000, 10)] == subordinate_ids(file, ["me", "1000"])


def test_without_a_file_there_are_no_ranges(tmp_path: Path) -> None:
    assert [] == subordinate_ids(tmp_path / "none", ["me"])


def machine(root: Path, sysctls: dict[str, str], seccomp: int = 0) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/status").write_text(f"Name:\tx\nSeccomp:\t{seccomp}\n")
    for name, value in sysctls.items():
        path = root / "proc/sys" / name.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def test_hints_name_the_setting_and_the_command(tmp_path: Path) -> None:
    settings = {
        "user.max_user_namespaces": "0",
        "kernel.unprivileged_userns_clone": "0",
        APPARMOR: "1",
    }

    assert [
        "user.max_user_namespaces is 0; as root: sysctl user.max_user_namespaces=15000",
        "kernel.unprivileged_userns_clone is 0; as root: sysctl kernel.unprivileged_userns_clone=1",
        f"{APPARMOR} is 1; as root: sysctl {APPARMOR}=0",
    ] == hints(machine(tmp_path, settings))


def test_a_filter_hints_at_a_container(tmp_path: Path) -> None:
    (hint,) = hints(machine(tmp_path, {"user.max_user_namespaces": "100"}, seccomp=2))

    assert hint.startswith("a seccomp filter is active, as in a container")


def test_there_is_always_a_hint(tmp_path: Path) -> None:
    assert 1 == len(hints(machine(tmp_path, {})))


def test_programs_are_found_where_an_ordinary_users_path_does_not_lead() -> None:
    assert find_program("sh")
    assert find_program("no-such-program-anywhere") is None
