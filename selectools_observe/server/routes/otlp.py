"""The routes that take OpenTelemetry's spans, logs and metrics: OTLP over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from ...model.limits import JsonScanner
from ..otlp_ingest import not_installed
from ..request_body import media_type
from ..responses import JSON, Problem
from ..state import state_of

if TYPE_CHECKING:
    from ...integrations.opentelemetry.otlp_request import Signal

PROTOBUF = "application/x-protobuf"

_KINDS = {
    400: "invalid_request",
    413: "too_large",
    415: "unsupported_media_type",
    422: "limit_exceeded",
}


async def take_spans(request: Request) -> Response:
    return await _take(request, "traces")


async def take_logs(request: Request) -> Response:
    return await _take(request, "logs")


async def take_metrics(request: Request) -> Response:
    return await _take(request, "metrics")


async def _take(request: Request, signal: Signal) -> Response:
    state = state_of(request)
    kind = media_type(request, {JSON, PROTOBUF}, f"Send {JSON} or {PROTOBUF}")
    receiver = state.telemetry.receiver()
    scanner = JsonScanner(state.limits) if kind == JSON else None
    async with (
        state.bodies.body(request, state.max_body, scanner) as body,
        # What a body holds is counted in the thread: a byte may be a value.
        state.bodies.decoding(min(len(body), state.limits.values), len(body)),
    ):
        try:
            whole = [body]
            del body  # the receiver lets go of it early
            reply = await anyio.to_thread.run_sync(
                lambda: receiver.receive(whole.pop(), kind, signal=signal)
            )
        except ImportError as error:
            raise not_installed(error) from error
    state.hub.hurry()
    if reply.status >= 400:
        headers = {"Retry-After": "5"} if reply.status == 503 else {}
        message = reply.body.decode()
        raise Problem(reply.status, _KINDS.get(reply.status, "busy"), message, None, headers)
    return Response(reply.body, reply.status, media_type=reply.content_type)
