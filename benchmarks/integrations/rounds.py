"""Variants of one agent, timed in turns, so that a noisy moment hits all of them alike."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from selectools_observe import SQLiteTraceStore

_WARM_UP = 20


class TimedStore(SQLiteTraceStore):
    """Keeps how long its saves took, seconds."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self.spent: list[float] = []

    def save(self, trace: Any) -> str:
        started = time.perf_counter()
        run_id = super().save(trace)
        self.spent.append(time.perf_counter() - started)
        return run_id


def blocking(
    variants: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """The median time of each variant, microseconds."""
    spent: dict[str, list[float]] = {name: [] for name in variants}
    gc.collect()
    for turn in range(rounds + _WARM_UP):
        for name, run in _shuffled(variants):
            started = clock()
            run()
            if turn >= _WARM_UP:
                spent[name].append(clock() - started)
    return {name: statistics.median(times) * 1e6 for name, times in spent.items()}


def in_a_loop(
    variants: dict[str, Callable[[], Awaitable[object]]], rounds: int
) -> dict[str, float]:
    """The same for coroutines, in one event loop."""

    async def measure() -> dict[str, float]:
        spent: dict[str, list[float]] = {name: [] for name in variants}
        gc.collect()
        for turn in range(rounds + _WARM_UP):
            for name, run in _shuffled(variants):
                started = time.perf_counter()
                await run()
                if turn >= _WARM_UP:
                    spent[name].append(time.perf_counter() - started)
        return {name: statistics.median(times) * 1e6 for name, times in spent.items()}

    return asyncio.run(measure())


def _shuffled(variants: dict[str, Any]) -> list[tuple[str, Any]]:
    """In another order each time: what stands after a slow one runs with cold caches."""
    return random.sample(list(variants.items()), len(variants))


def show(title: str, medians: dict[str, float]) -> None:
    """Print each variant's median, and what it adds to the first one's."""
    print(f"\n{title}")
    bare = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"  {name:<44} {median:>9.0f} µs   adds {median - bare:>8.0f} µs")


def show_save(store: TimedStore) -> None:
    """Print what the store's own save took of that."""
    print(f"  of it, the save in SQLite itself {statistics.median(store.spent) * 1e6:>21.0f} µs")
