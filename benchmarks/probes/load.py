"""Loads a second: whole ten-step, 6 KB traces by id, from a store on disk, in random order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.data import TraceDict, fresh, ten_step_6kb
from benchmarks.peers import adapter
from benchmarks.probes.base import Bench, Sampler, per_second, saturate


class _Ids:
    """Random draws from the ids in the store."""

    def __init__(self, traces: list[TraceDict], batch: int) -> None:
        self._ids = [trace["run_id"] for trace in traces]
        self._batch = batch
        self._random = random.Random(5)

    def __call__(self) -> list[str]:
        return self._random.choices(self._ids, k=self._batch)


@contextmanager
def blocking(bench: Bench, batch: int = 256, stored: int | None = None) -> Iterator[Sampler]:
    """One load a call, from one thread."""
    traces = fresh(ten_step_6kb(), stored or bench.settings.stored, next(bench.seeds))
    store = adapter(bench.peer).blocking("sqlite", bench.folder / "store")
    for trace in traces:
        store.save(store.native(trace))

    def run(ids: list[str]) -> None:
        for run_id in ids:
            store.load(run_id)

    draw = _Ids(traces, batch)
    run(draw())
    yield lambda: per_second(draw, run, bench.settings.min_seconds)
    store.close()


@contextmanager
def asynchronous(
    bench: Bench, concurrency: int = 64, batch: int = 256, kind: str = "sqlite"
) -> Iterator[Sampler]:
    """One load a call, ``concurrency`` calls at a time in one event loop."""
    traces = fresh(ten_step_6kb(), bench.settings.stored, next(bench.seeds))
    store = adapter(bench.peer).asynchronous(kind, bench.place(kind))
    with asyncio.Runner() as runner:
        runner.run(store.start())
        runner.run(saturate([store.native(trace) for trace in traces], 64, store.save))

        def run(ids: list[str]) -> None:
            runner.run(saturate(ids, concurrency, store.load))

        draw = _Ids(traces, batch)
        run(draw())
        yield lambda: per_second(draw, run, bench.settings.min_seconds)
        runner.run(store.close())


@contextmanager
def many(
    bench: Bench, size: int = 64, batch: int = 1_024, kind: str = "sqlite"
) -> Iterator[Sampler]:
    """``load_many`` of ``size`` ids a call, one call after another, in one event loop."""
    traces = fresh(ten_step_6kb(), bench.settings.stored, next(bench.seeds))
    store: Any = adapter(bench.peer).asynchronous(kind, bench.place(kind))
    with asyncio.Runner() as runner:
        runner.run(store.start())
        runner.run(store.save_many([store.native(trace) for trace in traces]))

        async def load(ids: list[str]) -> None:
            for start in range(0, len(ids), size):
                await store.load_many(ids[start : start + size])

        yield lambda: per_second(
            _Ids(traces, batch), lambda ids: runner.run(load(ids)), bench.settings.min_seconds
        )
        runner.run(store.close())
