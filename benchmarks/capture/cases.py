"""The cases: what is timed is what the agent's own task waits for."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import selectools_observe as so
from benchmarks.data import ten_step_6kb
from selectools_observe.capture import (
    AsyncBackgroundTraceStore,
    BackgroundTraceStore,
    Recorder,
    TraceProcessor,
    common_redactors,
)

PAUSE = 0.002  # seconds between the runs of an agent that is not at full speed
_numbers = itertools.count()


@dataclass
class Case:
    """A number, and what it is of."""

    name: str
    median: float
    p99: float
    per: str = "a run"

    def __str__(self) -> str:
        return f"{self.name:<58}{self.median:>9.1f} µs {self.per:<8}(99th {self.p99:.1f})"


def measure_all(folder: Path, runs: int, rounds: int) -> Iterator[Case]:
    """All cases, each the best of several rounds."""
    for case in (*_SAVES, *_RECORDERS, _redaction):
        found = [case(folder, runs) for _ in range(rounds)]
        yield min(found, key=lambda one: one.median)


def _path(folder: Path) -> Path:
    return folder / f"{next(_numbers)}"


def _traces(runs: int) -> list[so.AgentTrace]:
    pool = itertools.cycle(ten_step_6kb())
    return [so.AgentTrace.from_dict(next(pool) | {"run_id": f"run-{n}"}) for n in range(runs)]


def _case(name: str, seconds: list[float], per: str = "a run", parts: int = 1) -> Case:
    micro = sorted(second * 1e6 / parts for second in seconds)
    return Case(name, statistics.median(micro), micro[int(len(micro) * 0.99)], per)


def _timed(work: Callable[[so.AgentTrace], object], runs: int, pause: float) -> list[float]:
    found = []
    for trace in _traces(runs):
        began = time.perf_counter()
        work(trace)
        found.append(time.perf_counter() - began)
        if pause:
            time.sleep(pause)
    return found


async def _timed_async(
    work: Callable[[so.AgentTrace], Awaitable[object]], runs: int, pause: float
) -> list[float]:
    found = []
    for trace in _traces(runs):
        began = time.perf_counter()
        await work(trace)
        found.append(time.perf_counter() - began)
        if pause:
            await asyncio.sleep(pause)
    return found


def _blocking_save(folder: Path, runs: int) -> Case:
    with so.SQLiteTraceStore(_path(folder)) as store:
        return _case("save, SQLite, durability full", _timed(store.save, runs, 0))


def _blocking_save_normal(folder: Path, runs: int) -> Case:
    with so.SQLiteTraceStore(_path(folder), durability="normal") as store:
        return _case("save, SQLite, durability normal", _timed(store.save, runs, 0))


def _async_save(folder: Path, runs: int) -> Case:
    async def main() -> list[float]:
        async with so.AsyncSQLiteTraceStore(_path(folder)) as store:
            return await _timed_async(store.save, runs, 0)

    return _case("await save, SQLite, durability full", asyncio.run(main()))


def _background(pause: float) -> Callable[[Path, int], Case]:
    how = "at full speed" if not pause else "one each 2 ms"

    def case(folder: Path, runs: int) -> Case:
        with BackgroundTraceStore(so.SQLiteTraceStore(_path(folder)), max_queue=runs) as store:
            return _case(f"save, in the background, {how}", _timed(store.save, runs, pause))

    return case


def _async_background(pause: float) -> Callable[[Path, int], Case]:
    how = "at full speed" if not pause else "one each 2 ms"

    def case(folder: Path, runs: int) -> Case:
        async def main() -> list[float]:
            behind = so.AsyncSQLiteTraceStore(_path(folder))
            async with AsyncBackgroundTraceStore(behind, max_queue=runs) as store:
                return await _timed_async(store.save, runs, pause)

        return _case(f"await save, in the background, {how}", asyncio.run(main()))

    return case


def _recorder(name: str, **options: object) -> Callable[[Path, int], Case]:
    """The cost of a step: ten of them in a run, into memory, without the run's own save."""

    def case(folder: Path, _: int) -> Case:
        if "live" in options:
            options["live"] = _path(folder)
        traces = _traces(200)
        with so.InMemoryTraceStore() as store, closing(Recorder(store, **options)) as recorder:
            found = [_record(recorder, trace) for trace in traces]
        return _case(name, found, "a step", 10)

    return case


def _record(recorder: Recorder, trace: so.AgentTrace) -> float:
    with recorder.run(metadata=trace.metadata) as run:
        began = time.perf_counter()
        for step in trace.steps:
            with run.step(step.type, tool_name=step.tool_name, tool_args=step.tool_args) as timed:
                timed.tool_result = step.tool_result
                timed.reasoning = step.reasoning
        return time.perf_counter() - began


def _redaction(_: Path, runs: int) -> Case:
    processor = TraceProcessor(redact=common_redactors())
    found = _timed(processor.trace, min(runs, 500), 0)
    return _case("redaction, all common redactors (in the background's thread)", found)


_SAVES = [
    _blocking_save,
    _blocking_save_normal,
    _async_save,
    _background(0),
    _background(PAUSE),
    _async_background(0),
    _async_background(PAUSE),
]
_RECORDERS = [
    _recorder("a step of a Recorder"),
    _recorder("a step of a Recorder, live, durability normal", live=True),
    _recorder("a step of a Recorder, live, durability full", live=True, durability="full"),
]
