"""Saves a second: new ten-step, 6 KB traces into a store on disk.

Each save returns when it is durable at the level the participant's module names. Objects are made
before the clock starts; encoding them is part of the save.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks.peers import BlockingStore, adapter
from benchmarks.probes.base import Bench, Sampler, per_second, saturate

_WARM_UP = 16


@contextmanager
def blocking(
    bench: Bench, threads: int = 1, batch: int = 256, warm_up: int = _WARM_UP, kind: str = "sqlite"
) -> Iterator[Sampler]:
    """One save a call, from one thread or from several that share the store."""
    store = adapter(bench.peer).blocking(kind, bench.place(kind))
    with ThreadPoolExecutor(threads) as pool:
        run = _Threads(store, pool, threads)
        run(bench.natives(store.native, threads * warm_up))
        yield lambda: per_second(
            lambda: bench.natives(store.native, batch), run, bench.settings.min_seconds
        )
        store.close()


class _Threads:
    """Spread a batch over threads; a barrier makes sure that each of them takes part."""

    def __init__(self, store: BlockingStore, pool: ThreadPoolExecutor, count: int) -> None:
        self._store, self._pool, self._count = store, pool, count

    def __call__(self, items: list[Any]) -> None:
        if self._count == 1:
            return self._save(items)
        barrier = threading.Barrier(self._count)
        shares = [items[n :: self._count] for n in range(self._count)]
        for done in [self._pool.submit(self._together, barrier, share) for share in shares]:
            done.result()
        return None

    def _together(self, barrier: threading.Barrier, items: list[Any]) -> None:
        barrier.wait()
        self._save(items)

    def _save(self, items: list[Any]) -> None:
        save = self._store.save
        for item in items:
            save(item)


@contextmanager
def many(bench: Bench, size: int = 100, batch: int = 1_000) -> Iterator[Sampler]:
    """``save_many`` of ``size`` traces a call, one call after another; one commit a call."""
    store: Any = adapter(bench.peer).blocking("sqlite", bench.folder / "store")

    def run(items: list[Any]) -> None:
        for start in range(0, len(items), size):
            store.save_many(items[start : start + size])

    run(bench.natives(store.native, size))
    yield lambda: per_second(
        lambda: bench.natives(store.native, batch), run, bench.settings.min_seconds
    )
    store.close()


@contextmanager
def asynchronous(
    bench: Bench, concurrency: int = 64, batch: int = 256, kind: str = "sqlite"
) -> Iterator[Sampler]:
    """One save a call, ``concurrency`` calls at a time in one event loop."""
    store = adapter(bench.peer).asynchronous(kind, bench.place(kind))
    with asyncio.Runner() as runner:
        runner.run(store.start())

        def run(items: list[Any]) -> None:
            runner.run(saturate(items, concurrency, store.save))

        run(bench.natives(store.native, max(_WARM_UP, concurrency)))
        yield lambda: per_second(
            lambda: bench.natives(store.native, batch), run, bench.settings.min_seconds
        )
        runner.run(store.close())
