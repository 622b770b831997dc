"""Memory while streaming, disk beside the traces' own JSON, and the time an import takes."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.data import airline_runs
from benchmarks.data.varieties import json_size
from benchmarks.peers import adapter
from benchmarks.probes.base import Bench, Metrics, Sampler
from benchmarks.probes.built import our_store

_LOOK_EVERY = 500
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
_MIB = 1024 * 1024


@contextmanager
def stream(bench: Bench) -> Iterator[Sampler]:
    """``iter_traces`` over the whole medium store: peak resident memory above the start, in MiB.

    The start is after the store has opened and listed once; the process is new for each round.
    """
    store: Any = adapter(bench.peer).asynchronous("sqlite", our_store(bench, bench.settings.medium))

    async def sample() -> Metrics:
        await store.start()
        await store.newest(1)
        start = peak = _resident()
        count = 0
        async for _ in store.store.iter_traces():
            count += 1
            if count % _LOOK_EVERY == 0:
                peak = max(peak, _resident())
        await store.close()
        return {"mib": (max(peak, _resident()) - start) / _MIB, "traces": count}

    yield lambda: asyncio.run(sample())


def _resident() -> int:
    """Bytes resident now; where the system has no /proc, the highest so far."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


@contextmanager
def disk(bench: Bench) -> Iterator[Sampler]:
    """Per cent of disk beyond the traces' own compact JSON: the airline runs, store closed."""
    number = iter(range(1_000))

    def sample() -> Metrics:
        folder = bench.folder / str(next(number))
        folder.mkdir()
        _fill(bench, folder / "store")
        gc.collect()
        used = sum(file.stat().st_size for file in folder.iterdir())
        own = sum(json_size(run) for run in airline_runs())
        return {"percent": 100 * (used / own - 1)}

    yield sample


def _fill(bench: Bench, path: Path) -> None:
    """Leaving drops the last connection of a store that has no close, which checkpoints it too."""
    store = adapter(bench.peer).blocking("sqlite", path)
    for run in airline_runs():
        store.save(store.native(run))
    store.close()


@contextmanager
def import_time(_bench: Bench, module: str, repeats: int = 3) -> Iterator[Sampler]:
    """Milliseconds of one import in a fresh interpreter; bytecode is there, files are cached."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"

    writing = {key: value for key, value in os.environ.items() if key != _NO_BYTECODE}

    def once() -> float:
        command = [sys.executable, "-c", code]
        ran = subprocess.run(command, check=True, capture_output=True, text=True, env=writing)
        return 1000 * float(ran.stdout.split()[-1])

    once()
    yield lambda: {"import_ms": statistics.median(once() for _ in range(repeats))}
