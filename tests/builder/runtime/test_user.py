"""Users by name or number: as USER means them, and as --chown does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import StepError
from builder.runtime.runtime import ResolvedUser
from builder.runtime.user import MAX_ID, Owner, resolve_owner, resolve_user

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
# a comment:x:1:1::/:
broken line
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
app:x:1000:2000:App:/home/app:/bin/sh
nohome:x:1001:1001::
short:x:1002:1003
4242:x:77:78:a user called by a number:/home/n:
bad:x:notanumber:1::/:
+nis:x:5:5::/:
"""
GROUP = b"""\
root:x:0:
wheel:x:10:root,app
audio:x:29:app,nobody
app:x:2000:app
4343:x:79:
empty
"""


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", ResolvedUser(0, 0, (10,), "/root")),
        ("root", ResolvedUser(0, 0, (10,), "/root")),
        ("0", ResolvedUser(0, 0, (10,), "/root")),
        ("app", ResolvedUser(1000, 2000, (10, 29), "/home/app")),
        ("1000", ResolvedUser(1000, 2000, (10, 29), "/home/app")),
        ("app:", ResolvedUser(1000, 2000, (10, 29), "/home/app")),
        ("app:wheel", ResolvedUser(1000, 10, (), "/home/app")),
        ("app:12", ResolvedUser(1000, 12, (), "/home/app")),
        ("1000:wheel", ResolvedUser(1000, 10, (), "/home/app")),
        ("5:6", ResolvedUser(5, 6, (), "/")),
        ("1000:1000", ResolvedUser(1000, 1000, (), "/home/app")),
        ("5", ResolvedUser(5, 0, (), "/")),
        ("nohome", ResolvedUser(1001, 1001, (), "/")),
        ("short", ResolvedUser(1002, 1003, (), "/")),
        ("4242", ResolvedUser(4242, 0, (), "/")),
        ("app:4343", ResolvedUser(1000, 4343, (), "/home/app")),
        ("root:root", ResolvedUser(0, 0, (), "/root")),
        (f"{MAX_ID}", ResolvedUser(MAX_ID, 0, (), "/")),
    ],
)
def test_user_of_a_run(user: str, expected: ResolvedUser) -> None:
    """Numbers are looked up, never as names; two are not; a group given drops all others."""
    assert expected == resolve_user(user, PASSWD, GROUP)


def test_without_files_numbers_and_root_still_mean_something() -> None:
    assert ResolvedUser(0, 0, (), "/") == resolve_user("", b"", b"")
    assert ResolvedUser(5, 0, (), "/") == resolve_user("5", b"", b"")


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("app:nobody", "unable to find group nobody: no matching entries in group file"),
        ("-1", "unable to find user -1: no matching entries in passwd file"),
        ("4294967295", "user or group 4294967295 is out of range: ids go from 0 to 4294967294"),
        (
            "1:99999999999999999999999",
            "user or group 99999999999999999999999 is out of range: ids go from 0 to 4294967294",
        ),
        ("\u0663", "unable to find user \u0663: no matching entries in passwd file"),
    ],
)
def test_what_the_image_does_not_have_is_an_error_for_run(user: str, message: str) -> None:
    with pytest.raises(StepError) as caught:
        resolve_user(user, PASSWD, GROUP)

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("1001", Owner(1001, 1001)),
        ("1000", Owner(1000, 1000)),
        ("5:6", Owner(5, 6)),
        ("app", Owner(1000, 2000)),
        ("app:wheel", Owner(1000, 10)),
        ("app:12", Owner(1000, 12)),
        ("5:wheel", Owner(5, 10)),
        ("4242", Owner(4242, 4242)),
        ("app:4343", Owner(1000, 4343)),
        (":wheel", Owner(0, 10)),
        ("app:", Owner(1000, 0)),
        ("7:", Owner(7, 0)),
        ("", Owner(0, 0)),
        ("stranger", Owner(0, 0, ("stranger",))),
        ("stranger:wheel", Owner(0, 10, ("stranger",))),
        ("app:strangers", Owner(1000, 2000, ("strangers",))),
        ("7:strangers", Owner(7, 7, ("strangers",))),
        ("a:b", Owner(0, 0, ("a", "b"))),
    ],
)
def test_owner_of_a_chown(owner: str, expected: Owner) -> None:
    """Numbers are not looked up; what is unknown is 0, or the user's group, and named."""
    assert expected == resolve_owner(owner, PASSWD, GROUP)


def test_a_number_out_of_range_is_an_error_for_chown() -> None:
    with pytest.raises(StepError):
        resolve_owner("4294967295", PASSWD, GROUP)


@given(st.text(), st.binary(), st.binary())
def test_any_file_and_any_name_give_a_user_or_an_error(user: str, passwd: bytes, group: bytes) -> None:
    """Hostile files never raise anything else, nor an id that is none."""
    try:
        found = resolve_user(user, passwd, group)
    except StepError:
        return
    assert all(0 <= each <= MAX_ID for each in (found.uid, found.gid, *found.groups))
