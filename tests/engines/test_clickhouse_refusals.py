"""What a ClickHouse server refuses, and who follows it: users who may only read, busy servers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from functools import partial

import pytest

pytest.importorskip("clickhouse_connect", reason="the package clickhouse-connect is not installed")

from clickhouse_server import ClickHouseServer
from followers import followed

from selectools_observe import AgentTrace, StorageError, TraceStep
from selectools_observe.backends.clickhouse import driver
from selectools_observe.stores.clickhouse import AsyncClickHouseTraceStore, ClickHouseTraceStore


def run(run_id: str) -> AgentTrace:
    return AgentTrace(run_id=run_id, steps=[TraceStep("llm_call", model="m")])


@pytest.fixture
def as_reader(monkeypatch):
    """What is opened meanwhile may only read: the setting of a user made so."""

    @contextlib.contextmanager
    def reading():
        with monkeypatch.context() as patched:
            patched.setitem(driver._SETTINGS, "readonly", 2)
            yield

    return reading


def test_a_user_who_may_only_read_reads(clickhouse_url, as_reader):
    with ClickHouseTraceStore(clickhouse_url) as store:
        store.save(run("one"))
    with as_reader(), ClickHouseTraceStore(clickhouse_url) as store:
        assert [found.run_id for found in store.list()] == ["one"]
        assert store.load("one").run_id == "one"
        for change in (
            lambda: store.save(run("two")),
            lambda: store.delete("one"),
            lambda: store.annotate("one", "quality", score=1.0),
        ):
            with pytest.raises(StorageError, match="give it the right to write"):
                change()
        assert store.count() == 1


def test_a_user_who_may_only_read_makes_no_tables(clickhouse_url, as_reader):
    with as_reader(), pytest.raises(StorageError, match="give it the right to write"):
        ClickHouseTraceStore(clickhouse_url).list()


def test_too_many_queries_are_refused_and_what_was_saved_is_there(chdb_python):
    with (
        ClickHouseServer(chdb_python, settings={"max_concurrent_queries": 4}) as server,
        ClickHouseTraceStore(f"{server.url}/runs") as store,
    ):
        store.save(run("one"))
        slow = [
            threading.Thread(target=_ask_for_long, args=(server,), daemon=True)
            for _ in range(3)  # the server's own is the fourth
        ]
        for each in slow:
            each.start()
        _until_busy(server)
        with pytest.raises(StorageError, match="max_concurrent_queries"):
            store.save(run("two"))
        for each in slow:
            each.join()
        store.save(run("three"))
        assert {found.run_id for found in store.list()} == {"one", "three"}


def _ask_for_long(server: ClickHouseServer) -> None:
    while True:
        with contextlib.suppress(OSError):  # refused: something else was asked at that moment
            server.ask("SELECT sleepEachRow(1) FROM numbers(8) SETTINGS max_block_size = 1")
            return


def _until_busy(server: ClickHouseServer) -> None:
    """Questions of the server's own tables are always answered."""
    count = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow(1)%'"
    while server.ask(count) != "3":
        time.sleep(0.01)


async def test_16_stores_save_while_4_follow(clickhouse_url):
    """None is told of a run twice; of one that arrives behind a newer one it may not be told."""
    hubs = pytest.importorskip("selectools_observe.server.event_hub")
    saved = {f"w{n}-{i}" for n in range(16) for i in range(5)}
    listening = asyncio.Semaphore(0)

    async def save(number: int) -> None:
        async with AsyncClickHouseTraceStore(clickhouse_url) as store:
            for i in range(5):
                await store.save(run(f"w{number}-{i}"))

    follow = partial(
        followed,
        hubs.Hub,
        partial(AsyncClickHouseTraceStore, clickhouse_url),
        listening,
        lambda told: "the last" in told,
        interval=0.05,
    )
    followers = [asyncio.create_task(follow()) for _ in range(4)]
    for _ in followers:
        await listening.acquire()
    await asyncio.gather(*map(save, range(16)))
    async with AsyncClickHouseTraceStore(clickhouse_url) as store:
        await store.save(run("the last"))
        listed = [found.run_id for found in await store.list(100)]
    assert set(listed) == saved | {"the last"}
    for told in await asyncio.wait_for(asyncio.gather(*followers), 120):
        assert len(told.run_ids) == len(set(told.run_ids))
        assert [run_id for run_id in listed[::-1] if run_id in told.run_ids] == told.run_ids
