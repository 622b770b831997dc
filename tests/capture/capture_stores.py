"""Stores that are slow, fail, and recover, as scripts say."""

from __future__ import annotations

import asyncio
import threading
import time

from selectools_observe import InMemoryTraceStore, StorageError


class Unreliable:
    """A blocking store of five methods and `save_many`, over one in memory.

    ``fails`` is asked before each save, with how many came before; ``gate`` keeps saves waiting.
    """

    def __init__(self, fails=lambda _: False, delay: float = 0.0) -> None:
        self.inner = InMemoryTraceStore(1_000_000)
        self.fails = fails
        self.delay = delay
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0
        self.saved: list[str] = []
        self.batches: list[int] = []
        self.entered = threading.Event()

    def save_many(self, traces):
        self.entered.set()
        self.gate.wait()
        time.sleep(self.delay)
        self.calls += 1
        if self.fails(self.calls):
            raise StorageError("the store", "it is down", "Wait")
        run_ids = self.inner.save_many(traces)
        self.saved += run_ids
        self.batches.append(len(run_ids))
        return run_ids

    def save(self, trace):
        return self.save_many([trace])[0]

    def load(self, run_id):
        return self.inner.load(run_id)

    def list(self, limit=50, offset=0):
        return self.inner.list(limit, offset)

    def query(self, filters):
        return self.inner.query(filters)

    def count(self, filters=None):
        return self.inner.count(filters)

    def delete(self, run_id):
        return self.inner.delete(run_id)

    def close(self):
        self.inner.close()


class FiveMethods:
    """A blocking store without `save_many`; refuses the runs it is told to."""

    def __init__(self, refuse=()) -> None:
        self.refuse = set(refuse)
        self.inner = InMemoryTraceStore()
        self.saved: list[str] = []

    def save(self, trace):
        if trace.run_id in self.refuse:
            raise StorageError("the store", f"{trace.run_id} is too big", "Make it smaller")
        self.saved.append(trace.run_id)
        return self.inner.save(trace)

    def load(self, run_id):
        return self.inner.load(run_id)

    def list(self, limit=50, offset=0):
        return self.inner.list(limit, offset)

    def query(self, filters):
        return self.inner.query(filters)

    def delete(self, run_id):
        return self.inner.delete(run_id)


class OneLoop:
    """An async store that, like most network clients, works in one event loop only."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.inner = InMemoryTraceStore()

    async def _check(self):
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError("attached to a different loop")
        await asyncio.sleep(0)

    async def save(self, trace):
        await self._check()
        return self.inner.save(trace)

    async def load(self, run_id):
        await self._check()
        return self.inner.load(run_id)

    async def list(self, limit=50, offset=0):
        await self._check()
        return self.inner.list(limit, offset)

    async def query(self, filters):
        await self._check()
        return self.inner.query(filters)

    async def delete(self, run_id):
        await self._check()
        return self.inner.delete(run_id)
