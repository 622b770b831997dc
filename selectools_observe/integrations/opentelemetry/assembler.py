"""Spans put together until they are a run: they come in several batches, children first, or late.

A run is saved when its root span has come. Spans whose root does not come are saved without it
when no more of them have come for a while, or when there are too many, as an unfinished run. What
comes after a save, here or in another process, is joined to the stored run in one atomic change of
the store.

What comes late to a long run is saved at once while that is cheap, and else a moment later together
with more of it: putting a run together again costs as much as it is long, and a span should cost
what it weighs.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from ...capture.saver import OnError, SafeSaver
from ...errors import (
    AnnotationsNotKeptError,
    CorruptTraceError,
    TraceNotFoundError,
    TraceStoreError,
)
from ...model.annotations import Annotation
from ...model.codec import EncodedTrace
from ...model.filters import TraceFilter
from ...model.limits import LimitError
from ...model.trace import AgentTrace
from ...protocols import AsyncTraceStore, TraceStore
from ...runtime.fork import rest_during_forks
from ...stores.adapters import as_blocking
from .evaluations import evaluations_of, only_evaluates
from .from_spans import (
    OTHER_SPANS,
    OtherSpans,
    created_at_reported,
    has_genai,
    is_run,
    run_header,
    run_id_reported,
)
from .joined_run import MOST_SPANS, Join, JoinedRun, JoinsElsewhere, RunChange, as_trace
from .span_journal import SpanJournal
from .span_tree import Group, begins_a_run, grouped
from .spans import SpanRecord
from .timer import Clock
from .to_spans import spans_to_join

log = logging.getLogger(__name__)

# How many traces are remembered after their save, so that what comes late is saved at once.
_REMEMBERED = 4096
# Runs of so many spans are saved again for each late span. Beyond it what comes late waits until it
# is this share of the run, or until saving has taken at most this share of the time.
_FEW_SPANS = 64
_LATE_SHARE = 0.25
_SAVING_SHARE = 0.05
# How often a save that the store refused is tried again, and after how long, seconds.
_RETRIES = 3
_RETRY_AFTER = 1.0
_LOOK_FOR_OTHERS = 5.0  # seconds between two looks at journals of receivers that are gone


class _Waiting(msgspec.Struct):
    """Spans of one trace that are not saved yet.

    Attributes:
        deadline: When they are saved if nothing else comes.
        latest: When they are saved whatever else comes.
        records: The spans.
        genai: Some of them are of the GenAI conventions.
        retries: How often saving them has failed.
    """

    deadline: float
    latest: float
    records: list[SpanRecord]
    genai: bool
    retries: int = 0


class _Known(msgspec.Struct):
    """What was saved of one trace.

    Attributes:
        names: The ids of its runs, where they are not the spans' own: those of runs that we sent.
        has_root: Its root is among what was saved.
        spans: How many there were.
        next_save: When the next save is due, as saving shall not take all the time.
        created_at: When the store that sent it had saved it, by run id.
    """

    names: dict[str, str]
    has_root: bool = False
    spans: int = 0
    next_save: float = 0.0
    created_at: dict[str, datetime] = {}


class SpanAssembler:
    """Takes spans, saves runs. Safe to share between threads and to use in a child after a fork.

    Args:
        store: Where runs go, blocking or async; stays the caller's to close.
        max_wait: How long spans wait for their root, seconds.
        max_idle: How long they wait at most when no more of them come: a root that never ends is
            not waited for in vain.
        max_spans: How many spans wait at most.
        other_spans: What becomes of spans that are not of the GenAI conventions.
        journal: Where spans that wait are written down, so that none is lost with the process.
        on_error: Called with the error and the run after a save that failed.
        elsewhere: What puts large runs together, if that is not to be done here.

    Attributes:
        unread: Spans of which no run could be made.
        unused: Spans of traces without any of the GenAI conventions, which are no runs.

    Raises:
        TypeError: It is not a store.
        ValueError: A limit is not positive, or ``other_spans`` is none of the three.
    """

    def __init__(
        self,
        store: TraceStore | AsyncTraceStore,
        *,
        max_wait: float = 30.0,
        max_idle: float = 5.0,
        max_spans: int = 50_000,
        other_spans: OtherSpans = "beside",
        journal: SpanJournal | None = None,
        on_error: OnError | None = None,
        elsewhere: JoinsElsewhere | None = None,
    ) -> None:
        if max_wait <= 0 or max_idle <= 0 or max_spans <= 0:
            raise ValueError("max_wait, max_idle and max_spans must be greater than 0")
        if other_spans not in OTHER_SPANS:
            raise ValueError(f"other_spans must be one of {OTHER_SPANS}, not {other_spans!r}")
        self._store = as_blocking(store, close=False)
        self.saver = SafeSaver(self._store, on_error)
        self.unread = 0
        self.unused = 0
        self._max_wait = max_wait
        self._max_idle = max_idle
        self._max_spans = max_spans
        self._other_spans = other_spans
        self._journal = journal
        self._elsewhere = elsewhere
        self._looked = -math.inf
        self._waiting: dict[str, _Waiting] = {}
        self._count = 0
        # Traces whose spans are being saved: they do not wait any more, and are not stored yet.
        self._in_hand: Counter[str] = Counter()
        self._known: dict[str, _Known] = {}  # by trace id, the oldest first
        # Never taken one inside the other, so that who only brings spans waits for no save.
        self._lock = threading.RLock()
        self._saving = threading.RLock()
        self._clock = Clock(self.save_overdue)
        rest_during_forks(self, holds_others=True)

    def add(self, records: Iterable[SpanRecord]) -> bool:
        """Take spans; save the runs that are whole now. Return whether nothing failed.

        With a journal, what is not saved yet is on disk when it returns.
        """
        self._take_over()
        return self._add(list(records))

    def _add(self, records: list[SpanRecord]) -> bool:
        ready, waits = self._take(records)
        if waits:
            self._clock.start()
        good = self._save(ready)
        return self._write_down({record.trace_id for record in records}, records) and good

    def without_genai(self, trace_ids: Iterable[str]) -> tuple[int, int]:
        """Of those traces that have no span of the GenAI conventions so far: spans, and traces."""
        with self._lock:
            waiting = [self._waiting.get(trace_id) for trace_id in set(trace_ids)]
        found = [len(each.records) for each in waiting if each is not None and not each.genai]
        return sum(found), len(found)

    def flush(self) -> bool:
        """Save all that waits, unfinished. Return whether no save failed.

        Spans of a trace of which none is of the GenAI conventions, here or in the store, go on
        waiting for one that is.
        """
        self._take_over(now=True)
        good = self._save_waiting(math.inf)
        self._shorten()
        if self._waiting:
            self._clock.start()
        return good

    def save_overdue(self) -> float | None:
        """Save what has waited long enough; return how long until the next, None if none waits."""
        self._save_waiting(time.monotonic())
        self._shorten()
        with self._lock:
            deadlines = [waiting.deadline for waiting in self._waiting.values()]
        return max(min(deadlines) - time.monotonic(), 0.0) if deadlines else None

    def close(self) -> bool:
        """Save all that waits, and stop looking at the clock."""
        good = self.flush()
        self._clock.stop()
        if self._journal is not None:
            self._journal.close()
        else:
            self.unused += self._count
        self._store.close()
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
        self._waiting, self._count, self._in_hand = {}, 0, Counter()
        if self._journal is not None:
            self._journal.after_fork_in_child()
        self._clock = Clock(self.save_overdue)

    # What comes, and what waits.

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
                ready += grouped(self._pop(self._least_wanted()))
            self._in_hand.update(group.trace_id for group in ready)
            return ready, bool(self._waiting)

    def _least_wanted(self) -> str:
        """The trace that is saved first if too many wait: one without GenAI, or the oldest."""
        waiting = self._waiting
        return min(
            waiting, key=lambda trace_id: (waiting[trace_id].genai, waiting[trace_id].deadline)
        )

    def _sorted_out(self, trace_id: str, new: list[SpanRecord]) -> list[Group]:
        """The groups of a trace that are to be saved now; the others wait."""
        waiting = self._waiting.get(trace_id)
        known = self._known.get(trace_id)
        if waiting is not None and known is None and not any(map(_may_end_a_wait, new)):
            self._wait_on(waiting, new)
            return []
        groups = grouped([*self._pop(trace_id), *new])
        now = time.monotonic()
        latest = waiting.latest if waiting else now + self._max_wait
        if all(map(_judges, groups)):
            return groups  # what it is about may be stored already
        if known is not None and known.has_root:
            if self._is_due(known, sum(len(group.records) for group in groups), now):
                return groups
            self._wait(trace_id, groups, min(latest, known.next_save))
            return []
        ready = [group for group in groups if group.root is not None and (known or is_run(group))]
        left = [group for group in groups if group not in ready]
        if left:
            self._wait(trace_id, left, latest)
        return ready

    def _is_due(self, known: _Known, late: int, now: float) -> bool:
        """Whether late spans are to be saved now, or a moment later with more of them."""
        few = known.spans <= _FEW_SPANS or late >= known.spans * _LATE_SHARE
        return few or now >= known.next_save

    def _wait(self, trace_id: str, groups: list[Group], latest: float, retries: int = 0) -> None:
        records = [record for group in groups for record in group.records]
        genai = has_genai(records)
        # What may be no run goes on waiting for a span that says that it is one.
        deadline = min(latest, time.monotonic() + self._max_idle) if genai else latest
        self._waiting[trace_id] = _Waiting(deadline, latest, records, genai, retries)
        self._count += len(records)

    def _wait_on(self, waiting: _Waiting, new: list[SpanRecord]) -> None:
        """Put spans to those that wait, none of which is a root."""
        waiting.records += new
        waiting.genai = waiting.genai or has_genai(new)
        if waiting.genai:
            waiting.deadline = min(waiting.latest, time.monotonic() + self._max_idle)
        self._count += len(new)

    def _pop(self, trace_id: str) -> list[SpanRecord]:
        waiting = self._waiting.pop(trace_id, None)
        if waiting is None:
            return []
        self._count -= len(waiting.records)
        return waiting.records

    def _save_waiting(self, now: float) -> bool:
        """Save what has waited until then."""
        with self._saving:
            with self._lock:
                due = {name: each for name, each in self._waiting.items() if each.deadline <= now}
                ready = [group for trace_id in due for group in grouped(self._pop(trace_id))]
                self._in_hand.update(group.trace_id for group in ready)
            return self._save_each((group, due[group.trace_id].latest) for group in ready)

    # The journal.

    def _write_down(self, trace_ids: set[str], records: list[SpanRecord]) -> bool:
        """Write down those of the new spans that are not saved yet; whether that was done."""
        if self._journal is None:
            return True
        with self._lock:
            waits = trace_ids & (self._waiting.keys() | self._in_hand.keys())
        left = [record for record in records if record.trace_id in waits]
        try:
            if left:
                self._journal.append(left)
            else:
                self._shorten()
        except OSError as error:
            log.warning("pending spans cannot be written to the journal: %s", error)
            return False
        return True

    def _shorten(self) -> None:
        if self._journal is None:
            return
        # What is being saved is not waiting any more, and not stored yet.
        with self._saving, self._lock:
            waiting = [record for each in self._waiting.values() for record in each.records]
            try:
                self._journal.shorten(waiting)
            except OSError as error:
                log.warning("%s: the journal cannot be shortened: %s", self._journal.folder, error)

    def _take_over(self, *, now: bool = False) -> None:
        """Take the spans of receivers that were killed."""
        if self._journal is None:
            return
        with self._lock:
            if not now and time.monotonic() - self._looked < _LOOK_FOR_OTHERS:
                return
            self._looked = time.monotonic()
        try:
            for path, records in self._journal.taken_over():
                log.warning(
                    "%s: recovered %d spans of a receiver that has ended", path, len(records)
                )
                if not self._add(records):
                    return
        except OSError as error:
            log.warning("%s: journals cannot be read: %s", self._journal.folder, error)

    # Saving.

    def _save(self, ready: list[Group]) -> bool:
        if not ready:
            return True
        with self._saving:
            return self._save_each((group, self._latest_of(group)) for group in ready)

    def _save_each(self, ready: Iterable[tuple[Group, float]]) -> bool:
        parted: set[str] = set()  # a trace may have thousands of parts
        good = all([self._save_one(group, deadline, parted) for group, deadline in ready])
        for trace_id in parted:
            try:
                self._bring_home(trace_id)
            except Exception:
                log.exception("the parts of trace %s are not told apart", trace_id)
                good = False
        return good

    def _latest_of(self, group: Group) -> float:
        """Until when what came just now waits for its run, if that is not there."""
        return time.monotonic() + self._max_wait if _judges(group) else 0.0

    def _save_one(self, group: Group, deadline: float, parted: set[str]) -> bool:
        try:
            return self._saved_or_waits(group, deadline, parted)
        finally:
            with self._lock:
                self._in_hand -= Counter([group.trace_id])

    def _saved_or_waits(self, group: Group, deadline: float, parted: set[str]) -> bool:
        try:
            judges = _judges(group)
            saved = self._judge(group) if judges else self._join(group)
            if saved and not judges and (group.root is None or begins_a_run(group.root)):
                parted.add(group.trace_id)
        except Exception as error:
            self.unread += len(group.records)
            log.exception("the spans of trace %s make no run", group.trace_id)
            self.saver.tell(error, AgentTrace(run_id=group.run_id), "run %r is not saved")
            return False
        if saved is None and time.monotonic() < deadline:
            with self._lock:
                left = grouped([*self._pop(group.trace_id), *group.records])
                self._wait(group.trace_id, left, deadline)
            self._clock.start()
        elif saved is None:
            self.unused += len(group.records)
            log.info(
                "%d spans of trace %s are not stored: %s", len(group.records), group.trace_id,
                "what they evaluate is not there" if judges
                else f"none is of the GenAI conventions, or the run has {MOST_SPANS} already",
            )  # fmt: skip
        elif not saved:
            self._try_again_later(group)
        return saved is not False

    def _join(self, group: Group) -> bool | None:
        """Save a group with what is stored of its run; None if it is not a run."""
        began = time.monotonic()
        run_id = self._name_of(group)
        # Of a run that we sent, spans may have come before the one that tells its id.
        before = self._spans_of(group.run_id) if run_id != group.run_id else []
        moment = created_at_reported(group) or self._moment_of(group.trace_id, run_id)
        join = Join(run_id, group.records, self._other_spans, is_run(group), before)
        saved, joined = self._update(join, moment, lambda: _shown(group, run_id))
        if joined is not None and saved:
            _tell_of_unread(joined.unread)
            saved = self._annotate(joined.run, joined.said)
        if joined is not None and saved:
            if before:
                self._store.delete(group.run_id)
            self._remember(group, run_id, joined.spans, began)
            if moment is not None:
                self._known[group.trace_id].created_at[run_id] = moment
        return saved

    def _update(
        self,
        join: Join,
        moment: datetime | None = None,
        shown: Callable[[], AgentTrace] | None = None,
    ) -> tuple[bool | None, JoinedRun | None]:
        """Whether a run is stored now, None if nothing was to do; and the run.

        What is put together elsewhere is put together between two looks at what is stored: nobody
        who saves something else waits for it.
        """
        change = RunChange(join, self._elsewhere)
        while True:
            saved = self.saver.update(join.run_id, change, moment, shown)
            if saved is not None or not change.is_behind:
                return saved, change.joined
            try:
                change.catch_up()
            except LimitError as error:
                log.warning("run %r cannot take more spans: %s", join.run_id, error)
                return None, None
            except TraceStoreError as error:
                return self.saver.lost(error, (shown and shown()) or AgentTrace()), None

    def _moment_of(self, trace_id: str, run_id: str) -> datetime | None:
        known = self._known.get(trace_id)
        return None if known is None else known.created_at.get(run_id)

    def _judge(self, group: Group) -> bool | None:
        """Say of a stored run what evaluations of its spans say; None if it is not there."""
        run_id = self._name_of(group)
        run_ids = dict.fromkeys([run_id, *self._parts(group.trace_id)])
        runs = [run for run in map(self._stored, run_ids) if run is not None]
        if not runs:
            return None
        spans = {run.run_id: {record.span_id for record in self._records_of(run)} for run in runs}
        by_run: dict[str, list[SpanRecord]] = defaultdict(list)
        for record in group.records:
            home = next((name for name in spans if record.span_id in spans[name]), runs[0].run_id)
            by_run[home].append(record)
        unread: list[str] = []
        said = [(run, evaluations_of(by_run[run.run_id], run, unread.append)) for run in runs]
        _tell_of_unread(unread)
        return all([self._annotate(run, each) for run, each in said])

    def _annotate(self, run: AgentTrace | EncodedTrace, said: list[Annotation]) -> bool:
        """Keep what spans say of their run; whether that is stored now."""
        if not said:
            return True
        try:
            self._store.annotate_many(said)
        except AnnotationsNotKeptError as error:
            log.warning("%d evaluations of run %r are left out: %s", len(said), run.run_id, error)
        except TraceStoreError as error:
            return self.saver.lost(error, AgentTrace(run_id=run.run_id))
        return True

    def _name_of(self, group: Group) -> str:
        """The id of the run that a group belongs to."""
        reported = run_id_reported(group)
        known = self._known.get(group.trace_id)
        if reported is None and known is not None:
            return known.names.get(group.run_id, group.run_id)
        return reported or group.run_id

    def _try_again_later(self, group: Group) -> None:
        """What was acknowledged is not given up because the store refused it once."""
        with self._lock:
            known = self._waiting.get(group.trace_id)
            retries = (known.retries if known else 0) + 1
            if retries > _RETRIES:
                return
            groups = grouped([*group.records, *self._pop(group.trace_id)])
            self._wait(group.trace_id, groups, time.monotonic() + _RETRY_AFTER, retries)
        self._clock.start()

    def _remember(self, group: Group, run_id: str, spans: int, began: float) -> None:
        now = time.monotonic()
        known = self._known.pop(group.trace_id, None) or _Known({})
        known.names[group.run_id] = run_id
        known.has_root |= group.root is not None and not begins_a_run(group.root)
        known.spans = spans
        known.next_save = now + (now - began) / _SAVING_SHARE
        self._known[group.trace_id] = known
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    # Parts that other processes began.

    def _bring_home(self, trace_id: str) -> None:
        """Move spans that came before it was known which part of a trace they belong to.

        Whoever saves a part, and whoever saves spans without their root, looks afterwards: so one
        of two that do it at the same time sees both.
        """
        parts = self._parts(trace_id)  # most traces have none, and to load a run may take long
        home = self._spans_of(trace_id) if parts else []
        there = {record.span_id for record in home}
        if all(record.parent_span_id in there or not record.parent_span_id for record in home):
            return
        for run_id in parts:
            here = {record.span_id for record in self._spans_of(run_id)}
            astray = _inside(home, here)
            if astray:
                self._move(trace_id, run_id, astray)

    def _move(self, trace_id: str, run_id: str, astray: list[SpanRecord]) -> None:
        saved, _ = self._update(Join(run_id, astray, self._other_spans))
        if not saved:
            return
        ids = frozenset(record.span_id for record in astray)
        if all(record.span_id in ids for record in self._spans_of(trace_id)):
            self._store.delete(trace_id)
        else:
            self._update(Join(trace_id, [], self._other_spans, gone=ids))

    def _parts(self, trace_id: str) -> list[str]:
        """The runs of a trace next to the one that is named by it."""
        query: Callable[[TraceFilter], Iterable[object]] | None = getattr(
            self._store, "query", None
        )
        found = []
        if query is not None:
            filters = TraceFilter(metadata_match={"otel.trace_id": trace_id})
            found = [str(getattr(summary, "run_id", "")) for summary in query(filters)]
        return [run_id for run_id in found if run_id.startswith(f"{trace_id}-")]

    def _spans_of(self, run_id: str) -> list[SpanRecord]:
        run = self._stored(run_id)
        return [] if run is None else self._records_of(run)

    def _records_of(self, run: AgentTrace) -> list[SpanRecord]:
        return spans_to_join(run)[0]

    def _stored(self, run_id: str) -> AgentTrace | None:
        try:
            return as_trace(self._store.load(run_id))
        except (TraceNotFoundError, CorruptTraceError):
            return None


def _judges(group: Group) -> bool:
    """Whether nothing is here but what was said of the spans of a run."""
    return all(map(only_evaluates, group.records))


def _may_end_a_wait(record: SpanRecord) -> bool:
    """Whether it may be a root, or what is said of spans that are stored already."""
    return record.parent_span_id is None or record.remote_parent or record.partial


def _tell_of_unread(unread: list[str]) -> None:
    """Say once of many: they come thousands in a request."""
    if unread:
        log.warning("%d evaluations cannot be read, the first: %s", len(unread), unread[0])


def _shown(group: Group, run_id: str) -> AgentTrace:
    """What `on_error` is given."""
    run = run_header(group)
    run.run_id = run_id
    return run


def _inside(records: list[SpanRecord], tops: set[str]) -> list[SpanRecord]:
    """Those of the spans that are inside one of these others, at any depth."""
    found: list[SpanRecord] = []
    inside = set(tops)
    left = [record for record in records if not begins_a_run(record)]
    while True:
        new = [record for record in left if record.parent_span_id in inside]
        if not new:
            return found
        found += new
        inside |= {record.span_id for record in new}
        left = [record for record in left if record.span_id not in inside]
