"""Laws of the ids of processes: what the kernel does is what is told."""

from __future__ import annotations

import ctypes
import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.runtime import credentials
from builder.runtime.credentials import STAYS, Credentials, Ids

if TYPE_CHECKING:
    from collections.abc import Sequence

IDS = st.sampled_from([0, 1, 2, 3, STAYS])
ONE = st.tuples(st.sampled_from(["setuid", "setgid", "setfsuid", "setfsgid"]), st.tuples(IDS))
TWO = st.tuples(st.sampled_from(["setreuid", "setregid"]), st.tuples(IDS, IDS))
THREE = st.tuples(st.sampled_from(["setresuid", "setresgid"]), st.tuples(IDS, IDS, IDS))
SOME = st.tuples(st.just("setgroups"), st.lists(st.integers(0, 9), max_size=4).map(tuple))
CALLS = st.lists(st.one_of(ONE, TWO, THREE, SOME), max_size=8)

Steps = list[tuple[int, Credentials]]


def by_the_rules(calls: Sequence[tuple[str, tuple[int, ...]]]) -> Steps:
    """Give the error of each call, and the ids after it."""
    steps, now = [], credentials.of_user(0, 0, ())
    for name, arguments in calls:
        error = 0
        try:
            now = credentials.changed(now, name, arguments)
        except OSError as failure:
            error = failure.errno or 0
        steps.append((error, now))
    return steps


def by_the_kernel(calls: Sequence[tuple[str, tuple[int, ...]]]) -> Steps:
    """Give the same of a process that makes them."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            theirs.sendall(json.dumps([_called(*each) for each in calls]).encode())
        finally:
            os._exit(0)
    theirs.close()
    with ours, ours.makefile() as file:
        said = json.load(file)
    os.waitpid(child, 0)
    return [(error, Credentials(Ids(*uids), Ids(*gids), tuple(groups))) for error, (uids, gids, groups) in said]


def _called(name: str, arguments: tuple[int, ...]) -> tuple[int, list[list[int]]]:
    libc, error = ctypes.CDLL(None, use_errno=True), 0
    if name == "setgroups":
        groups = (ctypes.c_uint * len(arguments))(*arguments)
        result = libc.setgroups(ctypes.c_size_t(len(arguments)), groups)
    else:
        result = getattr(libc, name)(*map(ctypes.c_uint, arguments))
    if result < 0:
        error = ctypes.get_errno()
    with open("/proc/thread-self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return error, [[int(each) for each in lines[name].split()] for name in ("Uid", "Gid", "Groups")]


@pytest.mark.root
@given(calls=CALLS)
def test_what_a_call_leaves_is_what_the_kernel_leaves(calls: list[tuple[str, tuple[int, ...]]]) -> None:
    """Errors as well, and the ids by which files are opened."""
    assert by_the_kernel(calls) == by_the_rules(calls)
