"""Programs that open, read, clear and fill one file at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from journal import ABSENT, Journal, acknowledged_in
from samples import make, version_of
from store_kinds import Handle
from store_kinds import make as make_store
from writers import FOR_EVER

from selectools_observe import TraceFilter, TraceNotFoundError


def open_at_once(store_kind: str, path: str, journal: str, name: str, gate: str) -> None:
    """Wait for the gate, open the file, save one run and look for it."""
    told = Journal(journal)
    while not Path(gate).exists():
        time.sleep(0.001)
    use(store_kind, path, lambda store: _save_one(store, told, name))


def _save_one(store, told: Journal, name: str):
    trace = make(f"{name}-0")
    told.begin(1, trace.run_id)
    saved = store.save(trace)
    if asyncio.iscoroutine(saved):
        return _then(saved, lambda: told.done(1, trace.run_id))
    told.done(1, trace.run_id)
    return None


async def _then(awaited: Awaitable, tell: Callable[[], None]) -> None:
    await awaited
    tell()


def use(store_kind: str, path: str, work, **options) -> None:
    """Do work with a store of either kind, opened and closed for it."""
    if not store_kind.endswith("async"):
        with make_store(store_kind, path, **options) as store:
            work(store)
        return

    async def run() -> None:
        async with make_store(store_kind, path, **options) as store:
            await work(store)

    asyncio.run(run())


def read(store_kind: str, path: str, journals: list[str], seed: str, stop: str) -> None:
    """Load what was acknowledged, go through pages and streams, until the file `stop` is there."""
    chance = random.Random(seed)
    with Handle(store_kind, Path(path).parent) as store:
        while not Path(stop).exists():
            known = acknowledged_in(Path(chance.choice(journals)))
            for run_id in chance.sample(known, min(5, len(known))):
                _check_load(store, run_id, journals)
            page = store.list(20)
            newer = store.list(20, cursor=page.next_cursor) if page.next_cursor else []
            seen = [summary.run_id for summary in (*page, *newer)]
            assert len(set(seen)) == len(seen), seen
            whose = f"w{chance.randrange(8)}t0"
            of_one = store.query(TraceFilter(metadata_match={"who": whose}, limit=20))
            assert {summary.metadata["who"] for summary in of_one} <= {whose}
            for trace in store.load_many(seen[:10]).values():
                assert trace == make(trace.run_id, version_of(trace))


def _check_load(store: Handle, run_id: str, journals: list[str]) -> None:
    try:
        trace = store.load(run_id)
    except TraceNotFoundError:
        told = "".join(Path(journal).read_text() for journal in journals if Path(journal).exists())
        assert re.search(rf"^begin {ABSENT} {run_id}$", told, re.MULTILINE), f"lost: {run_id}"
    else:
        assert trace == make(run_id, version_of(trace))


def clear(
    store_kind: str, path: str, seed: str, journals: list[str], journal: str, stop: str
) -> None:
    """Delete what others have saved, which writes a JSONL file anew, and compact."""
    chance = random.Random(seed)
    told = Journal(journal)
    gone: set[str] = set()
    next_compaction = 0.0
    with Handle(store_kind, Path(path).parent) as store:
        while not Path(stop).exists():
            # Runs that come together and are saved once: the others have an owner who deletes them.
            known = [run for run in acknowledged_in(Path(chance.choice(journals))) if "x-" in run]
            for run_id in set(known[:3]) - gone:
                told.begin(ABSENT, run_id)
                assert store.delete(run_id) is True
                told.done(ABSENT, run_id)
                gone.add(run_id)
            if time.monotonic() > next_compaction:
                compact(store)
                next_compaction = time.monotonic() + 1
            time.sleep(0.02)


def compact(store: Handle) -> None:
    """Give space back: by the method if the store has it, or else as any other program would."""
    if hasattr(store.store, "compact"):
        store.compact()
    elif store.store_kind.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(store.path, timeout=30)) as raw:
            raw.execute("VACUUM")


def give_away(store_kind: str, path: str, journal: str, name: str, stop: str) -> None:
    """Save runs for `clear` to delete, some of them together."""
    told = Journal(journal)
    with Handle(store_kind, Path(path).parent) as store:
        for number in range(FOR_EVER):
            run_ids = [f"{name}x-{number}{letter}" for letter in "abc"[: 1 + number % 3]]
            told.begin(1, *run_ids)
            store.save_many([make(run_id) for run_id in run_ids])
            told.done(1, *run_ids)
            if Path(stop).exists():
                return
            time.sleep(0.01)
