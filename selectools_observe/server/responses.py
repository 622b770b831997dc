"""Responses: JSON, and one shape of errors."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator
from datetime import datetime

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..errors import (
    CorruptTraceError,
    InvalidTraceError,
    StorageError,
    StoreClosedError,
    TraceNotFoundError,
    TraceStoreError,
)
from ..model import timestamps
from ..model.json_values import dumps

log = logging.getLogger(__name__)

JSON = "application/json"
NDJSON = "application/x-ndjson"


class Problem(Exception):  # noqa: N818 - it is one of the client, told as an answer
    """What a client is told instead of an answer.

    Attributes:
        status: The HTTP status.
        kind: The error's ``type``, for programs.
        message: What is wrong, for people; names nothing of the server's file system.
        hint: What to do about it.
        headers: Headers that belong to the status.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        hint: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.hint = hint
        self.headers = headers or {}

    def as_dict(self) -> dict[str, str]:
        """The value of ``error``."""
        reported = {"type": self.kind, "message": self.message}
        return reported if self.hint is None else {**reported, "hint": self.hint}

    def response(self) -> Response:
        """OK."""
        return answer({"error": self.as_dict()}, self.status, self.headers)


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A value as a JSON answer."""
    return Response(dumps(value), status, headers, JSON)


class Streamed(StreamingResponse):
    """An answer in pieces, whose source is let go of at once when the client goes away."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        kind: str,
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(pieces, status, headers, kind)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._pieces):
            await super().__call__(scope, receive, send)


def problem_of(error: Exception) -> Problem:
    """What to tell of an exception; what only the server may know goes to its log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, TraceNotFoundError):
        return trace_not_found(error.run_id)
    if isinstance(error, InvalidTraceError):
        return Problem(422, "invalid_trace", str(error))
    if isinstance(error, CorruptTraceError):
        log.error("%s", error)
        message = f"Run {_shortened(error.run_id)} is stored but cannot be read"
        return Problem(500, "corrupt_trace", message, "See the server's log")
    if isinstance(error, TraceStoreError):
        return _of_store(error)
    log.error("A request failed: %r", error, exc_info=error)
    return Problem(500, "internal_error", "Internal server error", "See the server's log")


def trace_not_found(run_id: object) -> Problem:
    """The answer for a run that is not stored."""
    return Problem(404, "trace_not_found", f"Run {_shortened(run_id)} not found")


def _of_store(error: TraceStoreError) -> Problem:
    log.error("%s", error)
    if isinstance(error, StoreClosedError):
        return Problem(503, "storage_unavailable", "The store is closed")
    message = "The store is unavailable"
    if isinstance(error, StorageError):
        # What stands in brackets is the system's own text, which may name a file.
        said = error.problem.partition(" (")[0]
        message = message if "/" in said or "\\" in said else f"The store is unavailable: {said}"
    hint = "Try again later; see the server's log"
    return Problem(503, "storage_unavailable", message, hint, {"Retry-After": "5"})


def _shortened(run_id: object) -> str:
    return f"{run_id!r:.200}"


def moment_text(moment: datetime) -> str:
    """An instant as answers write it: RFC 3339, UTC, microseconds."""
    return timestamps.to_text(moment).replace("+00:00", "Z")
