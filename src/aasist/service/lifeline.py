"""A process that ends with the one that started it, however that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""prctl(2), of Linux."""


def end_with(parent: int) -> None:
    """Have the kernel kill this process when the thread of ``parent`` that started it is gone; at once, where it is already.

    Whoever starts such a process does it in a thread that lives as long as the process may: the kernel looks at that thread
    (prctl(2)). Raises ``OSError`` where the kernel will not.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it was gone before the kernel was told
        os._exit(1)
