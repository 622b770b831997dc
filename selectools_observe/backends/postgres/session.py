"""One connection to PostgreSQL, its calls as coroutines for either runtime.

The blocking session's coroutines never suspend; the async one's wait for psycopg's asynchronous
connection. Both speak the same statements, so that the store above is written once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from ...extras import needs
from ..sql.row import Row
from .address import Address

with needs("postgres", "A PostgreSQL store"):
    import psycopg

__all__ = ["AsyncSession", "BlockingSession", "Session", "Statement", "Values", "psycopg"]

Values: TypeAlias = Sequence[Any]
Statement: TypeAlias = tuple[str, Sequence[Values]]
"""SQL, and the values of each of its executions."""

CheckedStatement: TypeAlias = tuple[str, Values]
"""SQL with its values, that returns a row if it did something."""

Load: TypeAlias = tuple[str, Iterable[bytes]]
"""A ``COPY`` from the client, and its data in pieces."""

_PREPARE_AFTER = 5  # executions; psycopg's own default


class Session(Protocol):
    """One open connection, used by one caller at a time. Its methods raise ``psycopg.Error``."""

    async def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Execute one statement, a transaction of its own; return its rows."""

    async def transaction(self, statements: Sequence[Statement]) -> None:
        """Execute statements in one transaction, sent in one go."""

    async def checked(self, before: Sequence[Statement], last: CheckedStatement) -> bool:
        """Execute statements in one transaction; whether the last of them did something."""

    async def load(
        self,
        before: Sequence[Statement],
        asked: CheckedStatement,
        load_of: Callable[[Row], Load | None],
    ) -> bool:
        """Execute statements, and load what depends on the row that the last of them gives.

        All in one transaction; whether something was loaded.
        """

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

    async def transaction(self, statements: Sequence[Statement]) -> None:
        connection = self._connection
        with connection.pipeline(), connection.transaction(), connection.cursor() as cursor:
            for sql, values in statements:
                cursor.executemany(_query(sql), values)

    async def checked(self, before: Sequence[Statement], last: CheckedStatement) -> bool:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for sql, values in before:
                cursor.executemany(_query(sql), values)
            cursor.execute(_query(last[0]), last[1])
            return cursor.fetchone() is not None

    async def load(
        self,
        before: Sequence[Statement],
        asked: CheckedStatement,
        load_of: Callable[[Row], Load | None],
    ) -> bool:
        connection = self._connection
        with connection.transaction(), connection.cursor() as cursor:
            with connection.pipeline():  # which takes no COPY
                for sql, values in before:
                    cursor.executemany(_query(sql), values)
                cursor.execute(_query(asked[0]), asked[1])
                row = cursor.fetchone()
            load = None if row is None else load_of(row)
            if load is None:
                return False
            with cursor.copy(_query(load[0])) as copy:
                for piece in load[1]:
                    copy.write(piece)
            return True

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

    async def transaction(self, statements: Sequence[Statement]) -> None:
        connection = self._connection
        async with connection.pipeline(), connection.transaction(), connection.cursor() as cursor:
            for sql, values in statements:
                await cursor.executemany(_query(sql), values)

    async def checked(self, before: Sequence[Statement], last: CheckedStatement) -> bool:
        connection = self._connection
        async with connection.transaction(), connection.cursor() as cursor:
            for sql, values in before:
                await cursor.executemany(_query(sql), values)
            await cursor.execute(_query(last[0]), last[1])
            return await cursor.fetchone() is not None

    async def load(
        self,
        before: Sequence[Statement],
        asked: CheckedStatement,
        load_of: Callable[[Row], Load | None],
    ) -> bool:
        connection = self._connection
        async with connection.transaction(), connection.cursor() as cursor:
            async with connection.pipeline():  # which takes no COPY
                for sql, values in before:
                    await cursor.executemany(_query(sql), values)
                await cursor.execute(_query(asked[0]), asked[1])
                row = await cursor.fetchone()
            load = None if row is None else load_of(row)
            if load is None:
                return False
            async with cursor.copy(_query(load[0])) as copy:
                for piece in load[1]:
                    await copy.write(piece)
            return True

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
