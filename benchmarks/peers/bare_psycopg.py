"""psycopg itself with rows made beforehand, into the table that our store makes.

A list of rows is a pipeline and a commit, under a transaction's lock as our saves are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from benchmarks.data import TraceDict
from selectools_observe import AgentTrace
from selectools_observe.backends.postgres.kept_calls import packed_calls
from selectools_observe.backends.postgres.rows import COLUMNS, numbers
from selectools_observe.backends.sql.server_rows import kept_summary, key_of, readable_id
from selectools_observe.backends.sql.terms import terms_of, unpack
from selectools_observe.model.checksum import checksum
from selectools_observe.model.codec import EncodedTrace, encode
from selectools_observe.stores.postgres import PostgresTraceStore

_PLACES = ", ".join(["%s"] * 10 + ["%s::bigint[]"] + ["%s"] * 4)
_INSERT = (
    f"INSERT INTO selectools_observe.traces ({COLUMNS}, created_us) VALUES ({_PLACES}, 0) "
    "ON CONFLICT (key) DO UPDATE SET trace = excluded.trace"
)


class Connection:
    """One connection; items are saved and loaded in lists."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, bytes] = {}

    async def start(self) -> None:
        PostgresTraceStore(self._url).close()
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)

    def native(self, trace: TraceDict) -> Any:
        values = _values_of(encode(AgentTrace.from_dict(trace)))
        self._keys[trace["run_id"]] = values[0]
        return values

    async def save_many(self, items: list[Any]) -> None:
        connection = self._connection
        async with connection.pipeline(), connection.transaction(), connection.cursor() as cursor:
            await cursor.execute("SELECT pg_advisory_xact_lock(1)")
            await cursor.executemany(_INSERT, items)

    async def load_many(self, run_ids: list[str]) -> None:
        keys = [self._keys[run_id] for run_id in run_ids]
        async with self._connection.cursor(binary=True) as cursor:
            sql = "SELECT trace FROM selectools_observe.traces WHERE key = ANY(%s)"
            await cursor.execute(sql, [keys])
            await cursor.fetchall()

    async def close(self) -> None:
        await self._connection.close()


def _values_of(encoded: EncodedTrace) -> tuple[Any, ...]:
    usage, details = encoded.usage, encoded.details
    return (
        key_of(encoded.run_id),
        readable_id(encoded.run_id),
        encoded.steps,
        encoded.total_ms,
        usage.cost_usd,
        usage.prompt_tokens,
        usage.completion_tokens,
        encoded.facts.has_error,
        details.started_us,
        details.wall_ms,
        numbers(unpack(terms_of(encoded.metadata, encoded.facts, details))),
        kept_summary(encoded),
        checksum(encoded.trace),
        encoded.trace,
        packed_calls(encoded),
    )


def blocking(_kind: str, _path: Path) -> Any:
    """Not compared."""
    raise NotImplementedError("only the async connection is compared")


def asynchronous(_kind: str, place: Any) -> Connection:
    """Only ``postgres``, whose place is a URL."""
    return Connection(place)
