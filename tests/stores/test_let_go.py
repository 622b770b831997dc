"""What was saved or loaded is not kept by the thread that did it until it does something else."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from selectools_observe import AsyncSQLiteTraceStore
from selectools_observe.model.trace import AgentTrace
from selectools_observe.runtime.work_item import WorkItem


class Large:
    """Stands for something that takes much memory."""


class Keeps:
    """A change of a run that holds something large."""

    def __init__(self, large: Large) -> None:
        self.large = large

    def __call__(self, stored: object) -> AgentTrace:
        return AgentTrace(run_id="r")


def test_a_thread_lets_go_of_a_save(tmp_path):
    async def check() -> None:
        async with AsyncSQLiteTraceStore(tmp_path / "t.db") as store:
            large = Large()
            seen = weakref.ref(large)
            assert await store.update("r", Keeps(large))
            del large
            gc.collect()
            assert seen() is None

    asyncio.run(check())


async def _over() -> None:
    """It has ended."""


@pytest.mark.parametrize("fails", [False, True])
def test_an_item_lets_go(fails):
    def function(large=Large()):  # noqa: B008 - one item has it
        if fails:
            raise ValueError
        return large

    async def outcome() -> None:
        item.run()
        if fails:
            with pytest.raises(ValueError):
                await item.outcome(_over())
        else:
            assert await item.outcome(_over()) is seen()

    seen = weakref.ref(function.__defaults__[0])
    item = WorkItem(function)
    del function
    asyncio.run(outcome())
    gc.collect()
    assert seen() is None


def test_an_item_that_is_cancelled_before_it_begins_lets_go():
    async def outcome() -> None:
        task = asyncio.ensure_future(item.outcome(asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    large = Large()
    seen = weakref.ref(large)
    item = WorkItem(Keeps(large).__call__)
    del large
    asyncio.run(outcome())
    gc.collect()
    assert seen() is None
    item.run()  # nothing
