"""One ClickHouse server over HTTP, its calls as coroutines for either runtime.

The client is the driver's blocking one. In an event loop its calls are made in threads: compressing
ten thousand runs, and reading the columns of a long answer, would stop the loop.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from ...extras import needs
from ...runtime.interface import Runtime
from ..sql.row import Row
from .address import Address, Host
from .native import FORMAT, Block

with needs("clickhouse", "A ClickHouse store"):
    import clickhouse_connect
    import zstandard  # the driver's own dependency
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.exceptions import ClickHouseError
    from clickhouse_connect.driver.external import ExternalData

__all__ = ["ClickHouseError", "Driver", "Settings"]

Settings: TypeAlias = Mapping[str, Any]

_KEYS = "RowBinary"  # one after another
_BYTES = {"String": "bytes"}
_DATABASE = "default"  # ours may not be there yet: every table is named with it

_SETTINGS = {
    # Bytes of an answer that the server holds in memory: it writes longer ones to its disk first,
    # by default those of 1 MB, and a full one could not be read.
    "http_response_buffer_size": 2**26,
    "max_query_size": 2**28,  # bytes: the keys of ten thousand runs are many
    "distributed_foreground_insert": 1,  # acknowledged when the shards have it
    "distributed_product_mode": "local",  # a run's rows in all tables are on one shard
    "max_partitions_per_insert_block": 0,  # runs of many months may be copied at once
}
# An insert is one block, whatever its size: all of it is there, or nothing.
_ONE_BLOCK = {"max_insert_block_size": 2**31, "min_insert_block_size_rows": 2**31}


class Driver:
    """A client of one server. Its methods raise ``ClickHouseError``."""

    def __init__(self, runtime: Runtime, client: Client) -> None:
        self._runtime = runtime
        self._client = client

    @classmethod
    async def open(cls, runtime: Runtime, address: Address, host: Host) -> Driver:
        """Connect to a server."""
        return cls(runtime, await runtime.call(partial(_client, address, host)))

    async def query(self, sql: str, asked: bytes = b"") -> Sequence[Row]:
        """The rows of a question; texts come as bytes.

        Args:
            sql: The question.
            asked: Keys, which the question may name as the table ``asked``.
        """
        table = None
        if asked:
            table = ExternalData(file_name="asked", data=asked, fmt=_KEYS, structure="key UUID")
        ask = partial(self._client.query, sql, query_formats=_BYTES, external_data=table)
        return (await self._runtime.call(ask)).result_rows

    async def insert(self, table: str, block: Block, settings: Settings) -> None:
        """Insert the rows of a block."""
        await self._runtime.call(partial(self._insert, table, block, settings))

    def _insert(self, table: str, block: Block, settings: Settings) -> None:
        self._client.raw_insert(
            table,
            column_names=list(block.types),
            insert_block=_compressed(block),
            settings={**_ONE_BLOCK, **settings},
            fmt=FORMAT,
            compression="zstd",
        )

    async def command(self, sql: str, settings: Settings) -> None:
        """Execute a statement that gives no rows."""
        await self._runtime.call(partial(self._client.command, sql, settings=dict(settings)))

    def close(self) -> None:
        """Close the connections, from anywhere."""
        self._client.close()


def _compressed(pieces: Iterable[bytes]) -> Generator[bytes, None, None]:
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    for piece in pieces:
        if data := compressor.compress(piece):  # a chunk without bytes would be the last
            yield data
    yield compressor.flush()


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
