"""What a process does with memory that it has let go of."""

from __future__ import annotations

import contextlib
import ctypes
import os

# https://man7.org/linux/man-pages/man3/mallopt.3.html
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 128 * 1024  # bytes
_ARENAS = 2


def give_back_freed_memory() -> None:
    """Give large pieces back to the system as soon as they are free, for as long as we run.

    The C library keeps them otherwise, more of them the larger they were, and for each thread:
    after some large bodies a service has several times what it needs. Only glibc is asked.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError, ValueError):
        if "glibc" in os.confstr("CS_GNU_LIBC_VERSION"):  # type: ignore[operator]
            mallopt = ctypes.CDLL(None).mallopt
            for option, value in (
                (_TRIM_THRESHOLD, _LARGE),
                (_MMAP_THRESHOLD, _LARGE),
                (_ARENA_MAX, _ARENAS),
            ):
                mallopt(option, value)
