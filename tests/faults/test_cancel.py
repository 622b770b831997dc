"""Methods cancelled at any moment, in every way there is: nothing is lost, locked or left over."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
import truth
from journal import ABSENT, Journal
from report import Report
from samples import make, version_of
from store_kinds import ON_DISK, file_of
from store_kinds import make as make_store

from selectools_observe import StoreClosedError, TraceFilter, TraceNotFoundError

ASYNC_ON_DISK = [store_kind for store_kind in ON_DISK if store_kind.endswith("async")]
HANG = 60  # seconds after which something must be said to hang
AT_ONCE = 20


class Storm:
    """Methods of a store, begun and cancelled by chance; the journal knows what must be there."""

    def __init__(
        self, store_kind: str, path: Path, journal: Journal, chance, report: Report
    ) -> None:
        self.store_kind, self.path, self.journal = store_kind, path, journal
        self.chance: random.Random = chance
        self.report = report
        self.store = make_store(store_kind, path)
        self.number = 0
        self.kept: list[str] = []

    # What is cancelled.

    async def save(self) -> None:
        self.number += 1
        await self._keep(f"c-{self.number}")

    async def save_many(self) -> None:
        self.number += 1
        await self._keep(*(f"c-{self.number}.{n}" for n in range(self.chance.randrange(2, 5))))

    async def _keep(self, *run_ids: str) -> None:
        traces = [make(run_id) for run_id in run_ids]
        self.journal.begin(1, *run_ids)
        await (self.store.save_many(traces) if len(traces) > 1 else self.store.save(traces[0]))
        self.journal.done(1, *run_ids)
        self.kept += run_ids

    async def load(self) -> None:
        if self.kept:
            run_id = self.chance.choice(self.kept)
            assert await self.store.load(run_id) == make(run_id)

    async def query(self) -> None:
        for summary in await self.store.query(TraceFilter(min_steps=1, limit=50)):
            assert summary.metadata["version"] == 1
        await self.store.count(TraceFilter(metadata_match={"who": "c"}))

    async def stream(self) -> None:
        async for trace in self.store.iter_traces(TraceFilter(limit=40)):
            assert trace == make(trace.run_id, version_of(trace))

    async def delete(self) -> None:
        if self.kept:
            run_id = self.kept.pop(self.chance.randrange(len(self.kept)))
            self.journal.begin(ABSENT, run_id)
            await self.store.delete(run_id)
            self.journal.done(ABSENT, run_id)

    async def open_and_close(self) -> None:
        async with make_store(self.store_kind, self.path) as other:
            await other.list(3)

    def method(self) -> Awaitable[None]:
        methods = [self.save] * 5 + [
            self.save_many, self.load, self.load, self.query, self.stream, self.delete,
            self.open_and_close,
        ]  # fmt: skip
        return self._tolerant(self.chance.choice(methods))

    async def _tolerant(self, method: Callable[[], Awaitable[None]]) -> None:
        self.report.add(methods=1)
        try:
            with contextlib.suppress(StoreClosedError, TraceNotFoundError):  # another deleted it
                await method()
        except asyncio.CancelledError:
            self.report.add(faults=1)
            raise

    def soon(self) -> float:
        """Seconds until something is cancelled; often in the same moment."""
        return self.chance.choice((0.0, self.chance.random() * 0.001, self.chance.random() * 0.01))

    # How it is cancelled.

    async def wait_for(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.method(), self.soon())

    async def timeout(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.soon()):
                await self.method()

    async def anyio_scope(self) -> None:
        with anyio.move_on_after(self.soon()):
            await self.method()

    async def anyio_group(self) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(self.method)
            await anyio.sleep(self.soon())
            group.cancel_scope.cancel()

    async def task_group(self) -> None:
        async def fail() -> None:
            await asyncio.sleep(self.soon())
            raise OSError("not ours")

        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(self.method())
                group.create_task(fail())

    async def twice(self) -> None:
        task = asyncio.ensure_future(self.method())
        for _ in range(2):
            await asyncio.sleep(self.soon())
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def close_and_go_on(self) -> None:
        if self.chance.random() < 0.1:  # the store is closed, cancelled, and made anew
            old, self.store = self.store, make_store(self.store_kind, self.path)
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(old.aclose(), self.soon())
            finally:
                await old.aclose()

    async def blow(self, times: int) -> None:
        """So many at once; the last of them are cancelled by the end of the loop."""
        ways = [
            self.wait_for, self.timeout, self.anyio_scope, self.anyio_group, self.task_group,
            self.twice, self.close_and_go_on, self.method, self.method, self.method,
        ]  # fmt: skip
        tasks = [asyncio.ensure_future(self.chance.choice(ways)()) for _ in range(times)]
        if self.chance.random() < 0.5:
            await asyncio.wait(tasks, timeout=self.soon())
        else:
            await asyncio.wait_for(asyncio.gather(*tasks), HANG)


@pytest.mark.parametrize("store_kind", ASYNC_ON_DISK)
def test_storms(store_kind, chance, many, report, tmp_path):
    """Task groups, timeouts, anyio scopes, stores that close and loops that end."""
    path = file_of(store_kind, tmp_path)
    told = tmp_path / "storm.journal"
    with truth.nothing_left(report):
        journal = Journal(told)
        storm = Storm(store_kind, path, journal, chance, report)
        while report.counts["faults"] < many(700, 10_000):
            asyncio.run(storm.blow(AT_ONCE))
            report.add(rounds=1)
        asyncio.run(still_works(storm))
        journal.close()
        truth.check(store_kind, path, [told], report)
    assert truth.leftovers(tmp_path) == []


async def still_works(storm: Storm) -> None:
    async with asyncio.timeout(HANG):
        for _ in range(3):
            await storm.save()
        for run_id in storm.kept:
            assert await storm.store.load(run_id) == make(run_id)
        await storm.store.aclose()
