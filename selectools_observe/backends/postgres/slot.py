"""A place for one connection: opened at first use, opened again when it was lost."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ...errors import StoreClosedError
from ...runtime.interface import Runtime
from .address import Address
from .errors import explained, forgets_statements
from .session import AsyncSession, BlockingSession, Session, psycopg

log = logging.getLogger(__name__)

T = TypeVar("T")


class SessionSlot:
    """One connection, used by one caller at a time.

    Work that meets a lost connection is done once more on a new one: a save is an upsert, and all
    else reads.
    """

    def __init__(
        self,
        runtime: Runtime,
        address: Address,
        prepare: Callable[[Session], Awaitable[None]],
    ) -> None:
        self._runtime = runtime
        self._prepare = prepare
        self._address = address
        self._lock = runtime.lock()
        self._prepares = address.prepares is not False
        self._session: Session | None = None
        self._is_closed = False

    async def run(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do work on the connection.

        Raises:
            StorageError: The server refuses it, or cannot be reached.
            StoreClosedError: The store is closed.
        """
        return await self._runtime.under(self._lock, partial(self._run, work))

    async def _run(self, work: Callable[[Session], Awaitable[T]]) -> T:
        try:
            return await self._attempt(work)
        except psycopg.Error as error:
            if not self._may_succeed_again(error):
                raise explained(self._address, error) from error
        try:
            return await self._attempt(work)
        except psycopg.Error as error:
            raise explained(self._address, error) from error

    async def _attempt(self, work: Callable[[Session], Awaitable[T]]) -> T:
        session = await self._opened()
        try:
            return await work(session)
        except psycopg.Error:
            raise
        except BaseException:
            # Cancelled or interrupted in the midst: what the server is at is its own to undo.
            self.abandon()
            raise

    def _may_succeed_again(self, error: psycopg.Error) -> bool:
        if forgets_statements(error) and self._prepares:
            log.info("%s: statements are not prepared from now on (a pooler?)", self._address.shown)
            self._prepares = False
        elif self._session is None or self._session.is_usable:
            return False
        self.abandon()
        return True

    async def _opened(self) -> Session:
        if self._is_closed:
            raise StoreClosedError(self._address.shown)
        if self._session is None or not self._session.is_usable:
            kind = AsyncSession if self._runtime.hops else BlockingSession
            self._session = await kind.open(self._address, prepares=self._prepares)
            await self._prepare(self._session)
        return self._session

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._session is not None

    async def close(self) -> None:
        """Finish what was begun, and close."""
        await self._runtime.under(self._lock, self._close)

    async def _close(self) -> None:
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def abandon(self) -> None:
        """Let go of the connection without waiting."""
        session, self._session = self._session, None
        if session is not None:
            session.abandon()
