"""Any store as one that has all methods."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from selectools_observe import (
    AgentTrace,
    AsyncInMemoryTraceStore,
    InMemoryTraceStore,
    QueryableTraceStore,
    TraceFilter,
    is_async_store,
)
from selectools_observe.backends.toolkit import AsyncDerivedMethods, DerivedMethods
from selectools_observe.stores.adapters import as_async, as_blocking


class Five:
    """The five methods, over a store in memory."""

    def __init__(self) -> None:
        self.kept = InMemoryTraceStore()
        self.save, self.load, self.delete = self.kept.save, self.kept.load, self.kept.delete

    def list(self, limit=50, offset=0):
        return [*self.kept.list(limit, offset)]

    def query(self, filters):
        return [*self.kept.query(filters)]


class Derived(Five, DerivedMethods):
    """A class that inherits the others."""


class AsyncDerived(AsyncDerivedMethods):
    """The same, async."""

    def __init__(self) -> None:
        self.kept = InMemoryTraceStore()

    async def save(self, trace):
        return self.kept.save(trace)

    async def load(self, run_id):
        return self.kept.load(run_id)

    async def list(self, limit=50, offset=0):
        return [*self.kept.list(limit, offset)]

    async def query(self, filters):
        return [*self.kept.query(filters)]

    async def delete(self, run_id):
        return self.kept.delete(run_id)


def runs(number: int) -> list[AgentTrace]:
    return [AgentTrace(run_id=f"run-{n}", metadata={"n": n}) for n in range(number)]


def test_a_class_inherits_what_is_derived():
    store = Derived()
    assert store.save_many(runs(5)) == [f"run-{n}" for n in range(5)]
    assert store.count(TraceFilter(where="n>2")) == 2
    streamed = [trace.run_id for trace in store.iter_traces(oldest_first=True)]
    assert streamed == [f"run-{n}" for n in range(5)]
    assert [group.runs for group in store.groups("n")] == [1] * 5
    assert store.update("run-1", lambda _: None) is False


async def test_an_async_class_inherits_what_is_derived():
    store = AsyncDerived()
    await store.save_many(runs(5))
    assert await store.count() == 5
    assert list(await store.load_many(["run-3", "absent"])) == ["run-3"]
    assert [s.run_id async for s in store.iter_summaries(TraceFilter(limit=2))] == [
        "run-4",
        "run-3",
    ]


def test_a_store_that_has_all_is_given_back():
    for store in (InMemoryTraceStore(), AsyncInMemoryTraceStore()):
        assert (as_async if is_async_store(store) else as_blocking)(store) is store


@pytest.mark.parametrize("kind", [InMemoryTraceStore, Five, AsyncInMemoryTraceStore, AsyncDerived])
def test_one_that_is_to_stay_open_does(kind):
    store = kind()
    with as_blocking(store, close=False) as view:
        view.save(AgentTrace(run_id="one"))
    with as_blocking(store) as view:
        assert view.load("one").run_id == "one"


async def test_a_blocking_store_is_called_in_threads():
    async with as_async(InMemoryTraceStore()) as store:
        await store.save_many(runs(200))
        assert [t.metadata["n"] async for t in store.iter_traces(oldest_first=True)] == [
            *range(200)
        ]
        assert (await store.query(TraceFilter(limit=3))).next_cursor is not None


def test_what_a_store_has_itself_is_called():
    class Counting(Five):
        def count(self, filters=None):
            return -1

    store: QueryableTraceStore = as_blocking(Counting())
    assert store.count() == -1


def test_a_subclass_that_saves_in_its_own_way_is_updated_by_its_own_save():
    class Stamping(InMemoryTraceStore):
        def save(self, trace):
            trace.metadata["stamped"] = True
            return super().save(trace)

    store = Stamping()
    assert as_blocking(store).update("one", lambda _: AgentTrace(run_id="one"))
    assert store.load("one").metadata == {"stamped": True}


@pytest.mark.parametrize("adapter", [as_async, as_blocking])
def test_what_is_not_a_store_is_refused(adapter):
    with pytest.raises(TypeError, match="is not a trace store, it has no save, load, list"):
        adapter("traces.db")


def test_times_of_saving_that_cannot_be_kept_are_logged_once(caplog):
    moment = datetime(2024, 5, 17, tzinfo=UTC)
    store = as_blocking(Five())
    store.save_many(runs(2))
    assert not caplog.records
    store.save_many(runs(2), created_at=[moment, None])
    store.save_many(runs(1), created_at=[moment])
    assert ["created_at is the time of this save" in line for line in caplog.messages] == [True]


def test_a_run_that_is_saved_again_while_others_are_pruned_stays():
    store = Five()
    store.kept.save_many(runs(5))
    asked = store.query

    def query(filters):
        if filters.run_ids is not None:  # what is to be deleted is looked at once more
            store.kept.save(AgentTrace(run_id="run-0", name="again"))
        return asked(filters)

    store.query = query
    as_blocking(store).prune(keep_runs=1)
    assert [summary.run_id for summary in store.kept.list()] == ["run-0", "run-4"]
    assert store.kept.load("run-0").name == "again"
