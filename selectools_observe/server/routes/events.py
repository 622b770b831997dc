"""The route of live events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from ..query_params import FILTERS, filter_of, parse
from ..responses import Streamed
from ..state import state_of

EVENTS = "text/event-stream"
_LONGEST_ID = 100  # characters; ours are shorter


async def live(request: Request) -> Response:
    filters = filter_of(parse(request.scope["query_string"], FILTERS))
    if request.method == "HEAD":
        return Response(media_type=EVENTS)
    last_id = request.headers.get("last-event-id", "")[:_LONGEST_ID] or None
    events = state_of(request).hub.events(filters, last_id)
    first = await anext(events)  # so that a refusal is an answer of its own
    # nginx would keep events back until it has a buffer full of them.
    return Streamed(_after(first, events), EVENTS, headers={"X-Accel-Buffering": "no"})


async def _after(first: bytes, events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with contextlib.aclosing(events):
        yield first
        async for event in events:
            yield event
