"""Spans put together until they are a run: they come in several batches, children first, or late.

A run is saved when its root span has come. Spans whose root does not come are saved without it
after a while, or when there are too many, as an unfinished run. What comes after a save is put to
the spans of the stored run, and that is saved again.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from ...capture.agent_saver import OnError, SafeSaver
from ...errors import TraceNotFoundError
from ...protocols import AsyncTraceStore, TraceStore
from ...runtime.fork import rest_during_forks
from ...stores.adapters import borrowed, give_back
from .from_spans import OTHER_SPANS, OtherSpans, is_run, run_of
from .span_tree import Group, grouped
from .spans import SpanRecord
from .timer import Clock
from .to_spans import spans_of_run

log = logging.getLogger("selectools_observe")

# How many traces are remembered after their save, so that what comes late is saved at once.
_REMEMBERED = 4096


class _Waiting(msgspec.Struct):
    """Spans of one trace whose root has not come."""

    deadline: float
    records: list[SpanRecord]


class _Known(msgspec.Struct):
    """What was saved of one trace."""

    run_ids: list[str]
    has_root: bool = False


class SpanAssembler:
    """Takes spans, saves runs. Safe to share between threads and to use in a child after a fork.

    Args:
        store: Where runs go, of either face; stays the caller's to close.
        max_wait: How long spans wait for their root, seconds.
        max_spans: How many spans wait at most.
        other_spans: What becomes of spans that are not of the GenAI conventions.
        on_error: Called with the error and the run after a save that failed.

    Raises:
        TypeError: It is no store.
        ValueError: A limit is not positive, or ``other_spans`` is none of the three.
    """

    def __init__(
        self,
        store: TraceStore | AsyncTraceStore,
        *,
        max_wait: float = 30.0,
        max_spans: int = 50_000,
        other_spans: OtherSpans = "beside",
        on_error: OnError | None = None,
    ) -> None:
        if max_wait <= 0 or max_spans <= 0:
            raise ValueError("max_wait and max_spans must be greater than 0")
        if other_spans not in OTHER_SPANS:
            raise ValueError(f"other_spans must be one of {OTHER_SPANS}, not {other_spans!r}")
        self._store = borrowed(store)
        self.saver = SafeSaver(self._store, on_error)
        self.unread = 0  # spans of which no run could be made
        self._max_wait = max_wait
        self._max_spans = max_spans
        self._other_spans = other_spans
        self._waiting: dict[str, _Waiting] = {}
        self._count = 0
        self._known: dict[str, _Known] = {}  # by trace id, the oldest first
        # Never taken one inside the other, so that who only brings spans waits for no save.
        self._lock = threading.RLock()
        self._saving = threading.RLock()
        self._clock = Clock(self.save_overdue)
        rest_during_forks(self, holds_others=True)

    def add(self, records: Iterable[SpanRecord]) -> bool:
        """Take spans; save the runs that are whole now. Return whether no save failed."""
        ready, waits = self._take(records)
        if waits:
            self._clock.start()
        return self._save(ready)

    def flush(self) -> bool:
        """Save all that waits, unfinished. Return whether no save failed."""
        return self._save(self._overdue(math.inf))

    def save_overdue(self) -> float | None:
        """Save what has waited long enough; return how long until the next, None if none waits."""
        self._save(self._overdue(time.monotonic()))
        with self._lock:
            deadlines = [waiting.deadline for waiting in self._waiting.values()]
        return max(min(deadlines) - time.monotonic(), 0.0) if deadlines else None

    def close(self) -> bool:
        """Save all that waits, and stop looking at the clock."""
        self._clock.stop()
        good = self.flush()
        give_back(self._store)
        return good

    def before_fork(self) -> None:
        """Let the saves finish; take no spans meanwhile."""
        self._saving.acquire()
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()
        self._saving.release()

    def after_fork_in_child(self) -> None:
        """Forget what waits: the parent saves it."""
        self._lock, self._saving = threading.RLock(), threading.RLock()
        self._waiting, self._count = {}, 0
        self._clock = Clock(self.save_overdue)

    def _take(self, records: Iterable[SpanRecord]) -> tuple[list[Group], bool]:
        """Put spans to those that wait; the groups to be saved now, and whether others wait."""
        by_trace: dict[str, list[SpanRecord]] = defaultdict(list)
        for record in records:
            by_trace[record.trace_id].append(record)
        ready: list[Group] = []
        with self._lock:
            for trace_id, new in by_trace.items():
                ready += self._sorted_out(trace_id, new)
            while self._count > self._max_spans:
                oldest = min(self._waiting, key=lambda trace_id: self._waiting[trace_id].deadline)
                ready += grouped(self._pop(oldest))
            return ready, bool(self._waiting)

    def _sorted_out(self, trace_id: str, new: list[SpanRecord]) -> list[Group]:
        """The groups of a trace that are to be saved now; the others wait."""
        waiting = self._waiting.get(trace_id)
        groups = grouped([*self._pop(trace_id), *new])
        known = self._known.get(trace_id)
        late = known is not None and known.has_root
        left = [r for group in groups if not late and group.root is None for r in group.records]
        if left:
            deadline = waiting.deadline if waiting else time.monotonic() + self._max_wait
            self._waiting[trace_id] = _Waiting(deadline, left)
            self._count += len(left)
        return [group for group in groups if late or group.root is not None]

    def _pop(self, trace_id: str) -> list[SpanRecord]:
        waiting = self._waiting.pop(trace_id, None)
        if waiting is None:
            return []
        self._count -= len(waiting.records)
        return waiting.records

    def _overdue(self, now: float) -> list[Group]:
        with self._lock:
            due = [trace_id for trace_id, each in self._waiting.items() if each.deadline <= now]
            return [group for trace_id in due for group in grouped(self._pop(trace_id))]

    def _save(self, ready: list[Group]) -> bool:
        if not ready:
            return True
        with self._saving:
            return all([self._save_one(group) for group in ready])

    def _save_one(self, group: Group) -> bool:
        try:
            return self._save_with_stored(group)
        except Exception:
            self.unread += len(group.records)
            log.exception("the spans of trace %s do not form a run", group.trace_id)
            return False

    def _save_with_stored(self, group: Group) -> bool:
        """Save a run together with what is stored of it."""
        if group.trace_id not in self._known and not is_run(group):
            return True
        new = {record.span_id for record in group.records}
        good = True
        for whole in grouped(self._with_stored(group)):
            if is_run(whole) and not new.isdisjoint(record.span_id for record in whole.records):
                good &= self.saver.save(run_of(whole, other_spans=self._other_spans))
                self._remember(whole)
        return good

    def _with_stored(self, group: Group) -> list[SpanRecord]:
        run_ids = [group.run_id]
        known = self._known.get(group.trace_id)
        if group.root is None and known is not None:
            run_ids += known.run_ids  # which of them it belongs to, its parents there tell
        stored = [
            record
            for run_id in dict.fromkeys(run_ids)
            for record in self._stored(run_id)
            if record.trace_id == group.trace_id
        ]
        return [*stored, *group.records]  # of two with one id, the later counts

    def _stored(self, run_id: str) -> list[SpanRecord]:
        """The spans of a stored run, if there is one."""
        try:
            return spans_of_run(self._store.load(run_id))
        except TraceNotFoundError:
            return []
        except Exception as error:  # noqa: BLE001 - a third party's store may raise anything
            log.warning("run %r is saved without the steps stored earlier: %s", run_id, error)
            return []

    def _remember(self, group: Group) -> None:
        known = self._known.pop(group.trace_id, None) or _Known([])
        if group.run_id not in known.run_ids:
            known.run_ids.append(group.run_id)
        known.has_root |= group.root is not None and not group.root.remote_parent
        self._known[group.trace_id] = known
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
