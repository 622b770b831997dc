"""The routes that change the store."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import IO, Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from ...errors import InvalidTraceError
from ...model.codec import LARGE
from ...model.json_values import dumps, loads
from ...model.trace import AgentTrace
from ..query_params import parse
from ..request_trace import trace_of, trace_of_value
from ..responses import JSON, NDJSON, Problem, Streamed, answer, problem_of, trace_not_found
from ..state import State, state_of
from .traces import run_id_of

_AT_ONCE = 64  # runs saved together
_BYTES_AT_ONCE = 4 * 1024 * 1024
_REPORT_IN_MEMORY = 1024 * 1024  # bytes; a longer one waits on the disk
_PIECE = 64 * 1024

_LINES = {NDJSON, "application/jsonl", "application/ndjson", "application/x-jsonlines"}


def changing(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[..., Any]:
    """An endpoint that a read-only service refuses."""

    async def allowed(request: Request) -> Response:
        if state_of(request).read_only:
            raise Problem(403, "read_only", "This service is read-only")
        return await endpoint(request)

    return allowed


async def delete_trace(request: Request) -> Response:
    parse(request.scope["query_string"], ())
    run_id = run_id_of(request)
    if not await state_of(request).store.delete(run_id):
        raise trace_not_found(run_id)
    state_of(request).hub.hurry()
    return Response(status_code=204)


async def save_traces(request: Request) -> Response:
    parse(request.scope["query_string"], ())
    state = state_of(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _LINES:
        lines = state.bodies.lines(request, state.max_body)
        return await _save_each(state, lines, trace_of)
    if kind != JSON:
        hint = f"Send {JSON}: one run or an array; or {NDJSON}: a run a line"
        raise Problem(
            415, "unsupported_media_type", f"Content-Type {kind!r:.80} is not supported", hint
        )
    async with state.bodies.body(request, state.max_body) as body:
        value = await beside(partial(_json_of, body), len(body))
        if isinstance(value, list):
            return await _save_each(state, _items(value), trace_of_value)
        trace = await beside(partial(trace_of_value, value), len(body))
        run_id = await state.store.save(trace)
    state.hub.hurry()
    return answer({"run_id": run_id}, 201)


def _json_of(body: bytes) -> Any:
    try:
        return loads(body)
    except ValueError as error:
        raise Problem(400, "invalid_request", f"The body is not JSON: {error!s:.200}") from None


async def beside(work: Callable[[], Any], size: int) -> Any:
    """Do work on so many bytes, in a thread if it takes long."""
    return await anyio.to_thread.run_sync(work) if size > LARGE else work()


async def _items(values: list[Any]) -> AsyncIterator[Any]:
    for value in values:
        yield value


async def _save_each(
    state: State, items: AsyncIterator[Any], trace_of_item: Callable[[Any], AgentTrace]
) -> Response:
    """Save item by item. The report is sent when all is read: clients read nothing before."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(_REPORT_IN_MEMORY)  # noqa: SIM115 - sent later
    report = _Report(file)
    try:
        await _take_all(state, items, trace_of_item, report)
    except BaseException:
        file.close()
        raise
    finally:
        state.hub.hurry()
    report.end()
    return Streamed(_sent(file), NDJSON)


async def _take_all(
    state: State,
    items: AsyncIterator[Any],
    trace_of_item: Callable[[Any], AgentTrace],
    report: _Report,
) -> None:
    batch: list[tuple[int, AgentTrace | Problem]] = []
    size = number = 0
    try:
        async for item in items:
            number += 1
            length = len(item) if isinstance(item, bytes) else 0
            if isinstance(item, bytes) and not item.strip():
                continue
            try:
                batch.append((number, await beside(partial(trace_of_item, item), length)))
            except InvalidTraceError as error:
                batch.append((number, problem_of(error)))
            size += length
            if len(batch) >= _AT_ONCE or size >= _BYTES_AT_ONCE:
                await _save_batch(state, batch, report)
                batch, size = [], 0
    except Problem as problem:
        await _save_batch(state, batch, report)
        report.stopped(number + 1, problem)
    else:
        await _save_batch(state, batch, report)


async def _save_batch(
    state: State, batch: list[tuple[int, AgentTrace | Problem]], report: _Report
) -> None:
    traces = [item for _, item in batch if isinstance(item, AgentTrace)]
    outcomes = iter(await state.store.save_each(traces) if traces else ())
    for number, item in batch:
        outcome = item if isinstance(item, Problem) else next(outcomes)
        if isinstance(outcome, Exception):
            report.refused(number, problem_of(outcome))
        else:
            report.saved(number, outcome)


class _Report:
    """What became of each line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._saved = self._refused = 0
        self._stopped = False

    def saved(self, number: int, run_id: str) -> None:
        self._saved += 1
        self._write({"line": number, "run_id": run_id, "saved": True})

    def refused(self, number: int, problem: Problem) -> None:
        self._refused += 1
        self._write({"line": number, "saved": False, "error": problem.as_dict()})

    def stopped(self, number: int, problem: Problem) -> None:
        self._stopped = True
        self.refused(number, problem)

    def end(self) -> None:
        self._write(
            {"saved": self._saved, "refused": self._refused, "is_complete": not self._stopped}
        )

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(dumps(line) + b"\n")


async def _sent(file: IO[bytes]) -> AsyncGenerator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece
