"""The routes that save and delete runs."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import IO, Any, TypeVar, cast

from starlette.requests import Request
from starlette.responses import Response

from ...backends.base import StoreCore
from ...errors import InvalidTraceError, TraceStoreError
from ...model.codec import EncodedTrace, decode_in_pieces
from ...model.json_values import dumps, loads
from ...model.limits import JsonScanner, LimitError
from ...model.trace import AgentTrace
from ..body_work import Encode, Split
from ..query_params import parse
from ..request_body import media_type, too_much
from ..request_trace import TEXT
from ..responses import JSON, NDJSON, Problem, Streamed, answer, problem_of, trace_not_found
from ..state import State, state_of
from .traces import run_id_of

_AT_ONCE = 64  # runs saved together
_BYTES_AT_ONCE = 4 * 1024 * 1024
_REPORT_IN_MEMORY = 1024 * 1024  # bytes; a longer one waits on the disk
_PIECE = 64 * 1024
_QUICK = 32 * 1024  # bytes of JSON that an event loop can spare the time to decode
_BLANKS = b" \t\r\n"

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
        return await _save_each(state, lines)
    return await _save_body(state, request)


async def _save_body(state: State, request: Request) -> Response:
    scanner = JsonScanner(state.limits)
    async with (
        state.bodies.body(request, state.max_body, scanner) as body,
        state.bodies.decoding(scanner.values, len(body)),
    ):
        is_array = body.lstrip(_BLANKS)[:1] == b"["
        if not is_array:
            (run,) = await _runs_of(state, [body])
            del body  # the run is as large
            if isinstance(run, Exception):
                raise run
            run_id = await state.store.save(run)
            state.hub.hurry()
            return answer({"run_id": run_id}, 201)
        items = await _beside(state, partial(_items_of, state, body), len(body))
    return await _save_each(state, _numbered(items))


def _items_of(state: State, body: bytes) -> list[bytes]:
    try:
        return [item for lot in state.bodies.answers(Split(), body) for item in lot]
    except LimitError as error:
        raise too_much(error) from None
    except ValueError as error:
        raise _not_json(error) from None


def _not_json(error: object) -> Problem:
    return Problem(400, "invalid_request", f"The body is not JSON: {error!s:.200}")


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
        raise _not_json(error) from None


async def _beside(state: State, work: Callable[[], T], size: int) -> T:
    """Do work on this many bytes, in a thread if it takes long."""
    return await state.bodies.working(work) if size > _QUICK else work()


async def _numbered(items: Sequence[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    for number, item in enumerate(items, 1):
        yield number, item


async def _save_each(
    state: State, lines: AsyncIterator[tuple[int, bytes | LimitError]]
) -> Response:
    """Save line by line. The report is sent when all is read: clients read nothing before."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(_REPORT_IN_MEMORY)  # noqa: SIM115 - sent later
    report = _Report(file)
    try:
        await _take_all(state, lines, report)
    except BaseException:
        file.close()
        raise
    finally:
        state.hub.hurry()
    report.end()
    return Streamed(_sent(file), NDJSON)


async def _take_all(
    state: State, lines: AsyncIterator[tuple[int, bytes | LimitError]], report: _Report
) -> None:
    batch: list[tuple[int, bytes | LimitError]] = []
    size = number = 0
    try:
        async for number, line in lines:
            batch.append((number, line))
            size += len(line) if isinstance(line, bytes) else 0
            if len(batch) >= _AT_ONCE or size >= _BYTES_AT_ONCE:
                await _take_batch(state, batch, report)
                batch, size = [], 0
                if report.refusals > state.limits.refused:
                    raise too_much(LimitError("refused", state.limits.refused))
    except Problem as problem:
        if number == 0:  # nothing was taken, and there is nothing to report
            raise
        await _take_batch(state, batch, report)
        report.stopped(number + 1, problem)
    else:
        await _take_batch(state, batch, report)


async def _take_batch(
    state: State, batch: Sequence[tuple[int, bytes | LimitError]], report: _Report
) -> None:
    if batch:
        lines = [line for _, line in batch]
        texts = [line for line in lines if isinstance(line, bytes)]
        values = sum(text.count(mark) for text in texts for mark in (b",", b"[", b"{"))
        async with state.bodies.decoding(values, sum(map(len, texts))):
            runs = await _runs_of(state, lines)
            numbered = [(number, run) for (number, _), run in zip(batch, runs, strict=True)]
            await _save_batch(state, numbered, report)
        await asyncio.sleep(0)  # thousands may have come at once, and wait for no store


async def _runs_of(state: State, lines: Sequence[bytes | LimitError]) -> list[AgentTrace | Problem]:
    """The run of each line, or why it is none."""
    size = sum(len(line) for line in lines if isinstance(line, bytes))
    return await _beside(state, partial(_decoded, state, lines), size)


def _decoded(state: State, lines: Sequence[bytes | LimitError]) -> list[AgentTrace | Problem]:
    texts = [line for line in lines if isinstance(line, bytes)]
    asked = Encode([len(text) for text in texts], state.limits)
    answers: Iterator[EncodedTrace | Exception] = state.bodies.answers(asked, b"".join(texts))
    runs: list[AgentTrace | Problem] = []
    for line in lines:
        try:
            run = next(answers) if isinstance(line, bytes) else line
        except LimitError as error:  # of what follows nothing is known
            answers, run = repeat(error), error
        runs.append(_run_or_problem(state, run))
    return runs


def _run_or_problem(state: State, run: EncodedTrace | Exception) -> AgentTrace | Problem:
    if isinstance(run, EncodedTrace):
        # A store of ours takes it as it is: to encode it again would take as long again.
        is_ours = isinstance(state.store, StoreCore)
        return cast("AgentTrace", run) if is_ours else decode_in_pieces(run.trace)
    if isinstance(run, LimitError):
        return too_much(run)
    if isinstance(run, InvalidTraceError) and run.path == TEXT:
        return _not_json(run.reason)
    return problem_of(run)


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
        self._saved = self.refusals = 0
        self._stopped = False

    def saved(self, number: int, run_id: str) -> None:
        self._saved += 1
        self._write({"line": number, "run_id": run_id, "saved": True})

    def refused(self, number: int, problem: Problem) -> None:
        self.refusals += 1
        self._write({"line": number, "saved": False, "error": problem.as_dict()})

    def stopped(self, number: int, problem: Problem) -> None:
        self._stopped = True
        self.refused(number, problem)

    def end(self) -> None:
        self._write(
            {"saved": self._saved, "refused": self.refusals, "is_complete": not self._stopped}
        )

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(dumps(line) + b"\n")


async def _sent(file: IO[bytes]) -> AsyncGenerator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece
