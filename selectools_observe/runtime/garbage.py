"""Collections of cyclic garbage at moments when nobody waits, or seldom."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator

EVERY = 20.0  # seconds between two looks for a quiet moment
PATIENCE = 30  # looks, after which it is done all the same
_NEVER = 1 << 30
_MANY = 5_000  # objects more, after which young ones are looked at where it happens seldom


@contextlib.asynccontextmanager
async def full_collections_when(is_quiet: Callable[[], bool]) -> AsyncIterator[None]:
    """While it lasts, go through all objects only at moments that are quiet.

    It holds the interpreter for 50 ms and more when a large body has become many objects, and by
    itself it happens just then, again and again. Young objects are looked at as always.
    """
    with _collecting(*gc.get_threshold()[:2], _NEVER):
        task = asyncio.create_task(_collect(is_quiet))
        try:
            yield
        finally:
            task.cancel()


@contextlib.contextmanager
def few_collections() -> Iterator[None]:
    """While it lasts, look at what comes only, and less often.

    For a program of our own that goes through many runs: a tenth of its time would be spent on
    objects that stay.
    """
    with _collecting(_MANY, *gc.get_threshold()[1:]):
        yield


@contextlib.contextmanager
def _collecting(*thresholds: int) -> Iterator[None]:
    """Collections as these say, of what is not there yet."""
    before = gc.get_threshold()
    gc.collect()
    # What an application around us froze stays so: there is one unfreeze for all.
    is_frozen = bool(gc.get_freeze_count())
    if not is_frozen:
        gc.freeze()
    gc.set_threshold(*thresholds)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not is_frozen:
            gc.unfreeze()


async def _collect(is_quiet: Callable[[], bool]) -> None:
    waited = 0
    while True:
        await asyncio.sleep(EVERY)
        waited += 1
        if is_quiet() or waited >= PATIENCE:
            gc.collect()
            waited = 0
