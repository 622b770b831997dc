"""`SyncTraceStore` over a store that takes its time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from selectools_observe import AgentTrace, AsyncInMemoryTraceStore, StoreClosedError, SyncTraceStore

HANG = 30  # seconds


class SlowStore(AsyncInMemoryTraceStore):
    """Saves when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.may_end = threading.Event()

    async def save(self, trace: AgentTrace) -> str:
        self.began.set()
        await asyncio.to_thread(self.may_end.wait, HANG)
        return await super().save(trace)


def test_close_waits_for_what_is_under_way():
    slow = SlowStore()
    store = SyncTraceStore(slow)
    with ThreadPoolExecutor(2) as pool:
        save = pool.submit(store.save, AgentTrace(run_id="a"))
        assert slow.began.wait(HANG)
        close = pool.submit(store.close)
        while not store._closed:
            pass
        assert not close.done()
        with pytest.raises(StoreClosedError):
            store.save(AgentTrace(run_id="b"))
        slow.may_end.set()
        assert save.result(HANG) == "a"
        assert close.result(HANG) is None
    with pytest.raises(StoreClosedError):
        store.list()


def test_a_program_that_never_closes_one_ends():
    program = (
        "from selectools_observe import AgentTrace, AsyncInMemoryTraceStore, SyncTraceStore\n"
        "stores = [SyncTraceStore(AsyncInMemoryTraceStore()) for _ in range(3)]\n"
        "for store in stores: store.save(AgentTrace())\n"
        "del stores, store\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
