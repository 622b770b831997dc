"""A program that works for long, and measures itself."""

from __future__ import annotations

import gc
import os
import random
import threading
from pathlib import Path

from journal import ABSENT, Journal
from samples import make
from store_kinds import Handle

from selectools_observe import TraceFilter

KEPT = 100  # runs; the oldest beyond them are deleted


def soak(store_kind: str, path: str, journal: str, measures: str, seed: str, runs: int) -> None:
    """Save, load, query, page, stream and delete; measure before, now and then, and after."""
    chance, told = random.Random(seed), Journal(journal)
    kept: list[str] = []
    with open(measures, "w") as file:
        _measure(path, file)
        with Handle(store_kind, Path(path).parent) as store:
            for number in range(runs):
                _work(store, told, kept, chance, number)
                if number % (runs // 20) == runs // 20 - 1:
                    _measure(path, file)
        _measure(path, file)


def _work(store: Handle, told: Journal, kept: list[str], chance: random.Random, number: int):
    run_id = f"s-{number}"
    told.begin(1, run_id)
    store.save(make(run_id))
    told.done(1, run_id)
    kept.append(run_id)
    if number % 5 == 0:
        wanted = chance.choice(kept)
        assert store.load(wanted) == make(wanted)
    if number % 20 == 0:
        page = store.list(20, cursor=store.list(20).next_cursor)
        store.query(TraceFilter(metadata_match={"who": "s"}, min_steps=1, limit=10))
        assert len(store.load_many([summary.run_id for summary in page])) == len(page)
    if number % 200 == 0:
        assert store.count() == len(list(store.iter_summaries()))
    if number % 50 == 0:
        _retain(store, told, kept)


def _retain(store: Handle, told: Journal, kept: list[str]) -> None:
    while len(kept) > KEPT:
        run_id = kept.pop(0)
        told.begin(ABSENT, run_id)
        assert store.delete(run_id)
        told.done(ABSENT, run_id)


def _measure(path: str, file) -> None:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    sizes = [os.stat(name).st_size if os.path.exists(name) else 0 for name in (f"{path}-wal", path)]
    print(resident, files, threads, *sizes, file=file, flush=True)
