"""How long the event loop is held while a store is at work.

A ticker sleeps a millisecond at a time and records how late it wakes; nothing else runs in the
loop. The same ticker in an idle loop, just before, is the baseline of the machine.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

from benchmarks.data import TraceDict, big_string, big_with_many_steps, fresh, user_name
from benchmarks.peers import adapter
from benchmarks.probes.base import Bench, Metrics, Sampler
from benchmarks.probes.built import our_store

_TICK = 0.001
_IDLE = 0.3
Step = Callable[[], Awaitable[object]]


class Ticker:
    """Records, in milliseconds, how much later than asked each sleep ended."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def __aenter__(self) -> Self:
        gc.collect()
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(5 * _TICK)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(5 * _TICK)
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(_TICK)
            self.late.append(1000 * (time.perf_counter() - started - _TICK))


async def _held(steps: list[Step]) -> list[float]:
    async with Ticker() as ticker:
        for step in steps:
            await step()
    return ticker.late


async def _idle() -> list[float]:
    async with Ticker() as ticker:
        await asyncio.sleep(_IDLE)
    return ticker.late


@contextmanager
def hold(bench: Bench, repeats: int, kind: str = "sqlite", queries: int = 0) -> Iterator[Sampler]:
    """Milliseconds the loop is held: ``hold_ms`` at the longest, ``p99_ms`` over all ticks.

    Saves and loads of a 10 MB trace of many steps and of one with a single 10 MB string; with
    ``queries``, also lists, user queries, and one query that a tenth of the big store answers.
    """
    store: Any = adapter(bench.peer).asynchronous(kind, bench.folder / "store")
    asked: Any = None
    if queries:
        built = our_store(bench, bench.settings.medium)
        asked = adapter(bench.peer).asynchronous("sqlite", built)
    with asyncio.Runner() as runner:
        for opened in filter(None, (store, asked)):
            runner.run(opened.start())
        yield lambda: runner.run(_sample(bench, store, asked, repeats, queries))
        for opened in filter(None, (store, asked)):
            runner.run(opened.close())


async def _sample(bench: Bench, store: Any, asked: Any, repeats: int, queries: int) -> Metrics:
    idle = await _idle()
    phases = {
        "steps_ms": await _big(bench, store, big_with_many_steps, repeats),
        "string_ms": await _big(bench, store, big_string, repeats),
    }
    if queries:
        phases["query_ms"] = await _held(_queries(asked, queries))
        phases["broad_ms"] = await _held([lambda: asked.by_metadata("env", "development")])
    late = [tick for phase in phases.values() for tick in phase]
    return {
        "hold_ms": max(late),
        "p99_ms": _percentile(late, 0.99),
        "ticks": len(late),
        "idle_ms": max(idle),
        "idle_p99_ms": _percentile(idle, 0.99),
        **{name: max(phase) for name, phase in phases.items()},
    }


async def _big(
    bench: Bench, store: Any, make: Callable[[int], TraceDict], repeats: int
) -> list[float]:
    """Save and load one big trace at a time: the heap holds no more of them than a program's."""
    late: list[float] = []
    for _ in range(repeats):
        late += await _held(_save_and_load(bench, store, make(bench.settings.big_bytes)))
    return late


def _save_and_load(bench: Bench, store: Any, trace: TraceDict) -> list[Step]:
    (copy,) = fresh((trace,), 1, next(bench.seeds))
    return [partial(store.save, store.native(copy)), partial(store.load, copy["run_id"])]


def _queries(store: Any, count: int) -> list[Step]:
    steps: list[Step] = []
    for number in range(count):
        steps.append(partial(store.newest, 50))
        steps.append(partial(store.by_metadata, "user_id", user_name(number)))
    return steps


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
