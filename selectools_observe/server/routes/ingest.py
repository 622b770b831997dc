"""The routes that save and delete runs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import IO, Any, TypeVar, cast

from starlette.requests import Request
from starlette.responses import Response

from ...backends.base import StoreCore
from ...errors import InvalidTraceError, TraceStoreError
from ...model.codec import LARGE, encode
from ...model.json_values import dumps, loads
from ...model.limits import JsonScanner, LimitError, check_json, check_run
from ...model.trace import AgentTrace
from ..query_params import parse
from ..request_body import media_type, too_much
from ..request_trace import trace_of, trace_of_value
from ..responses import JSON, NDJSON, Problem, Streamed, answer, problem_of, trace_not_found
from ..state import State, state_of
from .traces import run_id_of

_AT_ONCE = 64  # runs saved together
_BYTES_AT_ONCE = 4 * 1024 * 1024
_REPORT_IN_MEMORY = 1024 * 1024  # bytes; a longer one waits on the disk
_PIECE = 64 * 1024
_QUICK = 32 * 1024  # bytes of JSON that an event loop can spare the time to decode

T = TypeVar("T")

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
    hint = f"Send {JSON}: one run or an array; or {NDJSON}: a run a line"
    if media_type(request, {JSON, *_LINES}, hint) in _LINES:
        lines = state.bodies.lines(request, state.max_body)
        return await _save_each(state, lines, _Lines(state))
    return await _save_body(state, request)


async def _save_body(state: State, request: Request) -> Response:
    async with json_body(state, request) as (value, size):
        if isinstance(value, list):
            return await _save_each(state, _items(value), _Values(state))
        run = await _beside(state, lambda: _taken(state, trace_of_value(value)), size)
        run_id = await state.store.save(run)
    state.hub.hurry()
    return answer({"run_id": run_id}, 201)


@contextlib.asynccontextmanager
async def json_body(state: State, request: Request) -> AsyncIterator[tuple[Any, int]]:
    """The JSON value of a body, and its size in bytes, which count as held meanwhile.

    Raises:
        Problem: It is not JSON, or too large, or would become too much.
    """
    scanner = JsonScanner(state.limits)
    async with (
        state.bodies.body(request, state.max_body, scanner) as body,
        state.bodies.decoding(scanner.values, len(body)),
    ):
        yield await _beside(state, partial(_json_of, body), len(body)), len(body)


def _json_of(body: bytes) -> Any:
    try:
        return loads(body)
    except ValueError as error:
        raise Problem(400, "invalid_request", f"The body is not JSON: {error!s:.200}") from None


def _taken(state: State, trace: AgentTrace) -> AgentTrace:
    """The run as the store takes it. One of ours would encode it on the event loop."""
    check_run(trace, state.limits)
    is_ours = isinstance(state.store, StoreCore)
    return cast("AgentTrace", encode(trace)) if is_ours else trace


async def _beside(state: State, work: Callable[[], T], size: int) -> T:
    """Do work on this many bytes, in a thread if it takes long."""
    return await state.bodies.working(work) if size > _QUICK else work()


async def _items(values: list[Any]) -> AsyncIterator[tuple[int, Any]]:
    for number, value in enumerate(values, 1):
        yield number, value


class _Lines:
    """Runs of lines, decoded when it is their turn."""

    def __init__(self, state: State) -> None:
        self._state = state

    def trace_of(self, line: bytes | LimitError) -> AgentTrace:
        if isinstance(line, LimitError):
            raise line
        check_json(line, self._state.limits)
        return trace_of(line)

    def size_of(self, line: bytes | LimitError) -> int:
        return len(line) if isinstance(line, bytes) else 0

    def turn(
        self, lines: Sequence[bytes | LimitError]
    ) -> contextlib.AbstractAsyncContextManager[None]:
        texts = [line for line in lines if isinstance(line, bytes)]
        values = sum(text.count(mark) for text in texts for mark in (b",", b"[", b"{"))
        return self._state.bodies.decoding(values, sum(map(len, texts)))


class _Values:
    """Runs of an array, which is decoded already."""

    def __init__(self, state: State) -> None:
        self._state = state

    def trace_of(self, value: Any) -> AgentTrace:
        return trace_of_value(value)

    def size_of(self, value: object) -> int:  # noqa: ARG002 - nobody knows, so it may be large
        return LARGE

    def turn(self, values: Sequence[Any]) -> contextlib.AbstractAsyncContextManager[None]:  # noqa: ARG002
        return contextlib.nullcontext()


async def _save_each(
    state: State, items: AsyncIterator[tuple[int, Any]], kind: _Lines | _Values
) -> Response:
    """Save item by item. The report is sent when all is read: clients read nothing before."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(_REPORT_IN_MEMORY)  # noqa: SIM115 - sent later
    report = _Report(file)
    try:
        await _take_all(state, items, kind, report)
    except BaseException:
        file.close()
        raise
    finally:
        state.hub.hurry()
    report.end()
    return Streamed(_sent(file), NDJSON)


async def _take_all(
    state: State,
    items: AsyncIterator[tuple[int, Any]],
    kind: _Lines | _Values,
    report: _Report,
) -> None:
    batch: list[tuple[int, Any]] = []
    size = number = 0
    try:
        async for number, item in items:
            batch.append((number, item))
            size += kind.size_of(item)
            if len(batch) >= _AT_ONCE or size >= _BYTES_AT_ONCE:
                await _take_batch(state, batch, size, kind, report)
                batch, size = [], 0
    except Problem as problem:
        if number == 0:  # nothing was taken, and there is nothing to report
            raise
        await _take_batch(state, batch, size, kind, report)
        report.stopped(number + 1, problem)
    else:
        await _take_batch(state, batch, size, kind, report)


async def _take_batch(
    state: State,
    batch: Sequence[tuple[int, Any]],
    size: int,
    kind: _Lines | _Values,
    report: _Report,
) -> None:
    def decoded() -> list[tuple[int, AgentTrace | Problem]]:
        return [(number, _run_or_problem(state, kind, item)) for number, item in batch]

    if batch:
        async with kind.turn([item for _, item in batch]):
            await _save_batch(state, await _beside(state, decoded, size), report)


def _run_or_problem(state: State, kind: _Lines | _Values, item: Any) -> AgentTrace | Problem:
    try:
        return _taken(state, kind.trace_of(item))
    except LimitError as error:
        return too_much(error)
    except InvalidTraceError as error:
        return problem_of(error)


async def _save_batch(
    state: State, batch: Sequence[tuple[int, AgentTrace | Problem]], report: _Report
) -> None:
    traces = [item for _, item in batch if not isinstance(item, Problem)]
    outcomes = iter(await _saved_or_refused(state, traces) if traces else ())
    for number, item in batch:
        outcome = item if isinstance(item, Problem) else next(outcomes)
        if isinstance(outcome, Exception):
            report.refused(number, problem_of(outcome))
        else:
            report.saved(number, outcome)


async def _saved_or_refused(
    state: State, traces: Sequence[AgentTrace]
) -> Sequence[str | TraceStoreError]:
    """For each run its id, or why it was not saved."""
    try:
        return await state.store.save_many(traces)
    except InvalidTraceError:
        return [await _save_one(state, trace) for trace in traces]
    except TraceStoreError as error:
        return [error] * len(traces)


async def _save_one(state: State, trace: AgentTrace) -> str | TraceStoreError:
    try:
        return await state.store.save(trace)
    except TraceStoreError as error:
        return error


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
