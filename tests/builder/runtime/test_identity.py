"""Who the processes of a step are told that they are."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from builder.runtime.identity import Identity, Told

ME = os.getpid()
WEB = Identity(33, 34, (44, 45), lambda _path: True)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("getuid", [], Told(33)),
        ("geteuid", [], Told(33)),
        ("getgid", [], Told(34)),
        ("getegid", [], Told(34)),
        ("getresuid", [8, 16, 24], Told(0, tuple((each, struct.pack("=I", 33)) for each in (8, 16, 24)))),
        ("getresgid", [8, 16, 24], Told(0, tuple((each, struct.pack("=I", 34)) for each in (8, 16, 24)))),
        ("getgroups", [0, 8], Told(2)),
        ("getgroups", [5, 8], Told(2, ((8, struct.pack("=II", 44, 45)),))),
    ],
)
def test_a_user_is_told_his_numbers(name: str, arguments: list[int], expected: Told) -> None:
    assert expected == WEB.tell(name, ME, arguments)


def test_groups_need_their_room() -> None:
    with pytest.raises(OSError, match="more") as caught:
        WEB.tell("getgroups", ME, [1, 8])

    assert errno.EINVAL == caught.value.errno
