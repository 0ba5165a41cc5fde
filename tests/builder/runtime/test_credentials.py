"""What the calls that change ids leave; the laws are in ``tests/property/test_credentials.py``."""

from __future__ import annotations

import errno

import pytest

from builder.runtime.credentials import STAYS, Credentials, Ids, changed, executed, of_user

ROOT = of_user(0, 0, ())
WEB = of_user(33, 34, (5, 4))


def users(real: int, effective: int, saved: int, files: int) -> Credentials:
    return WEB._replace(users=Ids(real, effective, saved, files))


@pytest.mark.parametrize(
    ("before", "name", "arguments", "expected"),
    [
        pytest.param(ROOT, "setuid", [33], (33, 33, 33, 33), id="root becomes another for good"),
        pytest.param(users(33, 0, 0, 0), "setuid", [5], (5, 5, 5, 5), id="as does what a setuid bit has raised"),
        pytest.param(users(33, 33, 0, 33), "setuid", [0], (33, 0, 0, 0), id="to what was saved"),
        pytest.param(ROOT, "setreuid", [STAYS, 33], (0, 33, 33, 33), id="effective alone"),
        pytest.param(users(1, 2, 3, 2), "setreuid", [2, 1], (2, 1, 1, 1), id="the two change places"),
        pytest.param(users(1, 2, 3, 2), "setreuid", [STAYS, 1], (1, 1, 3, 1), id="saved stays for the real one"),
        pytest.param(users(1, 2, 3, 2), "setresuid", [3, STAYS, 1], (3, 2, 1, 2), id="any of the three"),
        pytest.param(users(1, 2, 3, 9), "setresuid", [STAYS, STAYS, STAYS], (1, 2, 3, 9), id="nothing"),
        pytest.param(users(1, 2, 3, 2), "setfsuid", [3], (1, 2, 3, 3), id="of files"),
        pytest.param(users(1, 2, 3, 2), "setfsuid", [4], (1, 2, 3, 2), id="of files, refused in silence"),
        pytest.param(ROOT, "setuid", [33 | 1 << 32], (33, 33, 33, 33), id="only 32 bits count"),
    ],
)
def test_user_ids(before: Credentials, name: str, arguments: list[int], expected: tuple[int, ...]) -> None:
    assert Ids(*expected) == changed(before, name, arguments).users


@pytest.mark.parametrize(
    ("before", "name", "arguments", "expected"),
    [
        pytest.param(WEB, "setuid", [0], errno.EPERM, id="a user does not become root"),
        pytest.param(users(1, 2, 3, 2), "setuid", [2], errno.EPERM, id="effective is neither real nor saved"),
        pytest.param(users(1, 2, 3, 2), "setreuid", [3, STAYS], errno.EPERM, id="saved does not become real"),
        pytest.param(WEB, "setresuid", [STAYS, 0, STAYS], errno.EPERM, id="nor effective"),
        pytest.param(WEB, "setgid", [0], errno.EPERM, id="nor its group"),
        pytest.param(WEB, "setgroups", [34], errno.EPERM, id="nor others"),
        pytest.param(ROOT, "setuid", [STAYS], errno.EINVAL, id="no id"),
        pytest.param(ROOT, "setgroups", [STAYS], errno.EINVAL, id="no group"),
    ],
)
def test_refusals(before: Credentials, name: str, arguments: list[int], expected: int) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what matters
        changed(before, name, arguments)

    assert expected == caught.value.errno


def test_groups_are_changed_by_who_is_root_not_by_who_has_the_group_root() -> None:
    dropped = changed(changed(ROOT, "setuid", [33]), "setgid", [0])

    assert Ids(0, 0, 0, 0) == dropped.groups
    with pytest.raises(PermissionError):
        changed(dropped, "setgid", [33])


def test_groups_are_in_order() -> None:
    assert (3, 7, 9) == changed(ROOT, "setgroups", [9, 3, 7]).supplementary
    assert (4, 5) == WEB.supplementary


def test_capabilities_may_be_kept_until_another_program_is_started() -> None:
    """So setpriv changes the user first, and then the groups."""
    dropped = changed(ROOT._replace(keeps=True), "setresuid", [33, 33, 33])

    kept = changed(dropped, "setgroups", [9])

    assert (9,) == kept.supplementary
    assert not executed(kept, None, None).may_change


def test_a_program_with_a_setuid_bit_brings_its_owner_along() -> None:
    assert Credentials(Ids(33, 0, 0, 0), Ids(34, 34, 34, 34), (4, 5)) == executed(WEB, 0, None)
    assert Credentials(Ids(33, 33, 33, 33), Ids(34, 8, 8, 8), (4, 5)) == executed(WEB, None, 8)
    assert Ids(1, 2, 2, 2) == executed(users(1, 2, 3, 1), None, None).users
