"""A connection of its own for threads that block, whatever the store's runtime is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...runtime.interface import BlockingRuntime, run_sync
from ..sql.row import Row
from .address import Address
from .session import Session
from .slot import SessionSlot

T = TypeVar("T")


class DirectConnection:
    """A connection that is opened at first use; may be used from any thread.

    Args:
        address: The store's.
        prepare: What is done with each connection that is opened.
    """

    def __init__(
        self, address: Address, prepare: Callable[[Session], Awaitable[None]] | None = None
    ) -> None:
        self._slot = SessionSlot(BlockingRuntime(), address, prepare or _nothing)

    def rows(self, sql: str, *values: object) -> list[Row]:
        """Execute one statement, a transaction of its own; return its rows.

        Raises:
            StorageError: The server refuses it, or cannot be reached.
        """
        return self.run(lambda session: session.rows(sql, values))

    def run(self, work: Callable[[Session], Awaitable[T]], patience: float | None = None) -> T:
        """Do work on the connection; see `SessionSlot.run`."""
        if patience is None:
            return run_sync(self._slot.run(work))
        return run_sync(self._slot.run(work, patience))

    def close(self) -> None:
        """Let go of it."""
        run_sync(self._slot.close())


async def _nothing(_: Session) -> None:
    pass
