"""Followers of a store: what each is told of runs that others save meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from selectools_observe import TraceFilter


class Told(NamedTuple):
    """What a follower was told: the ids of runs, and how often it was told that it missed some."""

    run_ids: list[str]
    gaps: int


async def followed(
    hub_class: Callable[..., Any],
    open_store: Callable[[], Any],
    listening: asyncio.Semaphore,
    is_over: Callable[[list[str]], bool],
    interval: float,
) -> Told:
    """Follow a store until it is over.

    Args:
        hub_class: The service's `Hub`.
        open_store: Opens the store.
        listening: Released once the follower would be told of a run.
        is_over: Told the ids so far.
        interval: Seconds between two looks.
    """
    run_ids: list[str] = []
    gaps = 0
    async with open_store() as store:
        hub = hub_class(store, interval=interval, heartbeat=5.0)
        async with contextlib.aclosing(hub.events(TraceFilter(), None)) as events:
            await anext(events)
            listening.release()
            async for event in events:
                gaps += b"event: gap" in event
                run_ids += [name.decode() for name in re.findall(rb'"run_id":"([^"]+)"', event)]
                if is_over(run_ids):
                    break
        hub.close()
    return Told(run_ids, gaps)
