"""Writers: they save, save again and delete runs of their own, and tell their journal."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path

from journal import ABSENT, Journal
from samples import make
from store_kinds import make as make_store

FOR_EVER = 10**9


class Writer:
    """Saves, saves again and deletes runs of its own, telling the journal before and after."""

    def __init__(self, store, journal: Journal, name: str, seed: str) -> None:
        self.store = store
        self.journal = journal
        self.name = name
        self.chance = random.Random(seed)
        self.runs: list[tuple[str, int]] = []
        self.number = 0

    def plan(self) -> tuple[str, list[str], int]:
        """What to do next: the method, the runs, and their version from then on."""
        dice = self.chance.random()
        if self.runs and dice < 0.12:
            run_id, version = self.runs[self.chance.randrange(len(self.runs))]
            return "save", [run_id], version + 1
        if self.runs and dice < 0.17:
            run_id, _ = self.runs[self.chance.randrange(len(self.runs))]
            return "delete", [run_id], ABSENT
        many = self.chance.randrange(2, 6) if dice > 0.9 else 1
        run_ids = [f"{self.name}-{self.number + n}" for n in range(many)]
        self.number += many
        return "save_many" if many > 1 else "save", run_ids, 1

    def call(self, method: str, run_ids: list[str], version: int):
        traces = [make(run_id, version) for run_id in run_ids if version != ABSENT]
        self.journal.begin(version, *run_ids)
        if method == "save_many":
            return self.store.save_many(traces)
        return getattr(self.store, method)(traces[0] if traces else run_ids[0])

    def acknowledged(self, run_ids: list[str], version: int) -> None:
        self.journal.done(version, *run_ids)
        self.runs = [run for run in self.runs if run[0] not in run_ids]
        if version != ABSENT:
            self.runs += [(run_id, version) for run_id in run_ids]

    def work(self, times: int, stop: Path | None = None) -> None:
        for _ in range(times):
            if stop is not None and stop.exists():
                return
            method, run_ids, version = self.plan()
            self.call(method, run_ids, version)
            self.acknowledged(run_ids, version)

    async def work_async(self, times: int, stop: Path | None = None) -> None:
        for _ in range(times):
            if stop is not None and stop.exists():  # noqa: ASYNC240
                return
            method, run_ids, version = self.plan()
            await self.call(method, run_ids, version)
            self.acknowledged(run_ids, version)


def save(
    store_kind: str,
    path: str,
    journal: str,
    name: str,
    seed: str,
    tasks: int = 8,
    times: int = FOR_EVER,
    durability: str = "normal",
    stop: str | None = None,
) -> None:
    """Save from several tasks, or threads, of one store, until the file `stop` is there."""
    told = Journal(journal)
    store = make_store(store_kind, path, durability=durability)
    writers = [Writer(store, told, f"{name}{n}", f"{seed}/{name}/{n}") for n in range(tasks)]
    if store_kind.endswith("async"):
        asyncio.run(async_writers(store, writers, times, stop and Path(stop)))
    else:
        end = stop and Path(stop)
        in_threads([lambda writer=writer: writer.work(times, end) for writer in writers])
        store.close()


async def async_writers(store, writers: list[Writer], times: int, stop: Path | None) -> None:
    async with store:
        await asyncio.gather(*(writer.work_async(times, stop) for writer in writers))


def in_threads(work: list[Callable[[], None]]) -> None:
    """Do it all at once; the first failure is raised."""
    failures: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
