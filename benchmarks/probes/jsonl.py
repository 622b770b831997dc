"""JSONL: reads from an archive of many lines, and appends to it.

Both participants open the same file, written line by line in the format they share. Saves are at
the same durability: handed to the operating system, no fsync.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers import adapter
from benchmarks.probes.base import (
    Bench,
    Metrics,
    Sampler,
    latencies,
    median_ms,
    per_second,
    saturate,
)
from benchmarks.probes.built import archive


@contextmanager
def read(bench: Bench, loads: int, lists: int) -> Iterator[Sampler]:
    """Milliseconds to load one trace (the mean over random lines), and to list the newest 50."""
    path = archive(bench, bench.settings.jsonl_lines)
    ids = _ids(path)
    rng = random.Random(3)
    store = adapter(bench.peer).blocking("jsonl", path)
    opened = latencies(store.load, ids[:1])[0]

    def sample() -> Metrics:
        return {
            "load_ms": statistics.mean(latencies(store.load, _spread(ids, loads, rng))),
            "list_ms": median_ms(store.newest, [50] * lists),
            "first_load_ms": opened,
        }

    sample()
    yield sample
    store.close()


def _spread(ids: list[str], count: int, rng: random.Random) -> list[str]:
    """One random line from each of ``count`` equal parts, so that few draws have a true mean."""
    part = len(ids) // count
    return [ids[part * n + rng.randrange(part)] for n in range(count)]


def _ids(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["run_id"] for line in lines]


@contextmanager
def save(bench: Bench, batch: int = 500) -> Iterator[Sampler]:
    """Saves a second of ten-step traces, one thread, blocking, onto a copy of the archive."""
    store = adapter(bench.peer).blocking("jsonl", _copy(bench))

    def run(items: list[Any]) -> None:
        for item in items:
            store.save(item)

    run(bench.natives(store.native, 16))
    yield lambda: per_second(
        lambda: bench.natives(store.native, batch), run, bench.settings.min_seconds
    )
    store.close()


@contextmanager
def save_async(bench: Bench, concurrency: int = 64, batch: int = 512) -> Iterator[Sampler]:
    """The same saves from one event loop, ``concurrency`` at a time."""
    store = adapter(bench.peer).asynchronous("jsonl", _copy(bench))
    with asyncio.Runner() as runner:
        runner.run(store.start())

        def run(items: list[Any]) -> None:
            runner.run(saturate(items, concurrency, store.save))

        run(bench.natives(store.native, concurrency))
        yield lambda: per_second(
            lambda: bench.natives(store.native, batch), run, bench.settings.min_seconds
        )
        runner.run(store.close())


@contextmanager
def opening(bench: Bench) -> Iterator[Sampler]:
    """Seconds from making a store to its first answer: what the index costs when it is built."""
    path = archive(bench, bench.settings.jsonl_lines)
    last = _ids(path)[-1]
    number = iter(range(10_000))

    def sample() -> Metrics:
        copy = bench.folder / f"copy-{next(number)}.jsonl"
        shutil.copyfile(path, copy)
        started = time.perf_counter()
        store = adapter(bench.peer).blocking("jsonl", copy)
        store.load(last)
        spent = time.perf_counter() - started
        store.close()
        copy.unlink()
        return {"open_s": spent}

    yield sample


def _copy(bench: Bench) -> Path:
    path = bench.folder / "store.jsonl"
    shutil.copyfile(archive(bench, bench.settings.jsonl_lines), path)
    return path
