"""Transfer of runs into a store, in batches, counting what is skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ..errors import CorruptTraceError
from ..interchange.exports import Saved, in_batches
from ..interchange.form import SavedRun
from ..interchange.store_copy import STEPS_SAVED_AT_ONCE, save_runs
from ..model.filters import TraceFilter
from ..model.text import counted
from ..protocols import QueryableTraceStore
from .command_session import Session
from .exit_codes import NOTHING, OK
from .terminal import Progress

_SAVED_AT_ONCE = 500  # runs; fewer than a copy: those of a pipe may be seldom
_MOST_WARNINGS = 20


def with_progress(runs: Iterable[Saved], total: int, progress: Progress) -> Iterator[Saved]:
    """The runs, with the progress of those that were taken."""
    for done, run in enumerate(runs, 1):
        yield run
        progress(done, total)


class RunSaver:
    """Saves runs in batches: a commit for each would take many times as long."""

    def __init__(self, store: QueryableTraceStore, *, skip_existing: bool) -> None:
        self._store = store
        self._skip_existing = skip_existing
        self.saved = 0
        self.left_alone = 0

    def save_all(self, runs: Iterable[SavedRun]) -> None:
        """Save runs and their annotations, a batch at a time."""
        for some in in_batches(runs, _SAVED_AT_ONCE, STEPS_SAVED_AT_ONCE, _steps_of):
            self._save(some)

    def _save(self, runs: list[SavedRun]) -> None:
        if self._skip_existing and runs:
            ids = {run.trace.run_id for run in runs}
            there = {found.run_id for found in self._store.query(TraceFilter(run_ids=ids))}
            self.left_alone += sum(run.trace.run_id in there for run in runs)
            runs = [run for run in runs if run.trace.run_id not in there]
        if not runs:
            return
        self.saved += save_runs(self._store, runs)


def _steps_of(run: SavedRun) -> int:
    return len(run.trace.steps)


class Skipped:
    """Warns of what is skipped, and counts it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.count = 0

    def __call__(self, where: str, why: str) -> None:
        self.count += 1
        if self.count <= _MOST_WARNINGS:
            self._session.terminal.warn(f"skipped {where}: {why}")

    def run(self, error: CorruptTraceError) -> None:
        """A stored run that cannot be read."""
        self(error.where, error.reason)


class Transferred(Protocol):
    """What counts the runs that were saved, and those that were there already."""

    saved: int
    left_alone: int


def report_saved(session: Session, saver: Transferred, skipped: Skipped, target: str) -> int:
    """Print what was saved and skipped; the exit code."""
    parts = [f"{counted(saver.saved, 'run')} saved to {target}"]
    if saver.left_alone:
        parts.append(f"{saver.left_alone:,} already there")
    if skipped.count:
        parts.append(f"{skipped.count:,} skipped")
    session.terminal.note(", ".join(parts))
    return NOTHING if skipped.count else OK
