"""The system calls a sandboxed step may make: the default that users of Docker know.

All others answer "operation not permitted". Spec: runtime-spec/config-linux.md, "Seccomp".
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from builder.runtime import gate

if TYPE_CHECKING:
    from collections.abc import Collection

_EPERM, _ENOSYS = 1, 38
_AF_ALG, _AF_VSOCK = 38, 40
_SOCKETS = (("SCMP_CMP_LT", _AF_ALG), ("SCMP_CMP_EQ", 39), ("SCMP_CMP_GT", _AF_VSOCK))
"""All families but two: AF_ALG, the kernel's own cryptography, and AF_VSOCK, which leads to the machine's host."""
_NAMESPACE_FLAGS = 0x7E020000
"""All ``CLONE_NEW...`` flags."""
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, 32-bit Linux, each with the old ``uname``, and asking which it is."""

_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
    fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64
    fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch
    inotify_init inotify_init1 inotify_rm_watch lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr
    _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open
    openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
    removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat
    stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink
    unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev cachestat statmount listmount
"""
_MEMORY = """
    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
    remap_file_pages
"""
_PROCESSES = """
    alarm capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid getpriority
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get
    ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open
    pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall riscv_hwprobe rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
    setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setrlimit setsid setuid setuid32 sigaltstack signalfd signalfd4 sigprocmask sigreturn sysinfo tgkill times tkill
    ugetrlimit uname uretprobe vfork wait4 waitid waitpid
"""
_WAITING = """
    adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
    epoll_wait epoll_wait_old eventfd eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
    getrandom gettimeofday io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
    ioctl nanosleep _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64
"""
_TALKING = """
    accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe
    pipe2 recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send
    sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair
"""
_BY_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    "ppc64le": "swapcontext sync_file_range2",
    "riscv64": "riscv_flush_icache",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
}
_BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
        quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}
_NEVER = """
    _sysctl add_key afs_syscall bdflush break create_module ftime get_kernel_syms get_tls getpmsg gtty idle
    io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load keyctl lock migrate_pages move_pages mpx
    nfsservctl nice oldfstat oldlstat oldolduname oldstat olduname pciconfig_iobase pciconfig_read pciconfig_write
    pivot_root prof profil putpmsg query_module readdir request_key security sgetmask sigaction signal sigpending
    sigsuspend ssetmask stty swapoff swapon sysfs tuxcall ulimit uselib userfaultfd usr26 usr32 ustat vm86 vm86old
    vserver
"""
"""What no capability brings, of the machines that have a gate."""
# A call of an architecture that is not here is deadly. x32 is here for tracers, proot among them: they skip a call by
# giving it a number that looks like one of x32.
_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
    "loongarch64": ["SCMP_ARCH_LOONGARCH64"],
}
_CHOWN = "chown chown32 fchown fchown32 fchownat lchown lchown32"
_IDENTITY = """
    setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid
    setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
"""
_DEVICE_TYPES = (0o020000, 0o060000)


def profile(
    capabilities: Collection[str],
    *,
    pretend_ownership: bool = False,
    chown: bool = False,
    identity: bool = False,
    machine: str | None = None,
) -> dict[str, Any]:
    """Give the ``linux.seccomp`` object for a step with these capabilities.

    With ``pretend_ownership`` chown, setuid, mknod of devices and their families do nothing and succeed: what package
    managers need in a user namespace that has one id only. With ``chown``, that family is allowed, and setuid's with
    ``identity``: another filter has somebody answer them.
    """
    machine = machine or platform.machine()
    names = allowed(capabilities, machine)
    rules = [_rule(["socket"], args=[_argument(0, operator, family)]) for operator, family in _SOCKETS]
    rules += [_rule(["personality"], args=[_argument(0, "SCMP_CMP_EQ", value)]) for value in _PERSONALITIES]
    if "CAP_SYS_ADMIN" not in capabilities:
        flags = 1 if machine == "s390x" else 0
        rules.append(_rule(["clone"], args=[_argument(flags, "SCMP_CMP_MASKED_EQ", _NAMESPACE_FLAGS, 0)]))
        # Its flags lie in memory, where a filter cannot look: C libraries then fall back to clone.
        rules.append(_rule(["clone3"], "SCMP_ACT_ERRNO", errno=_ENOSYS))
    if pretend_ownership:
        names -= {*_CHOWN.split(), *_IDENTITY.split(), "mknod", "mknodat"}
        rules += _pretending(chown=chown, identity=identity)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": _ARCHITECTURES.get(machine, []),
        "syscalls": [_rule(sorted(names)), *rules],
    }


def allowed(capabilities: Collection[str], machine: str) -> set[str]:
    """Give the calls that a step with these capabilities may make whatever their arguments are."""
    families = [_FILES, _MEMORY, _PROCESSES, _WAITING, _TALKING, _BY_MACHINE.get(machine, "")]
    families += [_BY_CAPABILITY.get(capability, "") for capability in capabilities]
    return {name for family in families for name in family.split()}


def gate_of(capabilities: Collection[str], machine: str | None = None) -> bytes:
    """Give what filters a step's calls before a profile of :func:`refusals`; empty where this machine has none."""
    machine = machine or platform.machine()
    return gate.gate(allowed(capabilities, machine), _PERSONALITIES, machine)


def refusals(
    capabilities: Collection[str],
    *,
    pretend_ownership: bool = False,
    chown: bool = False,
    identity: bool = False,
    machine: str | None = None,
) -> dict[str, Any]:
    """Give what does the same as :func:`profile`, behind a gate, and is read in a third of the time."""
    machine = machine or platform.machine()
    names = {name for family in (_NEVER, *_BY_CAPABILITY.values()) for name in family.split()}
    names -= allowed(capabilities, machine) | (gate.NEWER.keys() - gate.LEFT_TO_PROFILES)
    rules = [_refusal(["socket"], args=[_argument(0, "SCMP_CMP_EQ", family)]) for family in (_AF_ALG, _AF_VSOCK)]
    if "CAP_SYS_ADMIN" not in capabilities:
        names -= {"clone", "clone3"}
        flags = [1 << bit for bit in range(32) if _NAMESPACE_FLAGS >> bit & 1]
        rules += [_refusal(["clone"], args=[_argument(0, "SCMP_CMP_MASKED_EQ", flag, flag)]) for flag in flags]
        rules.append(_rule(["clone3"], "SCMP_ACT_ERRNO", errno=_ENOSYS))
    if pretend_ownership:
        pretended = _pretending(chown=chown, identity=identity)
        rules += [rule for rule in pretended if rule["action"] != "SCMP_ACT_ALLOW"]
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": _ARCHITECTURES.get(machine, []),
        "syscalls": [_refusal(sorted(names)), *rules],
    }


def _pretending(*, chown: bool, identity: bool) -> list[dict[str, Any]]:
    rules = []
    for names, is_answered in ((_CHOWN, chown), (_IDENTITY, identity)):
        rules.append(_rule(names.split()) if is_answered else _rule(names.split(), "SCMP_ACT_ERRNO", errno=0))
    for name, mode in (("mknod", 1), ("mknodat", 2)):
        for kind in (0o000000, 0o010000, 0o020000, 0o060000, 0o100000, 0o140000):
            args = [_argument(mode, "SCMP_CMP_MASKED_EQ", 0o170000, kind)]
            if kind in _DEVICE_TYPES:
                rules.append(_rule([name], "SCMP_ACT_ERRNO", errno=0, args=args))
            else:
                rules.append(_rule([name], args=args))
    return rules


def _rule(
    names: list[str],
    action: str = "SCMP_ACT_ALLOW",
    *,
    errno: int | None = None,
    args: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": action}
    if errno is not None:
        rule["errnoRet"] = errno
    if args:
        rule["args"] = args
    return rule


def _refusal(names: list[str], *, args: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return _rule(names, "SCMP_ACT_ERRNO", errno=_EPERM, args=args)


def _argument(index: int, operator: str, value: int, other: int | None = None) -> dict[str, Any]:
    """Compare argument ``index``; for a masked comparison ``value`` is the mask and ``other`` the wanted rest."""
    argument = {"index": index, "value": value, "op": operator}
    return argument if other is None else argument | {"valueTwo": other}
