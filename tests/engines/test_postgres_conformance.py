"""The PostgreSQL stores run the conformance suite whole."""

from __future__ import annotations

import pytest
import pytest_asyncio

pytest.importorskip("psycopg", reason="the package psycopg is not installed")

from selectools_observe.stores.postgres import AsyncPostgresTraceStore, PostgresTraceStore
from selectools_observe.testing import (
    AsyncQueryableTraceStoreConformance,
    QueryableTraceStoreConformance,
)


class Server:
    """Damages a stored trace past the store's back."""

    @pytest.fixture
    def damage(self, postgres_url):
        import psycopg

        def damage(run_id: str) -> None:
            from selectools_observe.backends.sql.server_rows import key_of

            schema = postgres_url.rpartition("=")[2]
            with psycopg.connect(postgres_url.partition("?")[0], autocommit=True) as connection:
                connection.execute(
                    f"UPDATE {schema}.traces SET trace = substr(trace, 1, 20) WHERE key = %s",
                    [key_of(run_id)],
                )

        return damage


@pytest.mark.engines
class TestAsyncPostgres(Server, AsyncQueryableTraceStoreConformance):
    @pytest.fixture
    def reopen(self, postgres_url):
        return lambda: AsyncPostgresTraceStore(postgres_url)

    @pytest_asyncio.fixture
    async def store(self, reopen):
        async with reopen() as store:
            yield store


# The core is that of the async store; what differs is the session, which other tests try too.
@pytest.mark.slow
class TestPostgres(Server, QueryableTraceStoreConformance):
    @pytest.fixture
    def reopen(self, postgres_url):
        return lambda: PostgresTraceStore(postgres_url)

    @pytest.fixture
    def store(self, reopen):
        with reopen() as store:
            yield store


class TestOtherVersion(TestPostgres):
    """PostgreSQL 18 of a wheel, which has no LZ4."""

    @pytest.fixture
    def postgres_url(self, other_postgres_url):
        return other_postgres_url


class TestThroughPgBouncer(TestPostgres):
    """In transaction mode each transaction may get another server connection."""

    @pytest.fixture
    def reopen(self, postgres_url, pgbouncer):
        url = f"{pgbouncer.url}?{postgres_url.partition('?')[2]}"
        return lambda: PostgresTraceStore(url)
