"""A process that may open little more than the libraries it is made of, by Landlock (Linux 5.13 and newer)."""

from __future__ import annotations

import ctypes
import errno
import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""System calls, of the same numbers on every architecture."""
_ASK_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILES = {1: 13, 2: 14, 3: 15, 5: 16}
"""Version -> how many rights on files it knows: to execute, write, read, list, remove, make, ...; from the first bit on."""
_NETWORK, _SCOPES = (4, 0b11), (6, 0b11)
"""Version, and its rights: to bind and to connect by TCP; to reach abstract sockets and to signal those outside."""

LIBRARIES = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/nix/store",
    "/gnu/store",
)
ABOUT_ITSELF = ("/proc/self", "/proc/cpuinfo", "/sys/devices/system/cpu")


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def confine() -> bool:
    """From now on this process, and every thread and process that it starts, reads what lies beneath `readable` alone, writes and
    executes nothing, and has no TCP connection but those it was given; what it holds open, it keeps.

    False where the kernel does not know how, and nothing has changed. To be called before there is a second thread, which would
    stay free. Raises ``OSError`` where the kernel knows and refuses.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    rights = _Ruleset(
        files=(1 << max(count for since, count in _FILES.items() if since <= version)) - 1,
        network=_NETWORK[1] if version >= _NETWORK[0] else 0,
        scopes=_SCOPES[1] if version >= _SCOPES[0] else 0,
    )
    size = 8 * (1 + (version >= _NETWORK[0]) + (version >= _SCOPES[0]))
    rules = _done(libc.syscall(_CREATE_RULESET, ctypes.byref(rights), ctypes.c_size_t(size), 0))
    try:
        for path in readable():
            _allow(libc, rules, path)
        _done(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _done(libc.syscall(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)
    return True


def readable() -> Iterable[str]:
    """Files, and folders with all that is in them: Python, its packages, the system's libraries, and facts of this process."""
    # Our own besides: where it is installed to be edited, it may lie beneath none of these.
    packages = (*sys.path, *site.getsitepackages(), sysconfig.get_path("stdlib"), str(Path(__file__).parents[1]))
    own = (f"{sys.prefix}/lib", f"{sys.base_prefix}/lib", *os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    return dict.fromkeys(path for path in (*packages, *own, *LIBRARIES, *ABOUT_ITSELF) if path)


def _allow(libc: ctypes.CDLL, rules: int, path: str) -> None:
    """What is not there is left out."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights = _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0)
            rule = _PathBeneath(allowed=rights, parent=place)
            _done(libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0))
        finally:
            os.close(place)


def _done(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno() or errno.EPERM
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return answer
