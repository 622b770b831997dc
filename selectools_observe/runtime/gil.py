"""Pauses in long computations, so that other threads get the interpreter in time."""

from __future__ import annotations

import threading
import time

_AT_A_STRETCH = 0.002  # seconds
# Only a real sleep hands the interpreter over; a sleep of 0 seconds takes it right back.
_PAUSE = 0.00005


class GilYielder:
    """Counts how long a computation has gone on, and pauses it now and then.

    A thread that computes keeps the interpreter for 5 ms at a time; an event loop in another thread
    would stutter. Alone in its process, a thread never pauses.
    """

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def maybe_yield(self) -> None:
        """Pause if it is time."""
        if time.perf_counter() - self._since > _AT_A_STRETCH:
            if threading.active_count() > 1:
                time.sleep(_PAUSE)
            self._since = time.perf_counter()
