"""What async stores are made of, beside a backend's coroutines."""

from __future__ import annotations

from typing import Self

from ..backends.base import PreparedT, StoreCore
from ..runtime.interface import Runtime


class AsyncStore(StoreCore[PreparedT]):
    """``async with``: open, and close at the end."""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.aclose()  # nobody else will: what was begun is finished, also when cancelled
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def asyncio_runtime(*, works_on_files: bool = False) -> Runtime:
    """The runtime of an event loop.

    What a loop needs (asyncio, ssl) takes longer to import than all of ours: only who uses an async
    store waits for it.
    """
    from ..runtime.asyncio_ import AsyncioRuntime, load_file_work  # noqa: PLC0415

    if works_on_files:
        load_file_work()
    return AsyncioRuntime()
