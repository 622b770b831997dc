"""The copy of a store: which runs are to be copied still, and in what the copy differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ..errors import CorruptTraceError
from ..model.codec import stored_json
from ..model.filters import TraceFilter
from ..model.trace import TraceSummary
from ..protocols import QueryableTraceStore
from .exports import Saved, in_batches, saved_runs

_RUNS_AT_ONCE = 256
_STEPS_AT_ONCE = 2_000


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
        self.left_alone = 0
        self.annotated = 0

    def missing(self, looked_at: Callable[[int], None] = lambda _: None) -> Iterator[Saved]:
        """The runs that are to be copied, oldest first.

        Args:
            looked_at: Told how many runs are done with, those that are left alone among them.
        """
        is_empty = self._target.count(TraceFilter(limit=1)) == 0
        wanted = None if is_empty else self._wanted
        runs = saved_runs(self._source, self._filters, self._skipped, wanted)
        done = 0
        for done, run in enumerate(runs, 1):
            yield run
            looked_at(done + self.left_alone)
        looked_at(done + self.left_alone)

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
        runs = saved_runs(self._source, self._filters, self._skipped)
        done = 0
        for some in in_batches(runs, _RUNS_AT_ONCE, _STEPS_AT_ONCE, _steps_of):
            damaged: list[CorruptTraceError] = []
            ids = [run.trace.run_id for run in some]
            copies = saved_runs(self._target, TraceFilter(run_ids=ids), damaged.append)
            found = {copy.trace.run_id: copy for copy in copies}
            reasons = {error.run_id: error.reason for error in damaged}
            for run in some:
                run_id = run.trace.run_id
                what = _difference(run, found.get(run_id), reasons.get(run_id))
                if what is not None:
                    yield Difference(run_id, what)
            done += len(some)
            compared(done)


def _steps_of(run: Saved) -> int:
    return run.summary.steps


def _is_copied(summary: TraceSummary, copies: dict[str, TraceSummary]) -> bool:
    """Whether there is a copy of the run with the same summary, whatever is said of it."""
    copy = copies.get(summary.run_id)
    if copy is None:
        return False
    copy.annotations = summary.annotations
    return copy == summary


def _difference(run: Saved, copy: Saved | None, damage: str | None) -> str | None:
    if copy is None:
        return "is missing" if damage is None else f"cannot be read: {damage}"
    parts = {
        "the run": stored_json(run.trace) == stored_json(copy.trace),
        "when it was saved": run.created_at == copy.created_at,
        "its annotations": list(run.annotations) == list(copy.annotations),
    }
    different = [name for name, is_equal in parts.items() if not is_equal]
    return f"differs: {', '.join(different)}" if different else None
