"""A thread for work that nobody waits for, done piece by piece, mostly in idle time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from .fork import rest_during_forks

log = logging.getLogger(__name__)

_DELAY = 1.0  # seconds: a short program ends before
_USES_TO_WAKE = 256
_MANY_USES = 500  # a second
_SHARE_IN_A_RUSH = 0.01  # of the time
_SHARE_WHEN_BUSY = 0.05
_SHARE_WHEN_IDLE = 0.8


class Closeable(Protocol):
    """Something that has to be closed."""

    def close(self) -> None: ...


HeldT = TypeVar("HeldT", bound=Closeable)


class IdleThread(Generic[HeldT]):
    """Does work in pieces, as long as there is some; the thread is there only then.

    It is a daemon: what is not done when the program ends is done by the next one.

    Args:
        open_: Opens what the work is done on.
        piece: Does a short piece of work; whether there is more.
    """

    def __init__(self, open_: Callable[[], HeldT], piece: Callable[[HeldT], bool]) -> None:
        self._open = open_
        self._piece = piece
        self._held: HeldT | None = None
        self._at_work = threading.Lock()
        self._state = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._uses = self._uses_then = 0
        self._is_asked = False
        rest_during_forks(self, holds_others=True)

    def used(self, number: int) -> None:
        """What the work follows on happened so often more: it is busy now, and has more to do."""
        self._uses += number
        if self._uses - self._uses_then >= _USES_TO_WAKE:
            self.wake()

    def wake(self) -> None:
        """There may be work: begin soon, unless it goes on already."""
        with self._state:
            self._uses_then = self._uses
            self._is_asked = True
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name="idle-work", daemon=True)
                self._thread.start()

    @property
    def is_working(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    def close(self) -> None:
        """End after the piece that is being done, and wait for that."""
        self._ended.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def abandon(self) -> None:
        """End without waiting."""
        self._ended.set()

    def _run(self) -> None:
        self._ended.wait(_DELAY)
        while self._is_wanted():
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - nobody is there to catch it
                # Tried again when it is woken next; until then, callers do without.
                log.warning("Work in idle time was interrupted: %s", error)
            with self._at_work:
                self._let_go()

    def _is_wanted(self) -> bool:
        with self._state:
            if self._is_asked and not self._ended.is_set():
                self._is_asked = False
                return True
            self._thread = None
            return False

    def _work(self) -> None:
        """Work until there is nothing to do."""
        while not self._ended.is_set():
            uses, since = self._uses, time.monotonic()
            with self._at_work:
                if self._held is None:
                    self._held = self._open()
                has_more = self._piece(self._held)
            if not has_more:
                return
            took = time.monotonic() - since
            share = _share(self._uses - uses, took)
            self._ended.wait(took * (1 - share) / share)

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def before_fork(self) -> None:
        self._at_work.acquire()
        self._let_go()

    def after_fork_in_parent(self) -> None:
        self._at_work.release()

    def after_fork_in_child(self) -> None:
        self._at_work, self._state = threading.Lock(), threading.Lock()
        self._thread = None


def _share(uses: int, seconds: float) -> float:
    """How much of the time the work may take, by what else went on meanwhile."""
    if not uses:
        return _SHARE_WHEN_IDLE
    return _SHARE_IN_A_RUSH if uses > _MANY_USES * seconds else _SHARE_WHEN_BUSY
