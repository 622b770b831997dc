"""A place for one connection: opened at first use, opened again when it was lost."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ...errors import StoreClosedError
from ...runtime.interface import Runtime
from .address import Address
from .driver_errors import explained
from .session import AsyncSession, BlockingSession, Session, psycopg

T = TypeVar("T")

_PATIENCE = 10.0  # seconds in which a server that was lost may come back, or another take over
_PAUSE = 0.05


class SessionSlot:
    """One connection, used by one caller at a time.

    Work that meets a lost connection is done again on a new one, for as long as a failover takes: a
    save is an upsert, and all else reads.
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
        self._kind = AsyncSession if runtime.hops else BlockingSession
        self._session: Session | None = None
        self._was_open = False
        self._is_closed = False

    async def run(self, work: Callable[[Session], Awaitable[T]], patience: float = _PATIENCE) -> T:
        """Do work on the connection.

        Args:
            work: What is done.
            patience: Seconds in which a server that was lost is tried again.

        Raises:
            StorageError: The server refuses it, or cannot be reached.
            StoreClosedError: The store is closed.
        """
        return await self._runtime.with_lock(self._lock, partial(self._run, work, patience))

    async def _run(self, work: Callable[[Session], Awaitable[T]], patience: float) -> T:
        deadline = None
        while True:
            try:
                return await self._attempt(work)
            except psycopg.Error as error:
                deadline = deadline or time.monotonic() + patience
                if not self._may_succeed_again(error) or time.monotonic() > deadline:
                    raise explained(self._address, error) from error
            await self._kind.pause(_PAUSE)

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
        if self._session is None:
            return self._was_open and isinstance(error, psycopg.OperationalError)
        if self._session.is_usable:
            return False
        self.abandon()
        return True

    async def _opened(self) -> Session:
        if self._is_closed:
            raise StoreClosedError(self._address.shown)
        if self._session is None or not self._session.is_usable:
            session = await self._kind.open(self._address)
            try:
                await self._prepare(session)
            except BaseException:  # cancelled, or refused: the next begins anew
                session.abandon()
                raise
            self._session = session
            self._was_open = True
        return self._session

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._session is not None

    async def close(self) -> None:
        """Finish what was begun, and close."""
        await self._runtime.with_lock(self._lock, self._close)

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
