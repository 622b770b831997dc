"""One ClickHouse server over HTTP, its calls as coroutines for either runtime.

The client is the driver's blocking one. In an event loop its calls are made in threads: building
the columns of ten thousand runs, and reading those of a long answer, would stop the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from ...runtime.interface import Runtime
from .address import Address, Host

try:
    import clickhouse_connect
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.exceptions import ClickHouseError
except ImportError as missing:  # pragma: no cover - CI has it
    raise ImportError(
        'ClickHouse stores need clickhouse-connect: pip install "selectools-observe[clickhouse]"'
    ) from missing

__all__ = ["ClickHouseError", "Columns", "Driver", "Row", "Settings"]

Row: TypeAlias = Sequence[Any]
Settings: TypeAlias = Mapping[str, Any]
Columns: TypeAlias = Sequence[tuple[str, str]]
"""Names and types."""

_BYTES = {"String": "bytes"}
_DATABASE = "default"  # ours may not be there yet: every table is named with it

_SETTINGS = {
    "max_query_size": 2**28,  # bytes: the keys of ten thousand runs are many
    "distributed_foreground_insert": 1,  # acknowledged when the shards have it
    "distributed_product_mode": "local",  # a run's rows in all tables are on one shard
    "max_partitions_per_insert_block": 0,  # runs of many months may be copied at once
}


class Driver:
    """A client of one server. Its methods raise ``ClickHouseError``."""

    def __init__(self, runtime: Runtime, client: Client) -> None:
        self._runtime = runtime
        self._client = client

    @classmethod
    async def open(cls, runtime: Runtime, address: Address, host: Host) -> Driver:
        """Connect to a server."""
        return cls(runtime, await runtime.call(partial(_client, address, host)))

    async def query(self, sql: str) -> Sequence[Row]:
        """The rows of a question; texts come as bytes."""
        ask = partial(self._client.query, sql, query_formats=_BYTES)
        return (await self._runtime.call(ask)).result_rows

    async def insert(
        self, table: str, columns: Columns, values: Sequence[Sequence[Any]], settings: Settings
    ) -> None:
        """Insert columns, as one block."""
        insert = partial(
            self._client.insert,
            table,
            values,
            column_names=[name for name, _ in columns],
            column_type_names=[kind for _, kind in columns],
            column_oriented=True,
            settings=dict(settings),
        )
        await self._runtime.call(insert)

    async def command(self, sql: str, settings: Settings) -> None:
        """Execute a statement that gives no rows."""
        await self._runtime.call(partial(self._client.command, sql, settings=dict(settings)))

    def close(self) -> None:
        """Close the connections, from anywhere."""
        self._client.close()


def _client(address: Address, host: Host) -> Client:
    return clickhouse_connect.get_client(
        host=host.name,
        port=host.port,
        username=address.user or None,
        password=address.password,
        secure=address.secure,
        database=_DATABASE,
        settings=_SETTINGS,
        autogenerate_session_id=False,  # one client serves many calls at once
        dedicated_pool=True,  # a shared one would be shared with forked children too
        client_name="selectools-observe",
        connect_timeout=10,  # seconds
        query_retries=0,  # see Servers: inserts are done again there too
    )
