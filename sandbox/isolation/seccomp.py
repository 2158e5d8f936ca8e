"""The system calls a job may make, as a BPF program. Whatever is not on the list is refused.

An allow-list, because deny-lists leak: what a newer kernel adds, and what an older libseccomp has no name for, is
refused without our doing. Two programs come out of it. `OUTER` is loaded by bubblewrap before the interpreter starts
and still lets one start; `INNER` is loaded by the worker over it, before it sees any data, and takes away starting
programs and changing limits. Both refuse new processes, threads and opening anything for writing, and kill on a foreign
architecture, which covers i386 and x32 calls.

    >>> len(program(INNER)) % 8
    0
"""

import errno
import os
from collections.abc import Collection
from functools import cache
from io import FileIO
from typing import Any

# Reading what is open or may be opened, memory, time, waiting, signals to nobody, knowing oneself, ending.
# fmt: off
_ALWAYS = frozenset({
    "read", "pread64", "readv", "preadv", "preadv2", "write", "writev", "lseek", "close", "close_range", "dup",
    "dup2", "dup3",
    "fstat", "stat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat", "getdents64", "getcwd",
    "chdir", "fadvise64", "readahead",
    "mmap", "mprotect", "munmap", "mremap", "madvise", "brk", "membarrier",
    "futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "sched_yield",
    "sched_getaffinity", "getcpu",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times",
    "poll", "ppoll", "select", "pselect6",
    "getpid", "gettid", "getppid", "getpgrp", "getpgid", "getsid", "getuid", "geteuid", "getgid", "getegid",
    "getresuid", "getresgid", "getgroups",
    "getrlimit", "getrusage", "sysinfo", "uname", "getrandom",
    "arch_prctl", "exit", "exit_group",
})
# fmt: on

# What the start of the interpreter, and the worker locking itself in, need besides; bubblewrap's process 1 waits.
_STARTING = frozenset({"execve", "prctl", "seccomp", "prlimit64", "setrlimit", "wait4", "waitid"})

# landlock_create_ruleset, _add_rule, _restrict_self: the same numbers on every architecture, and unknown by name to the
# libseccomp of Debian 12 and older.
_LANDLOCK = (444, 445, 446)

# ioctl only as far as opening a file from Python needs it (linux/ioctls): TCGETS, FIONCLEX, FIOCLEX.
_IOCTLS = (0x5401, 0x5450, 0x5451)

# fcntl only as far as descriptors are concerned (linux/fcntl.h): F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL,
# F_DUPFD_CLOEXEC. Locks and leases on a shared library could be seen by the job of somebody else.
_FCNTLS = (0, 1, 2, 3, 4, 1030)

# Any of these in the flags of open means more than reading.
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

OUTER = frozenset(_ALWAYS | _STARTING)
INNER = _ALWAYS
# The same for programs, whose libraries start threads: clone with CLONE_THREAD, and never a process.
_THREADS = "clone"
# What one thread waits for another by (polars): they carry nothing out of the process.
_WAITING = frozenset({"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2"})
OUTER_THREADS, INNER_THREADS = OUTER | _WAITING | {_THREADS}, INNER | _WAITING | {_THREADS}
_CLONE_THREAD = 0x00010000


@cache
def program(allowed: Collection[str]) -> bytes | None:
    """The BPF program that allows the calls in `allowed` (one of the sets above); None where libseccomp is missing.

    Built once per process: it depends on nothing but the machine.
    """
    try:
        # Not at the top: without libseccomp.so.2 the import itself fails, and the levels below still work.
        import pyseccomp
    except (ImportError, RuntimeError):
        return None
    filter_ = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    filter_.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    for name in sorted(set(allowed) - {_THREADS}):
        _allow(pyseccomp, filter_, name)
    if _THREADS in allowed:
        condition = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD)
        _allow(pyseccomp, filter_, "clone", condition)
    _allow_reading(pyseccomp, filter_)
    # The limits may be read (the C library does, to find its stack) but not set.
    _allow(pyseccomp, filter_, "prlimit64", pyseccomp.Arg(2, pyseccomp.EQ, 0))
    # The C library takes ENOSYS as "use clone", whose flags a filter can see; here clone is refused in turn.
    filter_.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    if "execve" in allowed:
        for number in _LANDLOCK:
            filter_.add_rule(pyseccomp.ALLOW, number)
    return _exported(filter_)


def _allow(pyseccomp: Any, filter_: Any, name: str, *conditions: Any) -> None:
    number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
    # Negative: this architecture has no such call, or this libseccomp no such name. Then it stays refused.
    if number >= 0:
        filter_.add_rule(pyseccomp.ALLOW, number, *conditions)


def _allow_reading(pyseccomp: Any, filter_: Any) -> None:
    for request in _IOCTLS:
        _allow(pyseccomp, filter_, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    for request in _FCNTLS:
        _allow(pyseccomp, filter_, "fcntl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    for name, argument in (("open", 1), ("openat", 2)):
        _allow(pyseccomp, filter_, name, pyseccomp.Arg(argument, pyseccomp.MASKED_EQ, _WRITING, 0))


def _exported(filter_: Any) -> bytes:
    with FileIO(os.memfd_create("hexi-seccomp"), "r+") as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.readall()
