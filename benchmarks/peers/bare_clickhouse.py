"""clickhouse-connect itself with rows made beforehand, into the tables that our store makes.

A list of rows is one insert into ``traces`` and no more: what the server takes of the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clickhouse_connect

from benchmarks.data import TraceDict
from selectools_observe import AgentTrace
from selectools_observe.backends.clickhouse import native
from selectools_observe.backends.clickhouse.rows import TraceRow, block_of, place_of, rows_of
from selectools_observe.stores.clickhouse import ClickHouseTraceStore

_FIRST_US = 1_715_800_000_000_000


class Client:
    """One client; what it saves is sent as it is, uncompressed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._saved = 0

    async def start(self) -> None:
        ClickHouseTraceStore(self._url).close()
        address, _, self._database = self._url.rpartition("/")
        host, _, port = address.rpartition("/")[2].partition(":")
        self._client = clickhouse_connect.get_client(host=host, port=int(port))

    def native(self, trace: TraceDict) -> Any:
        return rows_of([AgentTrace.from_dict(trace)])[0]

    async def save_many(self, items: list[TraceRow]) -> None:
        first = _FIRST_US + self._saved
        self._saved += len(items)
        places = [native.place(place_of(first + number, 0)) for number in range(len(items))]
        block = block_of(items, places, _FIRST_US)
        self._client.raw_insert(
            f"{self._database}.traces",
            column_names=list(block.types),
            insert_block=b"".join(block),
            settings={"max_insert_block_size": 2**31, "min_insert_block_size_rows": 2**31},
            fmt=native.FORMAT,
        )

    async def close(self) -> None:
        self._client.close()


def blocking(_kind: str, _path: Path) -> Any:
    """Not compared."""
    raise NotImplementedError("only lists of rows are compared")


def asynchronous(_kind: str, place: Any) -> Client:
    """Only ``clickhouse``, whose place is a URL."""
    return Client(place)
