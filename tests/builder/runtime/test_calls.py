"""What system calls ask for, and how they are answered."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from builder.runtime import calls, syscalls
from builder.runtime.calls import Call, Change, Question

if TYPE_CHECKING:
    from pathlib import Path

HERE = (1 << 64) - 100
"""AT_FDCWD as a register holds it."""
TEXT = ctypes.create_string_buffer(b"etc/../f")
EMPTY = ctypes.create_string_buffer(b"")
PATH, NONE = ctypes.addressof(TEXT), ctypes.addressof(EMPTY)
ME = os.getpid()
ALL = 0x7FF


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("stat", (PATH, 8, 0, 0, 0, 0), Question(Call(ME, None, b"etc/../f", follow=True), ALL, 8)),
        ("lstat", (PATH, 8, 0, 0, 0, 0), Question(Call(ME, None, b"etc/../f", follow=False), ALL, 8)),
        ("fstat", (3, 8, 0, 0, 0, 0), Question(Call(ME, 3, None, follow=True), ALL, 8)),
        ("newfstatat", (HERE, PATH, 8, 0x100, 0, 0), Question(Call(ME, None, b"etc/../f", follow=False), ALL, 8)),
        ("newfstatat", (4, PATH, 8, 0x800, 0, 0), Question(Call(ME, 4, b"etc/../f", follow=True), ALL, 8)),
        ("newfstatat", (4, NONE, 8, 0x1000, 0, 0), Question(Call(ME, 4, None, follow=True), ALL, 8)),
        ("newfstatat", (4, 0, 8, 0x1000, 0, 0), Question(Call(ME, 4, None, follow=True), ALL, 8)),
        ("newfstatat", (4, NONE, 8, 0, 0, 0), None),
        ("newfstatat", (4, PATH, 8, 0x8000, 0, 0), None),
        ("statx", (HERE, PATH, 0x4100, 8, 16, 0), Question(Call(ME, None, b"etc/../f", follow=False), 8, 16)),
        ("statx", (HERE, NONE, 0x1000, 8, 16, 0), Question(Call(ME, None, None, follow=True), 8, 16)),
        ("statx", (HERE, PATH, 0, 1 << 31, 16, 0), None),
        ("stat", (NONE, 8, 0, 0, 0, 0), None),
    ],
)
def test_a_stat_asks_for_a_file(name: str, arguments: tuple[int, ...], expected: Question | None) -> None:
    """What the kernel refuses it is to refuse itself."""
    assert expected == calls.decode_stat(name, ME, arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("chown", (PATH, 1, 2, 0, 0, 0), (Call(ME, None, b"etc/../f", follow=True), 1, 2)),
        ("lchown", (PATH, 1, calls.STAYS, 0, 0, 0), (Call(ME, None, b"etc/../f", follow=False), 1, calls.STAYS)),
        ("fchown", (3, 1, 2, 0, 0, 0), (Call(ME, 3, None, follow=True), 1, 2)),
        ("fchownat", (HERE, PATH, 1, 2, 0x100, 0), (Call(ME, None, b"etc/../f", follow=False), 1, 2)),
        ("fchownat", (5, NONE, 1, 2, 0x1000, 0), (Call(ME, 5, None, follow=True), 1, 2)),
    ],
)
def test_a_chown_asks_for_a_change(name: str, arguments: tuple[int, ...], expected: tuple[Call, int, int]) -> None:
    assert Change(*expected, by_descriptor=name == "fchown") == calls.decode_chown(name, ME, arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("rename", (PATH, 0, 0, 0, 0, 0), [Call(ME, None, b"etc/../f", follow=False)]),
        ("renameat", (7, PATH, 8, 0, 0, 0), [Call(ME, 7, b"etc/../f", follow=False)]),
        ("renameat2", (7, PATH, 8, PATH, 2, 0), [Call(ME, each, b"etc/../f", follow=False) for each in (7, 8)]),
        ("linkat", (HERE, PATH, 8, PATH, 0x400, 0), [Call(ME, None, b"etc/../f", follow=True)]),
    ],
)
def test_a_move_names_what_is_moved(name: str, arguments: tuple[int, ...], expected: list[Call]) -> None:
    assert expected == calls.decode_move(name, ME, arguments)


def test_texts_are_read_to_their_end() -> None:
    """Also over the end of a page; one without an end, or at no address, has the kernel's errors."""
    long = b"x" * 4000
    memory = ctypes.create_string_buffer(long, 3 * 4096)
    start = ctypes.addressof(memory)

    assert [long, long[1:]] == [calls.read_path(ME, start + i) for i in (0, 1)]
    with pytest.raises(OSError, match="address") as caught:
        calls.read_path(ME, 1)
    assert errno.EFAULT == caught.value.errno
    ctypes.memset(start, ord("x"), 3 * 4096)
    with pytest.raises(OSError, match="end") as caught:
        calls.read_path(ME, start)
    assert errno.ENAMETOOLONG == caught.value.errno


@pytest.mark.skipif(os.uname().machine != "x86_64" or sys.maxsize < 1 << 32, reason="the structure is another one")
def test_an_answer_is_what_the_kernel_answers_but_for_the_owner(tmp_path: Path) -> None:
    """By the old call: the C library of this machine uses the same structure."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o2640)
    os.link(path, tmp_path / "link")
    expected = ctypes.create_string_buffer(144)
    ctypes.CDLL(None, use_errno=True).syscall(4, bytes(path), expected)
    found = syscalls.statx(bytes(path), calls.STATX_WANTED, follow=True)

    answer = bytearray(calls.answer_of("stat", found, (7, 8), "x86_64"))

    assert (7, 8) == struct.unpack_from("=II", answer, 28)
    struct.pack_into("=II", answer, 28, os.getuid(), os.getgid())
    info = os.stat(path)
    struct.pack_into("=II", answer, 28, info.st_uid, info.st_gid)
    assert expected.raw == bytes(answer)


def test_other_machines_have_one_structure(tmp_path: Path) -> None:
    """That of asm-generic/stat.h."""
    found = syscalls.statx(bytes(tmp_path), calls.STATX_WANTED, follow=True)
    info = os.stat(tmp_path)

    answer = calls.answer_of("newfstatat", found, (7, 8), "aarch64")

    assert 128 == len(answer)
    expected = (info.st_dev, info.st_ino, info.st_mode, info.st_nlink, 7, 8, info.st_rdev)
    assert expected == struct.unpack_from("=QQIIIIQ", answer)
    assert (info.st_size, info.st_blksize, info.st_blocks) == struct.unpack_from("=qi4xq", answer, 48)
    times = struct.unpack_from("=6q", answer, 72)
    assert [info.st_atime_ns, info.st_mtime_ns, info.st_ctime_ns] == [
        seconds * 1_000_000_000 + rest for seconds, rest in zip(times[::2], times[1::2], strict=True)
    ]


def test_statx_is_answered_as_it_was_found(tmp_path: Path) -> None:
    found = syscalls.statx(bytes(tmp_path), calls.STATX_WANTED, follow=True)

    answer = calls.answer_of("statx", found, (7, 8), "x86_64")

    assert (7, 8) == struct.unpack_from("=II", answer, 20)
    assert found.raw[:20] + found.raw[28:] == answer[:20] + answer[28:]


def filtered(program: bytes, architecture: int, number: int, given: int | tuple[int, ...] = 0) -> int:
    """Give what a filter answers, as the kernel runs it."""
    arguments = given if isinstance(given, tuple) else (given,)
    data = struct.pack("=iIQ6Q", number & 0x7FFFFFFF, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("=HBBI", program))
    here = loaded = 0
    while True:
        instruction, true, false, value = code[here]
        if instruction == 0x06:
            return int(value)
        if instruction == 0x20:
            loaded = struct.unpack_from("=I", data, value)[0]
        else:
            here += true if (loaded & value if instruction == 0x45 else loaded == value) else false
        here += 1


ALLOWED, HEARD, PRETENDED = 0x7FFF0000, 0x7FC00000, 0x00050000


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers are other ones")
@pytest.mark.parametrize(
    ("architecture", "number", "given", "expected"),
    [
        pytest.param(0xC000003E, 260, 0, HEARD, id="fchownat"),
        pytest.param(0xC000003E, 332, 0, HEARD, id="statx"),
        pytest.param(0xC000003E, 82, 0, ALLOWED, id="rename was not asked for"),
        pytest.param(0xC000003E, 13, 17, HEARD, id="a handler of SIGCHLD"),
        pytest.param(0xC000003E, 13, 2, ALLOWED, id="a handler of SIGINT"),
        pytest.param(0xC000003E, 0x40000000 | 92, 0, PRETENDED, id="chown of x32"),
        pytest.param(0xC000003E, 0x40000000 | 4, 0, ALLOWED, id="stat of x32"),
        pytest.param(0x40000003, 298, 0, PRETENDED, id="fchownat of i386"),
        pytest.param(0x40000003, 92, 0, ALLOWED, id="truncate of i386"),
        pytest.param(0xC000003E, 105, 0, HEARD, id="setuid"),
        pytest.param(0xC000003E, 157, 8, HEARD, id="prctl that keeps capabilities"),
        pytest.param(0xC000003E, 157, 38, ALLOWED, id="another prctl"),
        pytest.param(0x40000003, 213, 0, PRETENDED, id="setuid32 of i386"),
        pytest.param(0xC000003E, 2, (0, os.O_CREAT | os.O_WRONLY), HEARD, id="open that makes a file"),
        pytest.param(0xC000003E, 257, (0, 0, os.O_CREAT), HEARD, id="openat that makes a file"),
        pytest.param(0xC000003E, 257, (os.O_CREAT, os.O_CREAT, os.O_RDWR), ALLOWED, id="openat that makes none"),
        pytest.param(0xC000003E, 83, 0, HEARD, id="mkdir"),
        pytest.param(0xC000003E, 0x40000000 | 105, 0, PRETENDED, id="setuid of x32"),
        pytest.param(0xC00000B7, 54, 0, ALLOWED, id="another machine"),
    ],
)
def test_a_filter_sends_what_was_asked_for(
    architecture: int, number: int, given: int | tuple[int, ...], expected: int
) -> None:
    program = calls.program((*calls.CHOWN, *calls.STAT, calls.HANDLER, *calls.IDENTITY, *calls.MAKE), pretends=True)

    assert expected == filtered(program, architecture, number, given)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers are other ones")
def test_a_filter_without_pretence_leaves_other_programs_alone() -> None:
    program = calls.program(calls.CHOWN)

    assert [HEARD, ALLOWED] == [
        filtered(program, architecture, number) for architecture, number in ((0xC000003E, 92), (0x40000003, 298))
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "directory"),
    [
        ("open", [1, 0, 0], None),
        ("creat", [1, 0, 0], None),
        ("mkdir", [1, 0, 0], None),
        ("mknod", [1, 0, 0], None),
        ("symlink", [0, 1, 0], None),
        ("openat", [7, 1, 0], 7),
        ("mkdirat", [0xFFFFFF9C, 1, 0], None),
        ("mknodat", [7, 1, 0], 7),
        ("symlinkat", [0, 7, 1], 7),
    ],
)
def test_what_is_made_has_its_place(name: str, arguments: list[int], directory: int | None) -> None:
    text = ctypes.create_string_buffer(b"there")
    given = [ctypes.addressof(text) if each == 1 else each for each in arguments]

    assert calls.Call(os.getpid(), directory, b"there", follow=False) == calls.decode_make(
        name, os.getpid(), [*given, 0, 0, 0]
    )
