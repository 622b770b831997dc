"""What every probe works with: a place for files, the sizes, and the clock."""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.data import fresh, ten_step_6kb
from benchmarks.engine_servers import ENGINES, database
from benchmarks.peers import Peer
from benchmarks.settings import Settings

Metrics = dict[str, float]
Sampler = Callable[[], Metrics]


@dataclass
class Bench:
    """One probe's surroundings."""

    settings: Settings
    peer: Peer
    folder: Path
    """The probe's own, empty at the start."""
    shared: Path
    """Files built once and used by several probes."""
    seeds: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def place(self, kind: str) -> Any:
        """Where a new store of a kind is: a path, or the URL of a server's new database."""
        if kind not in ENGINES:
            return self.folder / "store"
        return database(kind, self.shared, f"{self.peer.key}_{self.folder.name}")

    def natives(self, native: Callable[[Any], Any], count: int) -> list[Any]:
        """``count`` new ten-step traces, as the participant's own objects."""
        return [native(trace) for trace in fresh(ten_step_6kb(), count, next(self.seeds))]


def per_second(
    make: Callable[[], list[Any]], run: Callable[[list[Any]], None], min_seconds: float
) -> Metrics:
    """Operations a second: prepare a batch off the clock, run it on the clock, until enough."""
    done, spent = 0, 0.0
    while spent < min_seconds:
        batch = make()
        gc.collect()
        started = time.perf_counter()
        run(batch)
        spent += time.perf_counter() - started
        done += len(batch)
    return {"per_s": done / spent}


def latencies(call: Callable[[Any], object], arguments: Iterable[Any]) -> list[float]:
    """Milliseconds of each call, one after another."""
    spent = []
    for argument in arguments:
        started = time.perf_counter()
        call(argument)
        spent.append(1000 * (time.perf_counter() - started))
    return spent


def median_ms(call: Callable[[Any], object], arguments: Iterable[Any]) -> float:
    """The median of ``latencies``."""
    return statistics.median(latencies(call, arguments))


async def saturate(
    items: Iterable[Any], concurrency: int, call: Callable[[Any], Awaitable[object]]
) -> None:
    """Call for every item, always ``concurrency`` calls at a time."""
    feed = iter(items)

    async def one_after_another() -> None:
        for item in feed:
            await call(item)

    await asyncio.gather(*(one_after_another() for _ in range(concurrency)))
