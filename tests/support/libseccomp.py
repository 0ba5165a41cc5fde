"""What the kernel would answer to a call: profiles as libseccomp compiles them, and programs of BPF carried out."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ALLOW = 0x7FFF0000
_ACTIONS = {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_ERRNO": 0x00050000, "SCMP_ACT_NOTIFY": 0x7FC00000}
_OPERATORS = ("", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_NATIVE = "SCMP_ARCH_X86_64"
TOKENS = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_X86": 0x40000003, "SCMP_ARCH_X32": 0x4000003E}


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    return library


def name_of(architecture: str, number: int) -> str:
    """Give the name of a call; empty where the library knows none."""
    found = _library().seccomp_syscall_resolve_num_arch(ctypes.c_uint32(TOKENS[architecture]), number)
    return found.decode() if found else ""


def compiled(profile: dict[str, Any]) -> bytes:
    """Give the program that an OCI runtime makes of a profile (``linux.seccomp`` of its config.json), on x86_64."""
    library = _library()

    def action(rule: dict[str, Any], key: str, errno: str) -> ctypes.c_uint32:
        return ctypes.c_uint32(_ACTIONS[rule[key]] | rule.get(errno, 0))

    default = action(profile, "defaultAction", "defaultErrnoRet")
    context = ctypes.c_void_p(library.seccomp_init(default))
    for architecture in profile["architectures"]:
        if architecture != _NATIVE:
            assert library.seccomp_arch_add(context, ctypes.c_uint32(TOKENS[architecture])) == 0
    for rule in profile["syscalls"]:
        wanted = action(rule, "action", "errnoRet")
        compares = [
            _Compare(each["index"], _OPERATORS.index(each["op"][9:]), each["value"], each.get("valueTwo", 0))
            for each in rule.get("args", ())
        ]
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number != -1 and wanted.value != default.value:
                array = (_Compare * len(compares))(*compares)
                done = library.seccomp_rule_add_array(context, wanted, number, len(compares), array)
                assert done == 0, (name, done)
    file = os.memfd_create("program")
    try:
        assert library.seccomp_export_bpf(context, file) == 0
        return os.pread(file, 1 << 20, 0)
    finally:
        os.close(file)
        library.seccomp_release(context)


def answer(program: bytes, token: int, number: int, arguments: Sequence[int] = ()) -> int:
    """Carry out a filter for a call, and give what it returns."""
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, token, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = list(struct.iter_unpack("=HBBI", program))
    at = loaded = 0
    while True:
        operation, then, otherwise, value = code[at]
        at += 1
        match operation:
            case 0x20:
                (loaded,) = struct.unpack_from("=I", data, value)
            case 0x54:
                loaded &= value
            case 0x06:
                return int(value)
            case 0x05:
                at += value
            case 0x15:
                at += then if loaded == value else otherwise
            case 0x25:
                at += then if loaded > value else otherwise
            case 0x35:
                at += then if loaded >= value else otherwise
            case _:
                raise AssertionError(f"operation {operation:#x}")
