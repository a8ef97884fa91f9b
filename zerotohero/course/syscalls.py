"""The system calls that the sandbox takes away: what namespaces and limits leave open.

    syscalls.confined()         # the filter of a sandbox
    syscalls.single()           # one more, for an exercise that is answered in one thread
    syscalls.KNOWN              # whether they can be made for this machine

Filters are seccomp programs in classic BPF. They deny with EPERM, which code that asks out of
habit takes for "not here", and let all else pass: Python and torch use a hundred calls.
"""

import errno
import platform
import struct
from collections.abc import Iterable, Iterator, Sequence

_Instruction = tuple[int, int, int, int]  # operation, jump if true, jump if false, constant

# Architecture in the kernel's audit numbering, and which of the numbers below are its own.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
KNOWN = platform.machine() in _MACHINES

# What no answer needs, and what namespaces and limits leave open: on x86_64, on aarch64.
_DENIED = {
    # namespaces and mounts, by which a user can gain rights and memory
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    # out of the sandbox: keyrings are in no namespace, and see _SOCKET
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "syslog": (103, 116),
    # memory that counts as no process's, and objects that outlive one
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "vmsplice": (278, 75),  # a page in a pipe pins the two megabytes around it
    "io_setup": (206, 0),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "landlock_create_ruleset": (444, 444),
    # attributes and access lists of files take memory that no file system's limit counts
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    # large parts of the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "kexec_load": (246, 104),
    # the core that the sandbox is kept on
    "sched_setaffinity": (203, 122),
}
_CLONE, _CLONE3 = (56, 220), 435
_FORK = ((57, 58), ())  # fork and vfork, which not every machine has
_NEW_NAMESPACES = 0x7E020000  # the CLONE_NEW… flags
# Local sockets alone, which multiprocessing needs: vsock reaches past a network namespace.
_SOCKET, _LOCAL = (41, 198), 1
# Children that their parent has said to ignore leave no trace of the time that they have used. A
# handler for their end is set in vain, without an error: torch's loaders set one.
_SIGACTION, _CHILD = (13, 134), 17
# Memory that processes share without a file stays when no one has it in their address space.
_MMAP, _SHARED, _ANONYMOUS = (9, 222), 0x01, 0x20

_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _GIVE = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_FIRST, _SECOND, _FOURTH = 16, 24, 40  # of arguments, which are twice as long as a constant
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | errno.EPERM
_MISSING, _IN_VAIN = 0x00050000 | errno.ENOSYS, 0x00050000


def confined() -> bytes:
    """Return the filter that all strangers' code runs under."""
    which = _MACHINES[platform.machine()][1]
    denied = [numbers[which] for numbers in _DENIED.values() if numbers[which] is not None]
    return _assembled(
        [
            *_denying(denied),
            # The filter cannot see clone3's flags; libraries fall back on clone if it is missing.
            (_EQUAL, 0, 1, _CLONE3),
            (_GIVE, 0, 0, _MISSING),
            (_EQUAL, 0, 4, _CLONE[which]),
            (_LOAD, 0, 0, _FIRST),
            (_ANY_BIT, 0, 1, _NEW_NAMESPACES),
            (_GIVE, 0, 0, _DENY),
            (_GIVE, 0, 0, _ALLOW),
            (_EQUAL, 0, 4, _SOCKET[which]),
            (_LOAD, 0, 0, _FIRST),
            (_EQUAL, 1, 0, _LOCAL),
            (_GIVE, 0, 0, _DENY),
            (_GIVE, 0, 0, _ALLOW),
            (_EQUAL, 0, 8, _SIGACTION[which]),
            (_LOAD, 0, 0, _FIRST),
            (_EQUAL, 0, 4, _CHILD),
            (_LOAD, 0, 0, _SECOND),  # nothing new if it is null
            (_ANY_BIT, 3, 0, 0xFFFFFFFF),
            (_LOAD, 0, 0, _SECOND + 4),
            (_ANY_BIT, 1, 0, 0xFFFFFFFF),
            (_GIVE, 0, 0, _ALLOW),
            (_GIVE, 0, 0, _IN_VAIN),
            (_EQUAL, 0, 4, _MMAP[which]),
            (_LOAD, 0, 0, _FOURTH),
            (_ANY_BIT, 0, 2, _SHARED),
            (_ANY_BIT, 0, 1, _ANONYMOUS),
            (_GIVE, 0, 0, _DENY),
            (_GIVE, 0, 0, _ALLOW),
        ]
    )


def single() -> bytes:
    """Return a filter that denies further threads and processes."""
    which = _MACHINES[platform.machine()][1]
    return _assembled([*_denying([_CLONE[which], _CLONE3, *_FORK[which]]), (_GIVE, 0, 0, _ALLOW)])


def _denying(numbers: Sequence[int]) -> Iterator[_Instruction]:
    for number in numbers:
        yield (_EQUAL, 0, 1, number)
        yield (_GIVE, 0, 0, _DENY)


def _assembled(rules: Iterable[_Instruction]) -> bytes:
    """Return the rules, which begin with the call's number loaded, for this machine's calls."""
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _MACHINES[platform.machine()][0]),
        (_GIVE, 0, 0, _DENY),  # 32-bit calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_ABOVE, 0, 1, 0x3FFFFFFF),
        (_GIVE, 0, 0, _DENY),  # and so have those of x32
        *rules,
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
