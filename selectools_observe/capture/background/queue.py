"""The bounded queue between callers and the saving thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from ...errors import StoreClosedError
from ...model.snapshot import Snapshot

log = logging.getLogger(__name__)

OnFull: TypeAlias = Literal["wait", "drop_newest", "drop_oldest"]
"""What a save does when the queue is full."""
Outcome: TypeAlias = Literal["saved", "dropped", "failed"]
"""What became of a run in the end."""
Settled: TypeAlias = Callable[[Outcome], object]


_LARGEST_BATCH = 4 * 1024 * 1024  # bytes: they are unpacked to be saved


class BackgroundCounts(msgspec.Struct, frozen=True):
    """What became of the runs; ``sent = saved + dropped + failed + queued``.

    Attributes:
        sent: Runs given to `save` and `save_many`.
        saved: Runs that the store behind has taken.
        dropped: Runs that were given up since the queue was full.
        failed: Runs that the store refused, after all attempts.
        queued: Runs that wait, or are just being saved.
        queued_bytes: How large these are.
    """

    sent: int = 0
    saved: int = 0
    dropped: int = 0
    failed: int = 0
    queued: int = 0
    queued_bytes: int = 0


class Item:
    """A run in the queue."""

    __slots__ = ("is_sent", "number", "settled", "size", "snapshot")

    def __init__(self, snapshot: Snapshot, settled: Settled | None) -> None:
        self.snapshot = snapshot
        self.size = snapshot.size
        self.settled = settled
        self.number = 0
        self.is_sent = False


class RunQueue:
    """Runs that wait to be saved.

    Every method may be called from any thread. What waits for a change is told by callbacks, which
    are called without the lock: an event loop hands in ``call_soon_threadsafe``, a thread an event.
    """

    def __init__(self, name: str, max_queue: int, max_bytes: int, on_full: OnFull) -> None:
        if max_queue < 1 or max_bytes < 1:
            raise ValueError("max_queue and max_bytes must be at least 1")
        if on_full not in get_args(OnFull):
            choices = ", ".join(map(repr, get_args(OnFull)))
            raise ValueError(f"on_full must be one of {choices}, not {on_full!r}")
        self.name = name
        self.largest = max_queue
        self._max_bytes = max_bytes
        self._on_full = on_full
        self.begin_again()

    def begin_again(self) -> None:
        """Be empty, as in a child after a fork: what was queued is its parent's to save."""
        self.lock = threading.Lock()
        self.filled = threading.Condition(self.lock)
        self._waiting: deque[Item] = deque()
        self._under_way: deque[Item] = deque()
        self._taken_in = 0
        self._bytes = 0
        self._sent = self._saved = self._dropped = self._failed = 0
        self._dropping_since: float | None = None
        self._dropped_before = 0
        self._notes: list[str] = []
        self._reported: list[tuple[Callable[[], bool], Callable[[], object]]] = []
        self._urgent = False
        self.closed: bool = False
        self.reported = BackgroundCounts()

    @property
    def counts(self) -> BackgroundCounts:
        """What became of the runs so far."""
        with self.lock:
            return self._counts()

    def _counts(self) -> BackgroundCounts:
        queued = len(self._waiting) + len(self._under_way)
        return BackgroundCounts(
            self._sent, self._saved, self._dropped, self._failed, queued, self._bytes
        )

    def check_open(self) -> None:
        """Raise `StoreClosedError` if the store was closed."""
        if self.closed:
            raise StoreClosedError(self.name)

    def offer(self, item: Item) -> bool:
        """Take a run in, or drop one as the policy says; False if the caller is to wait for room.

        Raises:
            StoreClosedError: The store was closed.
        """
        dropped: list[Item] = []
        with self.lock:
            self.check_open()
            if not self._has_room(item):
                if self._on_full == "wait":
                    return False
                self._note_drops_begin()
                if self._on_full == "drop_oldest":
                    dropped = self._make_room(item)
            self._sent += 1
            item.is_sent = True
            if self._has_room(item):
                self._take_in(item)
            else:
                dropped.append(item)
            self._dropped += len(dropped)
        if self._notes:
            self._log_notes()
        _tell_outcome(dropped, "dropped")
        return True

    def _has_room(self, item: Item) -> bool:
        queued = len(self._waiting) + len(self._under_way)
        # A run that is larger than the bound is let in alone, or it could never be saved.
        fits = self._bytes + item.size <= self._max_bytes or not queued
        return fits and queued < self.largest

    def _make_room(self, item: Item) -> list[Item]:
        dropped: list[Item] = []
        while self._waiting and not self._has_room(item):
            oldest = self._waiting.popleft()
            self._bytes -= oldest.size
            dropped.append(oldest)
        return dropped

    def _take_in(self, item: Item) -> None:
        self._taken_in += 1
        item.number = self._taken_in
        self._waiting.append(item)
        self._bytes += item.size
        if len(self._waiting) == 1 or self._is_half_full():
            self.filled.notify()

    def _is_half_full(self) -> bool:
        return 2 * len(self._waiting) >= self.largest or 2 * self._bytes >= self._max_bytes

    def _note_drops_begin(self) -> None:
        if self._dropping_since is None:
            self._dropping_since = time.monotonic()
            self._dropped_before = self._dropped
            self._notes.append("the queue is full, runs are dropped from now on")

    def _note_drops_end(self) -> None:
        if self._dropping_since is not None:
            dropped = self._dropped - self._dropped_before
            seconds = time.monotonic() - self._dropping_since
            self._dropping_since = None
            self._notes.append(
                f"the queue has room again: {dropped} runs were dropped in {seconds:.1f} s"
            )

    def _log_notes(self) -> None:
        """Without the lock: what handles the log may save runs itself."""
        notes, self._notes = self._notes, []
        for note in notes:
            log.warning("%s: %s", self.name, note)

    def _is_in_a_hurry(self) -> bool:
        return self._urgent or self.closed or self._is_half_full()

    def take(self, most: int, linger: float, idle: float) -> list[Item]:
        """The next runs to save, waiting for the first, then a moment for company.

        None come if none was there for ``idle`` seconds, or if the queue is closed.
        """
        with self.lock:
            self.filled.wait_for(lambda: bool(self._waiting) or self.closed, idle)
            self.filled.wait_for(self._is_in_a_hurry, linger)
            batch: list[Item] = []
            size = 0
            while self._waiting and len(batch) < most and size < _LARGEST_BATCH:
                batch.append(self._waiting.popleft())
                size += batch[-1].size
            self._under_way.extend(batch)
            return batch

    def settle(self, items: Sequence[Item], outcome: Outcome) -> None:
        """Count runs that were taken as saved or failed, and tell those who waited for them."""
        with self.lock:
            for item in items:
                self._under_way.remove(item)
                self._bytes -= item.size
            if outcome == "saved":
                self._saved += len(items)
            else:
                self._failed += len(items)
            if self._dropping_since is not None and not self._is_half_full():
                self._note_drops_end()
        _tell_outcome(items, outcome)
        self.tell()

    def abandon(self) -> None:
        """Count what was taken and not settled as failed."""
        self.settle(list(self._under_way), "failed")

    def tell(self) -> None:
        """Call back those whose time has come."""
        with self.lock:
            due = [entry for entry in self._reported if entry[0]()]
            self._reported = [entry for entry in self._reported if entry not in due]
            self._urgent = bool(self._reported) and self._urgent
        if self._notes:
            self._log_notes()
        for _, callback in due:
            callback()

    def when_room(self, item: Item, callback: Callable[[], object]) -> None:
        """Call back once there may be room for this run, or the queue is closed."""
        self._when(lambda: self.closed or self._has_room(item), callback, urgent=False)

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call back once all that was sent before now is saved, dropped or failed."""
        with self.lock:
            mark = self._taken_in
        self._when(lambda: self._oldest() > mark, callback, urgent=True)

    def _oldest(self) -> int:
        """The number of the oldest run that is not settled."""
        for items in (self._under_way, self._waiting):
            if items:
                return items[0].number
        return self._taken_in + 1

    def _when(
        self, holds: Callable[[], bool], callback: Callable[[], object], *, urgent: bool
    ) -> None:
        with self.lock:
            if not holds():
                self._reported.append((holds, callback))
                if urgent:
                    self._urgent = True
                    self.filled.notify()
                return
        callback()

    def forget(self, callback: Callable[[], object]) -> None:
        """Call nobody back who no longer waits."""
        with self.lock:
            self._reported = [entry for entry in self._reported if entry[1] is not callback]

    def close(self) -> None:
        """Take in no more; what waits for room is refused."""
        with self.lock:
            self.closed = True
            self.filled.notify_all()
        self.tell()

    def give_up(self) -> int:
        """Count all that still waits as failed; how many there were."""
        with self.lock:
            left = list(self._waiting)
            self._waiting.clear()
            self._bytes -= sum(item.size for item in left)
            self._failed += len(left)
        _tell_outcome(left, "failed")
        self.tell()
        return len(left)


def _tell_outcome(items: Sequence[Item], outcome: Outcome) -> None:
    """Tell whoever asked what became of the runs."""
    for item in items:
        if item.settled is not None:
            try:
                item.settled(outcome)
            except Exception:
                log.exception("A callback for the outcome %r failed", outcome)
