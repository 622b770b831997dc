"""The copy of a store: which runs are to be copied still, and in what the copy differs.

Between stores of ours a run goes as the JSON that is stored: it is read for what the target's index
needs to know, and not written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Protocol, cast

from ..errors import CorruptTraceError
from ..model.annotations import Annotation
from ..model.codec import EncodedTrace, decode, encode, encoded_of, stored_json
from ..model.filters import TraceFilter
from ..model.trace import AgentTrace, TraceSummary
from ..protocols import QueryableTraceStore
from ..stores.blocking import BlockingStore
from .exports import in_batches

_READ_AT_ONCE, _STEPS_READ_AT_ONCE = 512, 2_000
# Some hundred runs touch most pages of the indexes of ids and terms, which each commit writes.
SAVED_AT_ONCE, STEPS_SAVED_AT_ONCE = 4_000, 20_000


class SavedElsewhere(Protocol):
    """A run, when it was saved, and its annotations."""

    @property
    def trace(self) -> object: ...
    @property
    def created_at(self) -> datetime | None: ...
    @property
    def annotations(self) -> Sequence[Annotation]: ...


def save_runs(store: QueryableTraceStore, runs: Sequence[SavedElsewhere]) -> int:
    """Save runs in one batch, as of when they were saved, and their annotations; how many."""
    moments = [run.created_at for run in runs]
    # Our own stores take encoded ones too.
    traces = cast("list[AgentTrace]", [run.trace for run in runs])
    saved = store.save_many(traces, created_at=moments)
    said = [one for run in runs for one in run.annotations]
    if said:
        store.annotate_many(said)
    return len(saved)


class _StoredRun(NamedTuple):
    """A run as it is stored."""

    summary: TraceSummary
    trace: EncodedTrace | AgentTrace
    annotations: Sequence[Annotation]

    @property
    def created_at(self) -> datetime:
        """When it was saved."""
        return self.summary.created_at


class Difference(NamedTuple):
    """In what a run's copy differs.

    Attributes:
        run_id: The run.
        what: What differs, as words.
    """

    run_id: str
    what: str

    def __str__(self) -> str:
        return f"run {self.run_id!r}: {self.what}"


class StoreCopy:
    """One store on its way into another.

    A run whose copy has the same summary and time of saving is left alone but for its annotations,
    so that a copy that was cut short goes on where it was, and one made again takes what is new.

    Args:
        source: What is copied.
        target: Where it is copied to.
        filters: Which runs; all if None.
        skip_existing: Whether to leave a run alone whatever its copy is like.
        skipped: Told of each run that cannot be read.

    Attributes:
        saved: How many runs were copied.
        left_alone: How many runs were there already.
        annotated: How many of them were given annotations.
    """

    def __init__(
        self,
        source: QueryableTraceStore,
        target: QueryableTraceStore,
        filters: TraceFilter | None,
        skipped: Callable[[CorruptTraceError], None],
        *,
        skip_existing: bool = False,
    ) -> None:
        self._source, self._target, self._filters = source, target, filters
        self._skipped, self._skip_existing = skipped, skip_existing
        self._takes_json = isinstance(target, BlockingStore)
        self.saved = 0
        self.left_alone = 0
        self.annotated = 0

    def copy(self, looked_at: Callable[[int], None] = lambda _: None) -> None:
        """Copy what is missing, oldest first, in batches: a commit for each run would take longer.

        Args:
            looked_at: Told how many runs are done with, those that are left alone among them.
        """
        runs = self._missing(looked_at)
        for some in in_batches(
            runs, SAVED_AT_ONCE, STEPS_SAVED_AT_ONCE, lambda run: run.summary.steps
        ):
            self.saved += save_runs(self._target, some)

    def _missing(self, looked_at: Callable[[int], None]) -> Iterator[_StoredRun]:
        wanted = None if self._target.count(TraceFilter(limit=1)) == 0 else self._wanted
        done = 0
        for some in self._batches(wanted):
            stored = _stored_of(self._source, some)
            for run_id, summary in stored.summaries.items():
                trace = self._encoded(run_id, stored.json.get(run_id))
                if trace is not None:
                    given = trace if self._takes_json else decode(trace.trace)
                    yield _StoredRun(summary, given, stored.annotations.get(run_id, ()))
                    done += 1
                    looked_at(done + self.left_alone)
        looked_at(done + self.left_alone)

    def _batches(
        self, wanted: Callable[[Sequence[TraceSummary]], Sequence[TraceSummary]] | None = None
    ) -> Iterator[list[TraceSummary]]:
        """The source's runs, oldest first, as many at once as are read together."""
        summaries = self._source.iter_summaries(self._filters, oldest_first=True)
        while some := list(islice(summaries, _READ_AT_ONCE)):
            chosen = some if wanted is None else wanted(some)
            yield from in_batches(
                chosen, _READ_AT_ONCE, _STEPS_READ_AT_ONCE, lambda summary: summary.steps
            )

    def _encoded(self, run_id: str, stored: bytes | None) -> EncodedTrace | None:
        """A run of the source; None if it is gone, or cannot be read, which is told."""
        with suppress(ValueError):
            encoded = None if stored is None else encoded_of(stored)
            if encoded is not None and encoded.run_id == run_id:
                return encoded
        found = self._loaded(run_id)
        return None if found is None else encode(found)

    def _loaded(self, run_id: str) -> AgentTrace | None:
        """The same as an object."""
        try:
            return self._source.load_many([run_id]).get(run_id)
        except CorruptTraceError as error:
            self._skipped(error)
            return None

    def _wanted(self, summaries: Sequence[TraceSummary]) -> list[TraceSummary]:
        ids = [summary.run_id for summary in summaries]
        there = {found.run_id: found for found in self._target.query(TraceFilter(run_ids=ids))}
        wanted = [each for each in summaries if each.run_id not in there]
        if not self._skip_existing:
            copied = {each.run_id for each in summaries if _is_copied(each, there)}
            wanted = [each for each in summaries if each.run_id not in copied]
            self._annotate(list(copied))
        self.left_alone += len(summaries) - len(wanted)
        return wanted

    def _annotate(self, run_ids: Sequence[str]) -> None:
        """Copy the annotations of runs that are copied but for these."""
        said = self._source.annotations_of(run_ids)
        judged = [run_id for run_id, those in said.items() if those]
        copied = self._target.annotations_of(judged) if judged else {}
        for run_id in judged:
            if said[run_id] != copied.get(run_id):
                self._target.annotate_many(said[run_id])
                self.annotated += 1

    def differences(self, compared: Callable[[int], None] = lambda _: None) -> Iterator[Difference]:
        """Compare every run with its copy: the whole run, when it was saved, its annotations.

        Args:
            compared: Told how many runs are compared.
        """
        done = 0
        for some in self._batches():
            copies = self._target.query(TraceFilter(run_ids=[run.run_id for run in some]))
            source, target = _stored_of(self._source, some), _stored_of(self._target, copies)
            for run in some:
                what = self._difference(run.run_id, source, target)
                if what is not None:
                    yield Difference(run.run_id, what)
            done += len(some)
            compared(done)

    def _difference(self, run_id: str, source: _Stored, target: _Stored) -> str | None:
        json = source.json.get(run_id)
        is_equal = json is not None and json == target.json.get(run_id)
        if not is_equal:  # it may be the same run all the same, written in another way
            run = self._loaded(run_id)
            if run is None:
                return None
            try:
                copy = self._target.load_many([run_id]).get(run_id)
            except CorruptTraceError as error:
                return f"cannot be read: {error.reason}"
            is_equal = copy is not None and stored_json(run) == stored_json(copy)
        if run_id not in target.summaries:
            return "is missing"
        one, other = source.summaries[run_id], target.summaries[run_id]
        said, copied = source.annotations.get(run_id), target.annotations.get(run_id)
        parts = {
            "the run": is_equal,
            "when it was saved": one.created_at == other.created_at,
            "its annotations": said == copied,
        }
        different = [name for name, is_same in parts.items() if not is_same]
        return f"differs: {', '.join(different)}" if different else None


class _Stored(NamedTuple):
    """What a store has of some runs, by their ids."""

    summaries: dict[str, TraceSummary]
    json: dict[str, bytes]
    annotations: dict[str, list[Annotation]]


def _stored_of(store: QueryableTraceStore, summaries: Sequence[TraceSummary]) -> _Stored:
    runs = {summary.run_id: summary for summary in summaries}
    judged = [summary.run_id for summary in summaries if summary.annotations]
    return _Stored(
        runs,
        store.load_json(runs) if isinstance(store, BlockingStore) else {},
        store.annotations_of(judged) if judged else {},
    )


def _is_copied(summary: TraceSummary, copies: dict[str, TraceSummary]) -> bool:
    """Whether there is a copy of the run with the same summary, whatever is said of it."""
    copy = copies.get(summary.run_id)
    if copy is None:
        return False
    copy.annotations = summary.annotations
    return copy == summary
