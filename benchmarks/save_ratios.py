"""What slows saves down beside themselves: the work of idle time, and a store that is large.

    python -m benchmarks.save_ratios            # with what is done in idle time, against without
    python -m benchmarks.save_ratios BIG.db     # into this store, which grows, against an empty one

Two stores take turns, 512 tasks at a time; the table gives the medians of the rounds' ratios, of a
processor's time and by the clock.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

from benchmarks.data import fresh, small_traces, ten_step_6kb
from benchmarks.probes.ask import without_upkeep
from selectools_observe import AgentTrace, AsyncSQLiteTraceStore

ROUNDS, SAVES, AT_ONCE = 7, 4096, 512

Spent: TypeAlias = tuple[float, float]
Runs: TypeAlias = Callable[[], list[AgentTrace]]


async def _saved(store: AsyncSQLiteTraceStore, runs: list[AgentTrace]) -> Spent:
    gc.collect()
    processor, clock = time.process_time(), time.perf_counter()
    for start in range(0, len(runs), AT_ONCE):
        await asyncio.gather(*map(store.save, runs[start : start + AT_ONCE]))
    return time.process_time() - processor, time.perf_counter() - clock


def _small() -> Runs:
    starts = itertools.count(10_000_000, SAVES)

    def runs() -> list[AgentTrace]:
        start = next(starts)
        return [AgentTrace.from_dict(run) for run in small_traces(start, start + SAVES)]

    return runs


def _windows() -> Runs:
    seeds = itertools.count(1)
    return lambda: [AgentTrace.from_dict(r) for r in fresh(ten_step_6kb(), SAVES, next(seeds))]


async def _against_empty(folder: Path, big: str) -> list[tuple[Spent, Spent]]:
    """Small runs, into the large store and into one that began empty; idle time is left out."""
    runs = _small()
    async with AsyncExitStack() as stack:
        stores = [AsyncSQLiteTraceStore(path) for path in (big, folder / "empty.db")]
        for store in stores:
            await stack.enter_async_context(store)
            without_upkeep(store)
            await _saved(store, runs())
        return [
            await _pair(number, lambda n: _saved(stores[n], runs())) for number in range(ROUNDS)
        ]


async def _with_idle_work(folder: Path) -> list[tuple[Spent, Spent]]:
    """Runs of 6 KB into new stores: with the thread that works in idle time, and without."""
    runs, names = _windows(), (folder / f"{number}.db" for number in itertools.count())

    async def fill(without: int) -> Spent:
        async with AsyncSQLiteTraceStore(next(names)) as store:
            if without:
                without_upkeep(store)
            await store.save(AgentTrace())
            return await _saved(store, runs())

    await fill(0)
    return [await _pair(number, fill) for number in range(ROUNDS)]


async def _pair(number: int, work: Callable[[int], Awaitable[Spent]]) -> tuple[Spent, Spent]:
    """What both spent, the one that is asked about first; who begins alternates."""
    spent: dict[int, Spent] = {}
    for which in (0, 1)[:: 1 if number % 2 else -1]:
        spent[which] = await work(which)
    return spent[0], spent[1]


def _lines(case: str, pairs: list[tuple[Spent, Spent]]) -> Iterator[str]:
    yield f"| {case} | its speed against the other | low to high | µs a run |\n|---|---|---|---|"
    for kind, name in enumerate(("of a processor", "by the clock")):
        ratios = sorted(other[kind] / one[kind] for one, other in pairs)
        took = statistics.median(one[kind] for one, _ in pairs) / SAVES * 1e6
        found = f"{statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f}"
        yield f"| {name} | {found} | {took:.0f} |"


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1:]:
            found = asyncio.run(_against_empty(Path(folder), sys.argv[1]))
            print("\n".join(_lines(f"into {sys.argv[1]}, against an empty store", found)))
        else:
            found = asyncio.run(_with_idle_work(Path(folder)))
            print("\n".join(_lines("with what idle time is for, against without", found)))


if __name__ == "__main__":
    main()
