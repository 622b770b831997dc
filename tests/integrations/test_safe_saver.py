"""Saving for an agent: async and blocking stores, cancellation, and stores that fail."""

from __future__ import annotations

import asyncio
import logging
import threading

import anyio
import anyio.lowlevel
import pytest

from selectools_observe import (
    AgentTrace,
    AsyncInMemoryTraceStore,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    SQLiteTraceStore,
    StorageError,
)
from selectools_observe.capture.saver import SafeSaver


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def save(self, trace):
        raise self.error


class AsyncFailing(Failing):
    async def save(self, trace):
        raise self.error


class Slow(AsyncInMemoryTraceStore):
    """Saves when it is let; a cancelled save is absent."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def save(self, trace):
        self.entered.set()
        await self.open.wait()
        return await super().save(trace)


def test_the_blocking_face_saves_to_a_blocking_store():
    with InMemoryTraceStore() as store:
        saver = SafeSaver(store)
        assert saver.save(AgentTrace(run_id="one"))
        assert store.load("one").run_id == "one"
        assert (saver.saved, saver.failed) == (1, 0)


def test_the_blocking_face_saves_to_an_async_store(tmp_path):
    store = AsyncSQLiteTraceStore(tmp_path / "traces.db")
    saver = SafeSaver(store)
    assert saver.save(AgentTrace(run_id="one"))

    async def check():
        async with store:
            assert (await store.load("one")).run_id == "one"

    asyncio.run(check())


async def test_the_blocking_face_saves_to_an_async_store_from_within_a_loop():
    async with AsyncInMemoryTraceStore() as store:
        assert SafeSaver(store).save(AgentTrace(run_id="one"))
        assert (await store.load("one")).run_id == "one"


def test_a_store_that_calls_back_from_its_own_loop_is_refused_not_deadlocked(caplog):
    class Reentrant(AsyncInMemoryTraceStore):
        async def save(self, trace):
            if trace.run_id == "outer":
                saver.save(AgentTrace(run_id="inner"))
            return await super().save(trace)

    saver = SafeSaver(Reentrant())
    assert saver.save(AgentTrace(run_id="outer"))
    assert (saver.saved, saver.failed) == (1, 1)
    assert "run 'inner' is not saved" in caplog.text


async def test_the_async_face_saves_to_either_store(tmp_path):
    with SQLiteTraceStore(tmp_path / "traces.db") as store:
        assert await SafeSaver(store).asave(AgentTrace(run_id="one"))
        assert store.count() == 1
    async with AsyncInMemoryTraceStore() as store:
        assert await SafeSaver(store).asave(AgentTrace(run_id="one"))
        assert await store.count() == 1


async def test_the_async_face_does_not_save_in_the_loop_s_thread():
    threads = []

    class Noting(InMemoryTraceStore):
        def save(self, trace):
            threads.append(threading.current_thread())
            return super().save(trace)

    with Noting() as store:
        await SafeSaver(store).asave(AgentTrace())
    assert threads != [threading.current_thread()]


@pytest.mark.parametrize("kind", [Failing, AsyncFailing])
async def test_a_failure_is_logged_counted_and_handed_on(kind, caplog):
    error = StorageError("disk", "it is full", "Make room")
    handed = []
    saver = SafeSaver(kind(error), on_error=lambda *what: handed.append(what))
    trace = AgentTrace(run_id="one")
    assert not await asyncio.to_thread(saver.save, trace)
    assert not await saver.asave(trace)
    assert handed == [(error, trace)] * 2
    assert (saver.saved, saver.failed) == (0, 2)
    assert [(r.name, r.levelno) for r in caplog.records] == [
        ("selectools_observe.capture.saver", logging.ERROR)
    ] * 2
    assert "run 'one' is not saved: StorageError: disk: it is full. Make room" in caplog.text


def test_on_error_may_fail_too(caplog):
    def careless(error, trace):
        raise LookupError("oh")

    saver = SafeSaver(Failing(OSError("no")), on_error=careless)
    assert not saver.save(AgentTrace(run_id="one"))
    assert saver.failed == 1
    assert "on_error failed for run 'one'" in caplog.text


def test_what_cannot_work_is_refused_at_once():
    async def handler(error, trace): ...

    with pytest.raises(TypeError, match="plain function"):
        SafeSaver(Failing(OSError()), on_error=handler)
    with pytest.raises(TypeError, match="not a trace store"):
        SafeSaver("traces.db")


async def test_a_cancelled_task_still_saves():
    store = Slow()
    saver = SafeSaver(store)
    task = asyncio.create_task(saver.asave(AgentTrace(run_id="one")))
    await store.entered.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    store.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.load("one")).run_id == "one"
    assert (saver.saved, saver.failed) == (1, 0)


async def test_a_cancelled_scope_still_saves():
    store = AsyncInMemoryTraceStore()
    saver = SafeSaver(store)
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            await saver.asave(AgentTrace(run_id="one"))
    assert scope.cancelled_caught
    assert await store.count() == 1
    assert (saver.saved, saver.failed) == (1, 0)


def test_a_loop_that_ends_still_saves(tmp_path):
    store = AsyncSQLiteTraceStore(tmp_path / "traces.db")
    saver = SafeSaver(store)

    async def agent(number):
        try:
            await asyncio.sleep(3600)
        finally:
            await saver.asave(AgentTrace(run_id=f"run {number}"))

    async def main():
        tasks = [asyncio.create_task(agent(number)) for number in range(20)]
        await asyncio.sleep(0)
        assert len(tasks) == 20  # and all are cancelled by the end of the loop

    async def stored():
        async with store:
            return await store.count()

    asyncio.run(main())
    assert asyncio.run(stored()) == saver.saved == 20
    assert saver.failed == 0


async def test_what_cannot_be_stored_is_left_out(caplog):
    """The run itself is kept, as it is by a recorder."""
    loop: list[object] = []
    loop.append(loop)
    store = InMemoryTraceStore()
    saver = SafeSaver(store)
    assert saver.save(AgentTrace(run_id="one", metadata={"loop": loop, "user": "ada"}))
    assert await saver.asave(AgentTrace(run_id="two", metadata={"loop": loop, "user": "ada"}))
    assert [store.load(run_id).metadata["user"] for run_id in ("one", "two")] == ["ada", "ada"]
    assert "saved without it" in caplog.text
    assert (saver.saved, saver.failed) == (2, 0)
