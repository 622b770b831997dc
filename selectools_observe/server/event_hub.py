"""Live events: one watcher of the store for all listeners.

The store is looked at now and then, since other processes save too. What is new waits in a list of
bounded length; a listener keeps only its place in it, so that a slow one costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from hashlib import blake2b

from ..model import timestamps
from ..model.filters import TraceFilter
from ..model.json_values import dumps
from ..model.trace import TraceSummary
from ..protocols import AsyncQueryableTraceStore
from .responses import Problem

log = logging.getLogger(__name__)

INTERVAL = 0.5  # seconds between two looks
HEARTBEAT = 15.0  # seconds without an event, after which a comment is sent
MOST_LISTENERS = 256
_REMEMBERED = 1000  # runs
_MARKS = 32  # newest runs known, by which the new ones are told
_PAGE = 100

_BEGIN = b"retry: 2000\n: listening\n\n"
_BEAT = b": still here\n\n"
_GAP = b"event: gap\ndata: {}\n\n"


class Hub:
    """Watches the store while somebody listens."""

    def __init__(
        self, store: AsyncQueryableTraceStore, *, interval: float, heartbeat: float
    ) -> None:
        self._store = store
        self._interval = interval
        self._heartbeat = heartbeat
        self._new: deque[TraceSummary] = deque(maxlen=_REMEMBERED)
        self._reported = 0  # how many were ever put there
        self._marks: list[str] | None = None
        self._knows_all = False  # whether the marks are all runs there are
        self._starting = asyncio.Lock()
        self._listeners = 0
        self._watching: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._closed = False

    def hurry(self) -> None:
        """Look at the store now: something was saved."""
        self._hurry.set()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._wake()
        self._hurry.set()

    async def events(self, filters: TraceFilter, last_id: str | None) -> AsyncGenerator[bytes]:
        """What a listener is sent, from now on or from the event with that id on.

        Raises:
            Problem: There are too many listeners.
        """
        if self._listeners >= MOST_LISTENERS or self._closed:
            raise Problem(
                503,
                "busy",
                "Too many clients are listening",
                "Try again later",
                {"Retry-After": "5"},
            )
        self._listeners += 1
        try:
            await self._start()
            place = self._reported
            yield _BEGIN
            seen: set[str] = set()
            if last_id is not None:
                missed, leads_on = await self._until({last_id})
                if not leads_on:  # it is too long ago, or its run was saved again
                    yield _GAP
                    missed = []
                seen = {_id_of(summary) for summary in missed}
                for summary in await self._matching(filters, missed[::-1]):
                    yield _event(summary)
            async for event in self._from(filters, place, seen):
                yield event
        finally:
            self._listeners -= 1

    async def _from(self, filters: TraceFilter, place: int, seen: set[str]) -> AsyncIterator[bytes]:
        while not self._closed:
            if place == self._reported:
                try:
                    await asyncio.wait_for(self._changed.wait(), self._heartbeat)
                except TimeoutError:
                    yield _BEAT
                continue
            missed = self._reported - place - len(self._new)
            if missed > 0:
                yield _GAP
                place += missed
            news = list(self._new)[len(self._new) - (self._reported - place) :]
            place = self._reported
            news = [summary for summary in news if _id_of(summary) not in seen]
            for summary in await self._matching(filters, news):
                yield _event(summary)

    async def _start(self) -> None:
        """Begin to watch; what is stored already is not new."""
        async with self._starting:
            if self._marks is None:
                page = await self._store.list(_MARKS)
                self._marks = [_id_of(summary) for summary in page]
                self._knows_all = page.next_cursor is None
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while self._listeners and not self._closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._interval)
            self._hurry.clear()
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - a third party's store may raise anything
                log.warning("polling for new runs failed: %s", error)
                await asyncio.sleep(self._interval)
        self._marks = None

    async def _look(self) -> None:
        known = self._marks or []
        news, leads_on = await self._until(set(known))
        if not news:
            return
        if not leads_on and (not self._knows_all or len(news) == _REMEMBERED):
            self._reported += (
                _REMEMBERED  # nobody knows what is missing: listeners learn of the gap
            )
        self._new.extend(reversed(news))
        self._reported += len(news)
        marks = [*map(_id_of, news), *known]
        self._marks, self._knows_all = marks[:_MARKS], self._knows_all and len(marks) <= _MARKS
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _until(self, known: set[str]) -> tuple[list[TraceSummary], bool]:
        """The runs that are newer than a known one, newest first, and whether there was one."""
        found: list[TraceSummary] = []
        cursor: str | None = None
        while len(found) < _REMEMBERED:
            page = await self._store.list(_PAGE if found else _MARKS, cursor=cursor)
            for summary in page:
                if _id_of(summary) in known:
                    return found, True
                found.append(summary)
            cursor = page.next_cursor
            if cursor is None:
                break
        return found[:_REMEMBERED], False

    async def _matching(self, filters: TraceFilter, news: list[TraceSummary]) -> list[TraceSummary]:
        if filters == TraceFilter() or not news:
            return news
        run_ids = {summary.run_id for summary in news}
        if filters.run_ids is not None:
            run_ids.intersection_update(filters.run_ids)
        asked = replace(filters, run_ids=run_ids, limit=_REMEMBERED)
        found = {_id_of(s) for s in await self._store.query(asked)}
        return [summary for summary in news if _id_of(summary) in found]


def _id_of(summary: TraceSummary) -> str:
    """The id of an event: another one when the run is saved again."""
    name = blake2b(summary.run_id.encode(), digest_size=8).hexdigest()
    return f"{timestamps.to_microseconds(summary.created_at)}-{name}"


def _event(summary: TraceSummary) -> bytes:
    data = dumps(summary.to_dict())
    return b"id: %s\nevent: trace\ndata: %s\n\n" % (_id_of(summary).encode(), data)
