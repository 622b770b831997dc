"""The command ``tail``: the newest runs, and new ones as they are saved."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

import click

from ...capture.journal.live_runs import RunningRuns
from ...errors import StorageError
from ...model.filters import TraceFilter
from ...model.trace import TraceSummary
from ...protocols import QueryableTraceStore
from ..command_session import Session, parsed
from ..exit_codes import NOTHING, OK
from ..options import filter_options, store_argument, store_option, with_session
from ..run_lookup import with_whole_ids
from ..run_table import RunTable
from ..running_steps import StepFollower

_REMEMBERED = 2000
_AT_ONCE = 100
_TRIES = 5  # polls in a row that may fail: a file that is being replaced is not whole


@click.command(short_help="Show the newest runs, and follow new ones.")
@store_argument
@store_option
@click.option(
    "-f", "--follow", is_flag=True, help="Keep showing runs as they are saved; Ctrl+C stops."
)
@click.option(
    "--steps",
    is_flag=True,
    help="Also show the steps of running runs, by their run journals.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.05),
    default=0.5,
    metavar="SECONDS",
    help="Polling interval [default: 0.5].",
)
@click.option("--jsonl", "as_data", is_flag=True, help="Print one JSON object per line.")
@filter_options(limit=10)
@with_session
def tail(
    session: Session,
    filters: TraceFilter,
    interval: float,
    *,
    follow: bool,
    steps: bool,
    as_data: bool,
) -> int:
    """Show the newest runs, newest last; with -f, keep showing runs as they are saved.

    Runs saved by any process are seen. A run that is saved again is shown again.
    """
    printer = _Printer(session, as_data=as_data)
    with Follower(session, filters) as follower:
        shown = printer.show(follower.newest())
        running = StepFollower(follower.journals(), session, as_data=as_data) if steps else None
        while True:
            shown += running.show_new() if running else 0
            if not follow:
                break
            time.sleep(interval)
            printer.show(follower.poll())
    return OK if shown else NOTHING


class _Printer:
    def __init__(self, session: Session, *, as_data: bool) -> None:
        self._terminal = session.terminal
        self._as_data = as_data
        self._table: RunTable | None = None

    def show(self, runs: list[TraceSummary]) -> int:
        """Print runs, oldest first, at once; how many there were."""
        if runs and self._table is None and not self._as_data:
            whole_ids = not self._terminal.is_interactive
            self._table = RunTable(self._terminal.width, runs, whole_ids=whole_ids)
            self._terminal.line(self._table.heading())
        for run in runs:
            if self._table is None:
                self._terminal.json(run.to_dict())
            else:
                self._terminal.line(self._table.line(run))
        self._terminal.flush()
        return len(runs)


class Follower:
    """Looks for runs that were saved since it looked last, whoever saved them.

    A store lists in the order of saving. So what is new stands before the first run that was there
    at the last look; the newest of those are remembered, by run id and time of the save.
    """

    def __init__(self, session: Session, filters: TraceFilter) -> None:
        self._session = session
        self._name = parsed(session.name)
        self._stack = ExitStack()
        store = self._stack.enter_context(session.store())
        self._store: QueryableTraceStore | None = store
        self._filters = with_whole_ids(store, filters)
        self._file = _identity(self._name.path)
        self._known: dict[tuple[str, object], None] = {}
        self._failed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def journals(self) -> RunningRuns:
        """The runs under way that will be saved to the store."""
        return RunningRuns(self._store)

    def newest(self) -> list[TraceSummary]:
        """The newest runs that match, up to the filter's limit, oldest first."""
        if self._store is None:
            return []
        self._remember(self._store.list(limit=_REMEMBERED))
        return self._store.query(self._filters)[::-1]

    def poll(self) -> list[TraceSummary]:
        """The runs that match and were saved since the last look, oldest first."""
        try:
            found = self._poll()
        except StorageError:
            self._failed += 1
            if self._failed >= _TRIES:
                raise
            return []
        self._failed = 0
        return found

    def _poll(self) -> list[TraceSummary]:
        file = _identity(self._name.path)
        # A JSONL store looks by itself whether another file took its place, as at every delete.
        goes_on = self._name.kind == "jsonl" and self._store is not None and file is not None
        if file != self._file and not goes_on:
            self._reopen(file)
        if self._store is None:
            return []
        new = self._new(self._store)
        self._remember(new)
        return self._matching(self._store, new)[::-1]

    def _reopen(self, file: tuple[int, int] | None) -> None:
        terminal = self._session.terminal
        self._stack.close()
        self._store = None
        if file is None:
            terminal.note(f"{self._name} is gone; waiting for it to come back")
        else:
            self._store = self._stack.enter_context(self._session.store())
            terminal.note(f"{self._name} was replaced; continuing with the new file")
        self._file = file

    def _new(self, store: QueryableTraceStore) -> list[TraceSummary]:
        return list(self._until_known(store))

    def _until_known(self, store: QueryableTraceStore) -> Iterator[TraceSummary]:
        cursor: str | None = None
        while True:
            page = store.list(limit=_AT_ONCE, cursor=cursor)
            for run in page:
                if (run.run_id, run.created_at) in self._known:
                    return
                yield run
            cursor = page.next_cursor
            if cursor is None:
                return

    def _matching(self, store: QueryableTraceStore, runs: list[TraceSummary]) -> list[TraceSummary]:
        """Those that match; which of them, the store says, so that filters mean one thing."""
        if not runs or self._filters == TraceFilter(limit=self._filters.limit):
            return runs
        ids = {run.run_id for run in runs}
        if self._filters.run_ids is not None:
            ids.intersection_update(self._filters.run_ids)
        matching = store.query(dataclasses.replace(self._filters, run_ids=ids, limit=None))
        found = {run.run_id for run in matching}
        return [run for run in runs if run.run_id in found]

    def _remember(self, runs: list[TraceSummary]) -> None:
        for run in reversed(runs):
            self._known[run.run_id, run.created_at] = None
        while len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))


def _identity(path: str) -> tuple[int, int] | None:
    """Which file stands at the path; None if none does."""
    if not path or path == ":memory:":
        return None
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
