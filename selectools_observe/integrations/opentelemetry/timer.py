"""A thread that comes back when it is time, and is there only while something waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

# A moment of rest even if the next is due: another may be about to bring what is waited for.
_SHORTEST_WAIT = 0.01


class Clock:
    """Calls a function when it says that it wants to be called again.

    Args:
        tick: Does what is due; returns how many seconds it can wait, None if nothing waits.
    """

    def __init__(self, tick: Callable[[], float | None]) -> None:
        self._tick = tick
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked = False
        self._stopped = threading.Event()

    def start(self) -> None:
        """Tick from now on, until nothing waits."""
        with self._lock:
            self._asked = True
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="selectools_observe-spans", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Tick no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                self._asked = False
            try:
                wait = self._tick()
            except Exception:
                log.exception("pending spans could not be saved")
                wait = 1.0
            with self._lock:
                if wait is None and not self._asked:
                    self._thread = None
                    return
            self._stopped.wait(max(wait or 0.0, _SHORTEST_WAIT))
