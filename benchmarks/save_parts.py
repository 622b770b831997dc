"""Where the time of a save goes: bare sqlite3, then one part of ours after another.

    python -m benchmarks.save_parts             # half a minute

Every line does what the line before it does, and one thing more. Those who are compared take turns,
the table gives medians: microseconds a run of 6 KB, of a processor and by the clock. What the store
does in idle time is left out.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.data import fresh, ten_step_6kb
from benchmarks.probes.ask import without_upkeep
from selectools_observe import AgentTrace, AsyncSQLiteTraceStore, SQLiteTraceStore
from selectools_observe.backends.sqlite import rows, schema, writer
from selectools_observe.model import timestamps
from selectools_observe.model.codec import encode

ROUNDS, SAVES, MANY, AT_ONCE = 7, 512, 100, 512
WAL = "PRAGMA journal_mode = WAL"  # synchronous=FULL is what SQLite begins with
SHRINKS = "PRAGMA auto_vacuum = INCREMENTAL"
FACETS = next(part for part in schema.INDEX if "CREATE TABLE trace_facets" in part)
_PLACE = {name: f"?{number}" for number, name in enumerate(rows.WRITTEN_COLUMNS, 1)}
_OF_TRACES = rows.WRITTEN_COLUMNS.index("created_at") + 1
INTO_TRACES = (
    "INSERT OR REPLACE INTO traces VALUES ({run_id}, {steps}, {total_ms}, {created_at}, "
    "CAST({metadata} AS TEXT), CAST({trace_json} AS TEXT))"
).format_map(_PLACE)
INTO_FACETS = (
    "INSERT INTO trace_facets VALUES (NULL, {created_us}, {steps}, {total_ms}, {has_error}, "
    "{prompt_tokens}, {completion_tokens}, {cost_usd}, {started_us}, {wall_ms}, {hides_words}, "
    "{summary_crc}, {trace_crc}, {terms}, {summary})"
).format_map(_PLACE)
_seeds = count(1)


def _runs(number: int) -> list[AgentTrace]:
    return [AgentTrace.from_dict(run) for run in fresh(ten_step_6kb(), number, next(_seeds))]


def _rows_of(runs: list[AgentTrace]) -> list[Any]:
    now = rows.Moment.of(timestamps.now())
    return [rows.to_write(encode(run)).row(now) for run in runs]


class Bare:
    """Ready rows into sqlite3, by statements that take some of a row's columns each."""

    def __init__(self, path: Path, batch: int, tables: Sequence[str], *, facets: int) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._batch, self._facets = batch, facets
        for statement in tables:
            self._db.execute(statement)

    def make(self) -> list[Any]:
        return _rows_of(_runs(SAVES))

    def save(self, made: list[Any]) -> None:
        for start in range(0, len(made), self._batch):
            self._db.execute("BEGIN IMMEDIATE")
            for row in made[start : start + self._batch]:
                if self._facets:
                    self._db.execute(INTO_FACETS, row)
                self._db.execute(INTO_TRACES, row[:_OF_TRACES])
            self._db.execute("COMMIT")


class Intake(Bare):
    """Rows into the view that stands for both tables, a statement for each batch; or runs, of which
    it makes the rows.
    """

    def __init__(self, path: Path, batch: int, *, is_ready: bool) -> None:
        super().__init__(path, batch, (SHRINKS, WAL), facets=0)
        self._is_ready = is_ready
        schema.migrate(self._db)
        for statement in writer.INTAKE:
            self._db.execute(statement)

    def make(self) -> list[Any]:
        return super().make() if self._is_ready else _runs(SAVES)

    def save(self, made: list[Any]) -> None:
        for start in range(0, len(made), self._batch):
            some = made[start : start + self._batch]
            ready = some if self._is_ready else _rows_of(some)
            values = [value for row in ready for value in row]
            self._db.execute(writer.insert_sql(len(some)), values)


class Ours:
    """The store, which encodes the runs, or is handed what was encoded before."""

    def __init__(self, path: Path, batch: int, *, encoded: bool) -> None:
        self._store = SQLiteTraceStore(path)
        self._batch, self._encoded = batch, encoded
        without_upkeep(self._store)

    def make(self) -> list[Any]:
        runs = _runs(SAVES)
        return [encode(run) for run in runs] if self._encoded else runs

    def save(self, made: list[Any]) -> None:
        if self._batch == 1:
            for run in made:
                self._store.save(run)
        else:
            for start in range(0, len(made), self._batch):
                self._store.save_many(made[start : start + self._batch])


class Tasks:
    """The async store, by so many tasks at once, each of which saves one run."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.Runner()
        self._store = AsyncSQLiteTraceStore(path)
        without_upkeep(self._store)

    def make(self) -> list[Any]:
        return _runs(SAVES)

    def save(self, made: list[Any]) -> None:
        async def at_once() -> None:
            for start in range(0, len(made), AT_ONCE):
                await asyncio.gather(*map(self._store.save, made[start : start + AT_ONCE]))

        self._loop.run(at_once())


def _measured(savers: dict[str, Any]) -> dict[str, tuple[float, float]]:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in savers}
    for turn in range(ROUNDS + 1):
        for name in list(savers)[:: 1 if turn % 2 else -1]:
            made = savers[name].make()
            processor, clock = time.process_time(), time.perf_counter()
            savers[name].save(made)
            spent = time.process_time() - processor, time.perf_counter() - clock
            if turn:  # the first one warms up
                taken[name].append((spent[0] / SAVES * 1e6, spent[1] / SAVES * 1e6))
    return {
        name: (statistics.median(p for p, _ in each), statistics.median(c for _, c in each))
        for name, each in taken.items()
    }


def _savers(folder: Path, batch: int) -> dict[str, Any]:
    names = (folder / f"{batch}-{number}.db" for number in count())
    savers: dict[str, Any] = {
        "bare sqlite3: `traces` and its index": Bare(
            next(names), batch, (WAL, *schema.TRACES), facets=0
        ),
        "a file that can shrink": Bare(
            next(names), batch, (SHRINKS, WAL, *schema.TRACES), facets=0
        ),
        "the row of the index": Bare(
            next(names), batch, (SHRINKS, WAL, *schema.TRACES, FACETS), facets=1
        ),
        "triggers, ids, a statement for all": Intake(next(names), batch, is_ready=True),
        "the rows made of runs, bare": Intake(next(names), batch, is_ready=False),
        "the store, runs encoded before": Ours(next(names), batch, encoded=True),
        "the store": Ours(next(names), batch, encoded=False),
    }
    if batch > 1:
        savers[f"the async store, {AT_ONCE} tasks"] = Tasks(next(names))
    return savers


def main() -> None:
    """Measure and print two tables."""
    with tempfile.TemporaryDirectory() as folder:
        for batch, said in ((1, "a commit each"), (MANY, f"{MANY} a commit")):
            print(f"\n| {said} | processor, µs | clock, µs | speed of bare | of a processor |")
            print("|---|---|---|---|---|")
            found = _measured(_savers(Path(folder), batch))
            bare = next(iter(found.values()))
            for name, (processor, clock) in found.items():
                ratios = f"{bare[1] / clock:.2f} | {bare[0] / processor:.2f}"
                print(f"| {name} | {processor:.0f} | {clock:.0f} | {ratios} |")


if __name__ == "__main__":
    main()
