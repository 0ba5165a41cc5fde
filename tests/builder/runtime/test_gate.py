"""The gate and the list of refusals behind it answer what Docker's profile answers, call by call, on x86_64."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from builder.runtime import gate, seccomp
from builder.runtime.spec import CAPABILITIES, SANDBOXED
from tests.support import libseccomp
from tests.support.libseccomp import ALLOW, TOKENS, answer, compiled, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="programs are compiled for x86_64")

ENOSYS = 0x00050000 | 38
EPERM = 0x00050000 | 1
NATIVE, OTHER = TOKENS["SCMP_ARCH_X86_64"], TOKENS["SCMP_ARCH_X86"]
X32_BIT = 0x40000000
ARGUMENTS: dict[str, list[tuple[int, ...]]] = {
    "personality": [(0,), (8,), (0x20000,), (0x20008,), (0xFFFFFFFF,), (0x40000,), (1 << 32,), ((1 << 64) - 1,)],
    "socket": [(family, 1, 0) for family in (1, 2, 16, 37, 38, 39, 40, 41, 1 << 32 | 38)],
    "clone": [(flags,) for flags in (0, 0x11, 0x3D0F00, *(1 << bit for bit in range(32)), 0x7E020011)],
    "mknod": [(0, mode | 0o644) for mode in (0, 0o010000, 0o020000, 0o060000, 0o100000, 0o140000)],
    "mknodat": [(0, 0, mode | 0o644) for mode in (0, 0o010000, 0o020000, 0o060000, 0o100000, 0o140000)],
}


def calls() -> Iterator[tuple[str, int, int]]:
    """Give architecture, token and number of every call that could be made, and of some that never could."""
    for number in range(700):
        yield "SCMP_ARCH_X86_64", NATIVE, number
        yield "SCMP_ARCH_X86", OTHER, number
        yield "SCMP_ARCH_X32", NATIVE, number | X32_BIT


@pytest.mark.parametrize("pretend", [False, True], ids=["plain", "pretending"])
@pytest.mark.parametrize(
    "capabilities",
    [SANDBOXED, frozenset(), SANDBOXED - {"CAP_SYS_CHROOT"} | {"CAP_BPF", "CAP_SYS_PTRACE"}, frozenset(CAPABILITIES)],
    ids=["sandboxed", "none", "some", "all"],
)
def test_every_known_call_has_the_answer_of_the_profile(capabilities: frozenset[str], *, pretend: bool) -> None:
    whole = compiled(seccomp.profile(capabilities, pretend_ownership=pretend, machine="x86_64"))
    first = seccomp.gate_of(capabilities, "x86_64")
    rest = compiled(seccomp.refusals(capabilities, pretend_ownership=pretend, machine="x86_64"))
    differing = []
    asked = 0

    for architecture, token, number in calls():
        name = name_of(architecture, number)
        for arguments in ARGUMENTS.get(name, [()]) if name else ():
            expected = answer(whole, token, number, arguments)
            given = min(answer(first, token, number, arguments), answer(rest, token, number, arguments))
            asked += 1
            if architecture != "SCMP_ARCH_X86_64" and max(arguments, default=0) >> 32:
                continue  # 32-bit calls have none, and of x32's libseccomp looks at the lower half alone
            if expected != given:
                differing.append((architecture, name, arguments, hex(expected), hex(given)))

    assert asked > 1000
    assert [] == differing


def test_calls_that_nobody_knows_are_not_there() -> None:
    first = seccomp.gate_of(SANDBOXED, "x86_64")
    highest = max(gate.NEWER.values())

    for token, number in ((NATIVE, highest + 1), (OTHER, highest + 1), (NATIVE, 5000), (NATIVE, X32_BIT | 600)):
        assert ENOSYS == answer(first, token, number)
    assert ENOSYS == answer(first, NATIVE, gate.NEWER["open_tree_attr"])
    assert ALLOW == answer(first, NATIVE, gate.NEWER["mseal"])
    assert ALLOW == answer(first, NATIVE, gate.NEWER["mseal"] | X32_BIT)
    assert EPERM == answer(first, NATIVE, gate.NEWER["io_uring_setup"])


def test_the_gate_lets_runtimes_do_what_steps_may_not() -> None:
    first = seccomp.gate_of(frozenset(), "x86_64")

    for name in (*gate.LEFT_TO_PROFILES, "openat2", "close_range", "pidfd_open"):
        assert ALLOW == answer(first, NATIVE, gate.NEWER[name]), name
    assert {ALLOW} == {answer(first, NATIVE, number) for number in range(424) if number != 135}


def test_the_numbers_are_the_librarys() -> None:
    named = {name_of("SCMP_ARCH_X86_64", number): number for number in gate.NEWER.values()}

    assert len(named) > 20
    assert [] == [name for name, number in named.items() if name and gate.NEWER[name] != number]


def test_a_machine_without_a_gate_has_the_whole_profile() -> None:
    assert b"" == seccomp.gate_of(SANDBOXED, "s390x")
    assert len(seccomp.gate_of(SANDBOXED, "aarch64")) % 8 == 0


def test_a_filter_of_another_architecture_is_not_in_the_way() -> None:
    """Profiles name the architectures that there are; others are deadly by them."""
    assert ALLOW == answer(seccomp.gate_of(SANDBOXED, "x86_64"), 0xC00000B7, 135)
    assert libseccomp.TOKENS.keys() == {*seccomp.refusals(SANDBOXED, machine="x86_64")["architectures"]}
