"""The routes that read: lists, counts, runs and their steps."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ... import __version__
from ...analytics.capture_gaps import gaps_as_json, gaps_of
from ...analytics.conversation import Turn, conversation_of, turns_as_json, turns_with
from ...analytics.step_tree import parents
from ...capture.journal.live_runs import RunningRun
from ...model.codec import encode
from ...model.filters import TraceFilter
from ...model.trace import AgentTrace, TraceSummary
from ...model.validation import as_agent_trace
from ...protocols import AsyncQueryableTraceStore
from ..key_warning import key_warning
from ..param_types import bounded, from_nought, typed
from ..query_params import (
    CURSOR,
    DEFAULT_LIMIT,
    FILTERS,
    LIMIT,
    ORDER_BY,
    Parameter,
    filter_of,
    parse,
)
from ..query_params import text as any_text
from ..responses import (
    JSON,
    Problem,
    Streamed,
    answer,
    moment_text,
    trace_not_found,
)
from ..state import State, state_of
from ..trace_window import Window, pieces, step_json

COUNT_LIMIT = Parameter("limit", *from_nought(), "Stop counting at this number.")
WORDS = Parameter(
    "q", any_text, {"type": "string", "format": "words"},
    'What to look for: words, which find what begins with them, and "phrases".', needed=True,
)  # fmt: skip
HITS = Parameter("hits", *bounded(1, 100, 3), "Maximum number of places of each run.")
SEARCH_FILTERS = tuple(parameter for parameter in FILTERS if parameter.name != "text")


def _names(value: str) -> frozenset[str]:
    """Names separated by commas."""
    return frozenset(name.strip() for name in value.split(","))


WINDOW = (
    Parameter(
        "text_limit", *from_nought(),
        "Cut texts of a step longer than this number of characters; "
        "arguments larger than so many bytes as JSON become null.",
    ),
    Parameter(
        "step_offset", *from_nought(0),
        "Index of the first step.",
    ),
    Parameter(
        "step_limit", *from_nought(), "Maximum number of steps."
    ),
    Parameter(
        "step_fields", _names, {"type": "string"},
        "Only these fields of the steps, separated by commas: the calls of a long conversation "
        "each repeat all of it in their input.",
    ),
    Parameter(
        "with_parents", *typed(bool),
        "Say under parents of each step of the run the index of the one that it is inside of, null "
        "at the top.",
    ),
)  # fmt: skip


TURNS = 500
CONVERSATION = (
    Parameter(
        "offset", *from_nought(0),
        "Index of the first turn.",
    ),
    Parameter(
        "limit", *from_nought(TURNS),
        "Maximum number of turns.",
    ),
    Parameter(
        "text_limit", *from_nought(),
        "Cut texts longer than this number of characters.",
    ),
    Parameter(
        "find", any_text, {"type": "string"},
        "Say under found in which turns these words are said, whole texts looked through.",
    ),
    Parameter(
        "with_index", *typed(bool),
        "Say of all turns of which step they are, and which have an error.",
    ),
)  # fmt: skip


async def about(request: Request) -> Response:
    state = state_of(request)
    parse(_query(request), ())
    runs = await state.store.count()
    return answer({"version": __version__, "read_only": state.read_only, "runs": runs})


async def list_traces(request: Request) -> Response:
    values = parse(_query(request), (LIMIT, CURSOR, ORDER_BY, *FILTERS))
    return await _page(state_of(request).store, filter_of(values), values)


async def search(request: Request) -> Response:
    values = parse(_query(request), (WORDS, LIMIT, CURSOR, HITS, *SEARCH_FILTERS))
    limit, cursor = values.get("limit", DEFAULT_LIMIT), values.get("cursor")
    store, filters = state_of(request).store, filter_of(values)
    try:
        page = await store.search(
            values["q"], filters, limit=limit, cursor=cursor, hits_per_run=values.get("hits", 3)
        )
    except ValueError as error:
        if cursor is None:
            raise Problem(400, "invalid_parameter", str(error)) from error
        hint = "Pass the next_cursor of the previous page unchanged, or none"
        raise Problem(404, "unknown_cursor", "invalid cursor for this store", hint) from error
    hits = msgspec.to_builtins(list(page))
    warning = {} if hits else await key_warning(store, filters)
    return answer({"hits": hits, "next_cursor": page.next_cursor, **warning})


async def running(request: Request) -> Response:
    parse(_query(request), ())
    found = await anyio.to_thread.run_sync(state_of(request).running.all)
    return answer({"traces": [_running_summary(run).to_dict() for run in found]})


def _running_summary(run: RunningRun) -> TraceSummary:
    """The summary of a run that is under way, as if it was saved when its journal was written."""
    return encode(run.trace).summary(run.written_at)


async def children(request: Request) -> Response:
    values = parse(_query(request), (LIMIT, CURSOR))
    filters = TraceFilter(parent_run_id=run_id_of(request))
    return await _page(state_of(request).store, filters, values)


async def _page(
    store: AsyncQueryableTraceStore, filters: TraceFilter, values: dict[str, Any]
) -> Response:
    limit, cursor = values.get("limit", DEFAULT_LIMIT), values.get("cursor")
    try:
        page = await store.query(replace(filters, limit=limit), cursor=cursor)
    except ValueError as error:
        if cursor is None:
            raise
        hint = "Pass the next_cursor of the previous page unchanged, or none"
        raise Problem(404, "unknown_cursor", "invalid cursor for this store", hint) from error
    traces = [summary.to_dict() for summary in page]
    warning = {} if traces else await key_warning(store, filters)
    return answer({"traces": traces, "next_cursor": page.next_cursor, **warning})


async def count(request: Request) -> Response:
    values = parse(_query(request), (COUNT_LIMIT, *FILTERS))
    limit = values.pop("limit", None)
    filters = filter_of(values)
    store = state_of(request).store
    # One more than asked tells whether there are more.
    found = await store.count(replace(filters, limit=None if limit is None else limit + 1))
    is_complete = limit is None or found <= limit
    warning = {} if found else await key_warning(store, filters)
    return answer({"count": found if is_complete else limit, "is_complete": is_complete, **warning})


async def get_trace(request: Request) -> Response:
    values = parse(_query(request), WINDOW)
    state, run_id = state_of(request), run_id_of(request)
    etag = version_tag(await summary_of(state, run_id))
    headers = {"ETag": etag, "Cache-Control": "no-store"}
    if etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    trace = await load(state, run_id, etag)
    wanted = values.get("with_parents") and request.method != "HEAD"
    window = Window(
        values.get("text_limit"),
        values.get("step_offset", 0),
        values.get("step_limit"),
        values.get("step_fields"),
        await anyio.to_thread.run_sync(parents, trace) if wanted else None,
    )
    if request.method == "HEAD":
        return Response(None, 200, headers, JSON)
    return Streamed(pieces(trace, window), JSON, headers=headers)


async def get_step(request: Request) -> Response:
    parse(_query(request), ())
    state, run_id = state_of(request), run_id_of(request)
    etag = version_tag(await summary_of(state, run_id))
    trace = await load(state, run_id, etag)
    index = _index(request.path_params["index"])
    if index is None or index >= len(trace.steps):
        message = f"The run has {len(trace.steps)} steps, numbered from 0"
        raise Problem(404, "step_not_found", message)
    return Response(step_json(trace.steps[index]), 200, {"ETag": etag}, JSON)


async def conversation(request: Request) -> Response:
    values = parse(_query(request), CONVERSATION)
    state, run_id = state_of(request), run_id_of(request)
    etag = version_tag(await summary_of(state, run_id))
    turns = await _turns_of(state, run_id, etag)
    first = values.get("offset", 0)
    some = turns[first : first + values.get("limit", TURNS)]
    shown = list(turns_as_json(some, values.get("text_limit")))
    body: dict[str, Any] = {"run_id": run_id, "total": len(turns), "offset": first, "turns": shown}
    if values.get("with_index"):
        body["steps"] = [turn.step for turn in turns]
        body["errors"] = [at for at, turn in enumerate(turns) if turn.error is not None]
        if gaps := gaps_of(await load(state, run_id, etag), turns):
            body["gaps"] = gaps_as_json(gaps)
    if values.get("find"):
        body["found"] = await anyio.to_thread.run_sync(turns_with, turns, values["find"])
    return answer(body, headers={"ETag": etag})


async def _turns_of(state: State, run_id: str, etag: str) -> list[Turn]:
    kept = state.talks.get(run_id, etag)
    if kept is None:
        trace = await load(state, run_id, etag)
        kept = await anyio.to_thread.run_sync(conversation_of, trace)
        state.talks.keep(run_id, etag, kept, len(kept))
    return kept


def _index(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


async def load(state: State, run_id: str, etag: str) -> AgentTrace:
    """A run as ours, perhaps from the memory of large ones that were looked at lately."""
    kept = state.recent.get(run_id, etag)
    if kept is None:
        # Under way, the journal says more than the store.
        kept = await _running_or_none(state, run_id, etag)
        kept = kept or as_agent_trace(await state.store.load(run_id))
        state.recent.keep(run_id, etag, kept, len(kept.steps))
    return kept


async def _running_or_none(state: State, run_id: str, etag: str) -> AgentTrace | None:
    found = await anyio.to_thread.run_sync(state.running.get, run_id)
    if found is None or version_tag(_running_summary(found)) != etag:
        return None
    return found.trace


async def summary_of(state: State, run_id: str) -> TraceSummary:
    """The summary of one run."""
    page = await state.store.query(TraceFilter(run_ids=[run_id], limit=1))
    if not page or page[0].metadata.get("unfinished") is True:
        live = await anyio.to_thread.run_sync(state.running.get, run_id)
        if live is not None:
            return _running_summary(live)
    if not page:
        # It may be stored and unreadable: loading says which.
        await state.store.load(run_id)
        raise trace_not_found(run_id)
    return page[0]


def version_tag(summary: TraceSummary) -> str:
    """An ETag: it differs when a run was saved again."""
    reported = f"{summary.run_id}\n{moment_text(summary.created_at)}"
    return f'"{hashlib.sha256(reported.encode()).hexdigest()[:32]}"'


def run_id_of(request: Request) -> str:
    """The run id in a path, where it is one percent-encoded segment."""
    return unquote(request.path_params["run_id"], errors="surrogateescape")


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query
