"""An advisory lock between processes, on the file itself."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import sys
import time

_TIMEOUT = 30.0  # seconds to wait for another program
_LONG = 0.5  # seconds
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)

if sys.platform == "win32":
    import msvcrt

    # Locks there keep others from reading too: take a byte far beyond the end.
    _FAR = 2**62

    def _try_lock(fd: int) -> None:
        _at_lock(fd, msvcrt.LK_NBLCK)

    def _unlock(fd: int) -> None:
        _at_lock(fd, msvcrt.LK_UNLCK)

    def _at_lock(fd: int, how: int) -> None:
        os.lseek(fd, _FAR, os.SEEK_SET)
        msvcrt.locking(fd, how, 1)

else:
    import fcntl

    def _try_lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class LockTimeoutError(OSError):
    """Another program held the lock for too long."""


def try_to_lock(fd: int) -> bool:
    """Take the lock if nobody has it; whoever took it holds it until the file is closed."""
    try:
        _try_lock(fd)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def lock(fd: int, since: float | None = None) -> None:
    """Take the lock; taking it again does nothing.

    Args:
        fd: The file.
        since: When the caller began to wait, by the monotonic clock, if it waited for another file
            that stood in this one's place.

    Raises:
        LockTimeoutError: It was not to be had in time.
    """
    began = time.monotonic() if since is None else since
    while not try_to_lock(fd):
        if time.monotonic() > began + _TIMEOUT:
            waited = f"could not lock the file within {_TIMEOUT:g} s"
            raise LockTimeoutError(errno.EBUSY, waited)
        # Who has waited for long asks more often: others leave the lock free for moments only.
        pause = 0.005 if time.monotonic() < began + _LONG else 0.0002
        time.sleep(random.uniform(pause / 10, pause))  # noqa: S311


def unlock(fd: int) -> None:
    """Give the lock back, if it was taken."""
    with contextlib.suppress(OSError):
        _unlock(fd)
