"""Finding runs by what was said in them: SQLite, with the index of words and without it.

A phrase is put into three runs of a store; SQLite's own ``LIKE`` looks for it in the same rows.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.data import TraceDict, airline_runs, fresh, small_traces, ten_step_6kb
from benchmarks.probes.base import Bench, Metrics, Sampler, median_ms

PHRASE = "quiet harbor lantern"
COMMON = {"windows": "reservation", "conversations": "reservation", "small": "look"}
_FIRST = 50
_FILLED = 1_000
_AT_ONCE = 512
_SAVED = 12 * _AT_ONCE
_CALLS = 5


@contextmanager
def like(bench: Bench, kind: str, size: int) -> Iterator[Sampler]:
    """Milliseconds of ``LIKE`` over all rows."""
    with closing(sqlite3.connect(_built(bench, kind, size, "plain"))) as db:
        db.execute("PRAGMA cache_size = -16384")  # as ours has

        def ask(_: object) -> None:
            found = db.execute(
                "SELECT run_id FROM traces WHERE trace_json LIKE ?", (f"%{PHRASE}%",)
            ).fetchall()
            _check(len(found), 3)

        ask(None)
        yield lambda: {"phrase_ms": median_ms(ask, range(1))}


@contextmanager
def text(bench: Bench, kind: str, size: int, state: str) -> Iterator[Sampler]:
    """Milliseconds to find the phrase, and a common word's newest fifty."""
    from selectools_observe import SQLiteTraceStore, TraceFilter

    path = _built(bench, kind, size, state)
    calls = _CALLS if state == "indexed" else 1
    with SQLiteTraceStore(path) as store:
        without_upkeep(store)

        def phrase(_: object) -> None:
            _check(len(store.query(TraceFilter(text=f'"{PHRASE}"'))), 3)

        def common(_: object) -> None:
            found = store.query(TraceFilter(text=COMMON[kind], limit=_FIRST))
            _check(len(found), _FIRST)

        phrase(None)
        common(None)
        share = _share(bench, kind, size) if state == "indexed" else 0.0
        yield lambda: {
            "phrase_ms": median_ms(phrase, range(calls)),
            "common_ms": median_ms(common, range(_CALLS)),
            "share": share,
        }


@contextmanager
def saves(bench: Bench, *, indexed: bool) -> Iterator[Sampler]:
    """Saves a second, 512 at a time, into a new store whose index of words is being made."""
    from selectools_observe import AgentTrace, AsyncSQLiteTraceStore

    async def sample(path: Path) -> Metrics:
        seed = next(bench.seeds)
        first = [AgentTrace.from_dict(run) for run in fresh(ten_step_6kb(), 2 * _AT_ONCE, -seed)]
        traces = [AgentTrace.from_dict(run) for run in fresh(ten_step_6kb(), _SAVED, seed)]
        async with AsyncSQLiteTraceStore(path) as store:
            if not indexed:
                without_upkeep(store)
            await store.save_many(first)
            await asyncio.sleep(1.1)  # now it is at work
            started = time.perf_counter()
            for start in range(0, _SAVED, _AT_ONCE):
                await asyncio.gather(*map(store.save, traces[start : start + _AT_ONCE]))
            return {"per_s": _SAVED / (time.perf_counter() - started)}

    yield lambda: asyncio.run(sample(bench.folder / f"{next(bench.seeds)}.db"))


def _check(found: int, expected: int) -> None:
    if found != expected:
        raise AssertionError(f"{found} runs instead of {expected}")


def without_upkeep(store: Any) -> None:
    """Leave the index as it is: nothing is taken into it in idle time."""
    getattr(store, "_core", store)._words.abandon()  # noqa: SLF001 - there is no option


def _share(bench: Bench, kind: str, size: int) -> float:
    """What the index adds to the file, as a share of the JSON of all runs."""
    plain, indexed = (_built(bench, kind, size, state) for state in ("plain", "indexed"))
    with closing(sqlite3.connect(plain)) as db:
        (text_bytes,) = db.execute(
            "SELECT sum(length(CAST(trace_json AS BLOB))) FROM traces"
        ).fetchone()
    return float((indexed.stat().st_size - plain.stat().st_size) / text_bytes)


def built_texts(bench: Bench, kind: str, size: int) -> Path:
    """The store of such runs, with no index of words."""
    return _built(bench, kind, size, "plain")


def _built(bench: Bench, kind: str, size: int, state: str) -> Path:
    return built_in(bench.shared, kind, size, state)


def built_in(folder: Path, kind: str, size: int, state: str) -> Path:
    """The store, made in a process of its own, once for all who ask in this folder."""
    path = folder / f"texts-{kind}-{size}-{state}.db"
    done = path.with_suffix(".done")
    if not done.exists():
        command = [sys.executable, "-m", "benchmarks.probes.ask", str(path), kind, str(size), state]
        if state == "indexed":
            shutil.copyfile(built_in(folder, kind, size, "plain"), path)
        subprocess.run(command, check=True)
        done.touch()
    return path


def _build(path: Path, kind: str, size: int, state: str) -> None:
    from selectools_observe import AgentTrace, SQLiteTraceStore
    from selectools_observe.backends.sqlite.index import words

    if state == "plain":
        with SQLiteTraceStore(path, durability="normal") as store:
            without_upkeep(store)
            traces = _traces(kind, size)
            while some := list(islice(traces, _AT_ONCE)):
                store.save_many([AgentTrace.from_dict(trace) for trace in some])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.text_factory = bytes
        db.execute("PRAGMA synchronous = OFF")
        while state == "indexed" and words.take_in(db):
            pass
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _traces(kind: str, size: int) -> Iterator[TraceDict]:
    for number, trace in enumerate(_source(kind, size)):
        if number in {size // 7, size // 2, size - size // 5}:
            *others, last = trace["steps"]
            said = {**last, "summary": f"they saw a {PHRASE} there"}
            yield {**trace, "steps": [*others, said]}
        else:
            yield trace


def _source(kind: str, size: int) -> Iterator[TraceDict]:
    if kind == "small":
        yield from small_traces(0, size)
        return
    pool = ten_step_6kb() if kind == "windows" else airline_runs()
    for start in range(0, size, _FILLED):
        yield from fresh(pool, min(_FILLED, size - start), start)


if __name__ == "__main__":
    _build(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
