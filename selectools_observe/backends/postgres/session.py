"""One connection to PostgreSQL, its calls as coroutines for either runtime.

The blocking session's coroutines never suspend; the async one's wait for psycopg's asynchronous
connection. Both speak the same statements, so that the store above is written once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

from ...extras import needs
from ..sql.row import Row
from .address import Address

with needs("postgres", "A PostgreSQL store"):
    import psycopg

__all__ = [
    "AsyncSession",
    "BlockingSession",
    "RowArray",
    "Session",
    "Statement",
    "Values",
    "psycopg",
]

Values: TypeAlias = Sequence[Any]
Statement: TypeAlias = tuple[str, Sequence[Values]]
"""SQL, and the values of each of its executions."""

_PREPARE_AFTER = 5  # executions; psycopg's own default

# psycopg's `transaction`, and `executemany`, wait for answers in the midst of a pipeline.
_BEGIN, _COMMIT = b"BEGIN", b"COMMIT"


class RowArray:
    """A value in the binary form already; the statement says of what type it is."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _RowArrayDumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY
    oid = 0  # unknown: told by the statement

    def dump(self, obj: RowArray) -> bytes:
        return obj.data


class Session(Protocol):
    """One open connection, used by one caller at a time. Its methods raise ``psycopg.Error``.

    Attributes:
        run_type: The number of the type that rows are sent as, once somebody asked.
    """

    run_type: int | None

    async def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Execute one statement, a transaction of its own; return its rows."""

    async def transaction(self, statements: Sequence[Statement]) -> list[Row]:
        """Execute statements in one transaction, one trip to the server; return the last's rows."""

    async def is_direct(self) -> bool:
        """Whether the server itself is at the other end, and no pooler that lends its connections.

        A pooler announces a process id of its own making, not that of the server which answers.
        """

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open and was not lost."""

    async def close(self) -> None: ...

    def abandon(self) -> None:
        """Close without waiting, from anywhere."""

    @staticmethod
    async def pause(seconds: float) -> None:
        """Let time go by."""


class BlockingSession:
    """A session for code that blocks."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self.run_type: int | None = None
        connection.adapters.register_dumper(RowArray, _RowArrayDumper)

    @classmethod
    async def open(cls, address: Address) -> BlockingSession:
        connection = psycopg.connect(address.conninfo, autocommit=True, prepare_threshold=None)
        session = cls(connection)
        if await _may_prepare(address, session):
            connection.prepare_threshold = _PREPARE_AFTER
        return session

    async def rows(self, sql: str, values: Values = ()) -> list[Row]:
        with self._connection.cursor(binary=True) as cursor:
            cursor.execute(_query(sql), values)
            return cursor.fetchall() if cursor.description else []

    async def transaction(self, statements: Sequence[Statement]) -> list[Row]:
        connection = self._connection
        try:
            with connection.cursor() as cursor:
                with connection.pipeline():
                    connection.execute(_BEGIN)
                    for sql, values in statements:
                        for each in values:
                            cursor.execute(_query(sql), each)
                    connection.execute(_COMMIT)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            with suppress(psycopg.Error):
                connection.rollback()
            raise

    async def is_direct(self) -> bool:
        ((pid,),) = await self.rows("SELECT pg_backend_pid()")
        return bool(pid == self._connection.pgconn.backend_pid)

    @property
    def is_usable(self) -> bool:
        return not self._connection.closed

    async def close(self) -> None:
        self._connection.close()

    def abandon(self) -> None:
        self._connection.close()

    @staticmethod
    async def pause(seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - this session blocks


class AsyncSession:
    """A session for code that runs in an event loop."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection
        self.run_type: int | None = None
        connection.adapters.register_dumper(RowArray, _RowArrayDumper)

    @classmethod
    async def open(cls, address: Address) -> AsyncSession:
        connection = await psycopg.AsyncConnection.connect(
            address.conninfo, autocommit=True, prepare_threshold=None
        )
        session = cls(connection)
        try:
            if await _may_prepare(address, session):
                connection.prepare_threshold = _PREPARE_AFTER
        except BaseException:  # cancelled
            session.abandon()
            raise
        return session

    async def rows(self, sql: str, values: Values = ()) -> list[Row]:
        async with self._connection.cursor(binary=True) as cursor:
            await cursor.execute(_query(sql), values)
            return await cursor.fetchall() if cursor.description else []

    async def transaction(self, statements: Sequence[Statement]) -> list[Row]:
        connection = self._connection
        try:
            async with connection.cursor() as cursor:
                async with connection.pipeline():
                    await connection.execute(_BEGIN)
                    for sql, values in statements:
                        for each in values:
                            await cursor.execute(_query(sql), each)
                    await connection.execute(_COMMIT)
                return await cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            with suppress(psycopg.Error):
                await connection.rollback()
            raise

    async def is_direct(self) -> bool:
        ((pid,),) = await self.rows("SELECT pg_backend_pid()")
        return bool(pid == self._connection.pgconn.backend_pid)

    @property
    def is_usable(self) -> bool:
        return not self._connection.closed

    async def close(self) -> None:
        await self._connection.close()

    def abandon(self) -> None:
        # The loop of the connection may be gone; the socket is libpq's own.
        self._connection.pgconn.finish()

    @staticmethod
    async def pause(seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _may_prepare(address: Address, session: Session) -> bool:
    """Whether statements may be prepared: not where a pooler changes the server between them."""
    return await session.is_direct() if address.prepares is None else address.prepares


def _query(sql: str) -> bytes:
    """Our own SQL, put together from constants and a checked schema name."""
    return sql.encode()
