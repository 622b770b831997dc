"""The servers of a store: which is asked, and what happens when one is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from ...errors import StoreClosedError
from ...runtime.interface import Runtime
from ..sql.row import Row
from .address import Address
from .driver import ClickHouseError, Driver, Settings
from .driver_errors import explained, is_passing
from .native import Block

T = TypeVar("T")

_PATIENCE = 10.0  # seconds in which a server that was lost may come back, or another take over
_PAUSE = 0.05
_NO_SETTINGS: dict[str, Any] = {}


class Servers:
    """Clients of the servers that a URL names, each opened at first use.

    Work that meets a lost server is done again, on the next one or when it is back: questions ask
    again, inserts carry a token by which the server knows them, deletions name the rows.
    """

    def __init__(self, runtime: Runtime, address: Address) -> None:
        password = address.password or os.environ.get("CLICKHOUSE_PASSWORD", "")
        self._address = msgspec.structs.replace(address, password=password)
        self._runtime = runtime
        self._drivers: dict[int, Driver] = {}
        self._opening = runtime.lock()
        self._current = 0
        self._was_open = False
        self._is_closed = False

    @property
    def shards(self) -> int:
        """How many servers have rows of their own: one, unless there is a cluster."""
        return len(self._address.hosts) if self._address.cluster else 1

    async def query(self, sql: str, asked: bytes = b"") -> Sequence[Row]:
        """The rows of a question, which may name the keys that are asked for as ``asked``."""
        return await self._run(lambda driver: driver.query(sql, asked))

    async def query_on(self, shard: int, sql: str) -> Sequence[Row]:
        """The rows of a question to one shard."""
        return await self._run(lambda driver: driver.query(sql), self._only(shard))

    async def insert(self, table: str, block: Block, settings: Settings) -> None:
        """Insert the rows of a block, which is gone through again if a server is lost."""
        await self._run(lambda driver: driver.insert(table, block, settings))

    async def command(self, sql: str) -> None:
        """Execute a statement on the server that is asked."""
        await self._run(lambda driver: driver.command(sql, _NO_SETTINGS))

    async def command_on(self, shard: int, sql: str, settings: Settings = _NO_SETTINGS) -> None:
        """Execute a statement on one shard."""
        await self._run(lambda driver: driver.command(sql, settings), self._only(shard))

    async def command_on_all(self, sql: str, settings: Settings = _NO_SETTINGS) -> None:
        """Execute a statement on every shard."""
        for shard in range(self.shards):
            await self.command_on(shard, sql, settings)

    def _only(self, shard: int) -> int | None:
        return shard if self._address.cluster else None

    async def _run(self, work: Callable[[Driver], Awaitable[T]], only: int | None = None) -> T:
        deadline = None
        tried = 0
        while True:
            number = self._current if only is None else only
            try:
                driver = await self._opened(number)
                return await work(driver)
            except ClickHouseError as error:
                deadline = deadline or time.monotonic() + _PATIENCE
                tried += 1
                if not self._may_succeed_again(error, tried, deadline):
                    raise explained(self._address, error) from error
            if only is None:
                self._current = (number + 1) % len(self._address.hosts)
            await self._runtime.call(partial(time.sleep, _PAUSE))

    def _may_succeed_again(self, error: ClickHouseError, tried: int, deadline: float) -> bool:
        if self._is_closed or not is_passing(error):
            return False
        # What was never reached is not waited for, but the other hosts are tried.
        return time.monotonic() < deadline if self._was_open else tried < len(self._address.hosts)

    async def _opened(self, number: int) -> Driver:
        found = self._drivers.get(number)
        if found is not None:
            return found
        return await self._runtime.with_lock(self._opening, partial(self._open, number))

    async def _open(self, number: int) -> Driver:
        if self._is_closed:
            raise StoreClosedError(self._address.shown)
        if number not in self._drivers:
            host = self._address.hosts[number]
            self._drivers[number] = await Driver.open(self._runtime, self._address, host)
            self._was_open = True
        return self._drivers[number]

    @property
    def is_open(self) -> bool:
        """Whether there are connections."""
        return bool(self._drivers)

    def close(self) -> None:
        """Close all connections."""
        self._is_closed = True
        drivers, self._drivers = self._drivers, {}
        for driver in drivers.values():
            driver.close()
