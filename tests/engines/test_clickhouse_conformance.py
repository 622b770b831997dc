"""The ClickHouse stores run the conformance suite, but for what their flags declare."""

from __future__ import annotations

import pytest
import pytest_asyncio

pytest.importorskip("clickhouse_connect", reason="the package clickhouse-connect is not installed")

from selectools_observe.stores.clickhouse import AsyncClickHouseTraceStore, ClickHouseTraceStore
from selectools_observe.testing import (
    AsyncQueryableTraceStoreConformance,
    QueryableTraceStoreConformance,
)

pytestmark = pytest.mark.slow  # a deletion rewrites a part of the table


class Server:
    """What the stores declare, and damage to a stored trace past the store's back."""

    replaces_at_once = False
    tells_deleters_apart = False

    @pytest.fixture
    def damage(self, clickhouse_url, clickhouse_server):
        def damage(run_id: str) -> None:
            database = clickhouse_url.partition("?")[0].rpartition("/")[2]
            clickhouse_server.ask(
                f"ALTER TABLE {database}.traces UPDATE trace = substring(trace, 1, 20) "
                f"WHERE run_id = '{run_id}' SETTINGS mutations_sync = 1"
            )

        return damage


class TestAsyncClickHouse(Server, AsyncQueryableTraceStoreConformance):
    @pytest.fixture
    def reopen(self, clickhouse_url):
        return lambda: AsyncClickHouseTraceStore(clickhouse_url)

    @pytest_asyncio.fixture
    async def store(self, reopen):
        async with reopen() as store:
            yield store


class TestClickHouse(Server, QueryableTraceStoreConformance):
    @pytest.fixture
    def reopen(self, clickhouse_url):
        return lambda: ClickHouseTraceStore(clickhouse_url)

    @pytest.fixture
    def store(self, reopen):
        with reopen() as store:
            yield store
