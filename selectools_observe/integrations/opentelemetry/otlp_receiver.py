"""The receiving end of OTLP/HTTP, for any web framework: the body of a request in, a reply out."""

from __future__ import annotations

import json
import logging
import os
import threading
import zlib
from collections.abc import Callable
from typing import ClassVar, Protocol, TypeAlias

import msgspec

from ...capture.saver import OnError
from ...model.limits import DEFAULT_LIMITS, LimitError, Limits
from ...protocols import AsyncTraceStore, TraceStore
from ...stores.delegating import innermost
from .assembler import SpanAssembler
from .from_spans import OtherSpans
from .joined_run import JoinsElsewhere
from .otlp import OtlpRequest, log_rejected
from .otlp_request import Signal, read_request
from .span_journal import SpanJournal

_JSON = "application/json"
_PROTOBUF = "application/x-protobuf"

log = logging.getLogger(__name__)

Told: TypeAlias = tuple[int, str]
"""How much of a request was refused, and what to say."""


class ReadsRequests(Protocol):
    """`read_request`, or what does the same elsewhere."""

    def __call__(
        self, signal: Signal, body: bytes, limits: Limits, *, is_json: bool
    ) -> OtlpRequest: ...


class OtlpReply(msgspec.Struct, frozen=True):
    """What to answer.

    Attributes:
        status: The HTTP status: 200, 400 (no such request; do not send it again), 413 (too large),
            415 (another encoding), 422 (it would become too much in memory), 503 (a save failed;
            send it again).
        content_type: That of the body.
        body: An ``ExportTraceServiceResponse``, or for an error a text in its place.
    """

    status: int
    content_type: str
    body: bytes


class OtlpReceiver:
    """Takes the requests of ``POST /v1/traces`` and saves runs, as `TraceStoreSpanExporter` does.

    Those of ``/v1/logs`` too: messages that are sent as log events are joined to their spans. Those
    of ``/v1/metrics`` are accepted and counted.

    Blocking, and safe to share between threads: call `receive` in a worker thread.

    Args:
        store: Where runs go, blocking or async; stays the caller's to close, after this.
        max_wait: How long spans wait for their root, seconds.
        max_idle: How long they wait at most when no more of them come.
        max_spans: How many spans wait at most.
        max_bytes: How large a body may be, unpacked.
        limits: What a body may become in memory.
        other_spans: What becomes of spans that are not of the GenAI conventions.
        journal: Where spans are written down that wait for the rest of their run, so that what was
            acknowledged outlives the process. True: in a folder ``<store>.spans``, if the store is
            in a file; False: nowhere; or a folder of your own, one for all receivers of a store.
        on_error: Called with the error and the run after a save that failed.
        read: Reads a body; a service has another process do it, as it may take long.
        elsewhere: Likewise, what puts large runs together.
    """

    def __init__(
        self,
        store: TraceStore | AsyncTraceStore,
        *,
        max_wait: float = 30.0,
        max_idle: float = 5.0,
        max_spans: int = 50_000,
        max_bytes: int = 64 * 2**20,
        limits: Limits = DEFAULT_LIMITS,
        other_spans: OtherSpans = "beside",
        journal: bool | str | os.PathLike[str] = True,
        on_error: OnError | None = None,
        read: ReadsRequests = read_request,
        elsewhere: JoinsElsewhere | None = None,
    ) -> None:
        path = _file_of(store)
        folder = (path and f"{path}.spans") if journal is True else journal
        self._gatherer = SpanAssembler(
            store,
            max_wait=max_wait,
            max_idle=max_idle,
            max_spans=max_spans,
            other_spans=other_spans,
            journal=SpanJournal(os.fspath(folder), path) if folder else None,
            on_error=on_error,
            elsewhere=elsewhere,
        )
        self._max_bytes = max_bytes
        self._limits = limits
        self._read = read
        self._unused = {"log_records": 0, "metrics": 0}
        self._counting = threading.Lock()
        # Threads that read bodies at once only compete for the interpreter.
        self._reading = threading.Lock()

    @property
    def unused(self) -> dict[str, int]:
        """What was accepted and is not stored: ``spans`` of traces without any GenAI attribute,
        ``log_records`` that are no messages, ``metrics``.
        """
        return {"spans": self._gatherer.unused, **self._unused}

    def receive(
        self,
        body: bytes,
        content_type: str = _PROTOBUF,
        content_encoding: str = "",
        *,
        signal: Signal = "traces",
    ) -> OtlpReply:
        """Take a request; say what to answer.

        Args:
            body: The body as it came.
            content_type: Its type.
            content_encoding: How it is compressed.
            signal: Which of OTLP's paths it came to: ``/v1/traces``, ``/v1/logs``, ``/v1/metrics``.
        """
        kind = _JSON if content_type.partition(";")[0].strip().lower() == _JSON else _PROTOBUF
        if content_encoding.lower() not in {"", "identity", "gzip", "deflate"}:
            return _error(415, f"the content encoding {content_encoding!r} is not supported")
        try:
            unpacked = self._unpacked(body, content_encoding.lower())
            if unpacked is None:
                return _error(413, f"the body is larger than {self._max_bytes} bytes")
            with self._reading:
                request = self._read(signal, unpacked, self._limits, is_json=kind == _JSON)
            del body, unpacked  # the spans are as large
            taken = self._take[signal](self, request)
        except LimitError as error:
            return _error(422, str(error))
        except (ValueError, zlib.error) as error:
            return _error(400, str(error))
        if taken is None:
            message = "not kept: a run could not be saved, or spans that wait not written down"
            return _error(503, f"{message}; the receiver's log says why")
        return OtlpReply(200, kind, _answer(kind, signal, *taken))

    def _take_spans(self, request: OtlpRequest) -> Told | None:
        log_rejected(request.rejected)
        if not self._gatherer.add(request.spans):
            return None
        if request.rejected:
            return len(request.rejected), request.rejected[0]
        spans, traces = self._gatherer.without_genai(record.trace_id for record in request.spans)
        if not spans:
            return 0, ""
        message = (
            f"{spans} spans of {traces} traces are not stored so far: no span of these traces has "
            "an attribute of the GenAI conventions (gen_ai.*) or of OpenInference"
        )
        log.info("%s", message)
        return 0, message

    def _take_logs(self, request: OtlpRequest) -> Told | None:
        if not self._gatherer.add(request.spans):
            return None
        self._count("log_records", request.unused)
        if request.rejected:
            return len(request.rejected), request.rejected[0]
        if not request.unused:
            return 0, ""
        message = f"{request.unused} log records are not stored: only messages of model calls are"
        return 0, message

    def _take_metrics(self, request: OtlpRequest) -> Told | None:
        self._count("metrics", request.unused)
        return 0, ""

    _take: ClassVar[dict[str, Callable[[OtlpReceiver, OtlpRequest], Told | None]]] = {
        "traces": _take_spans,
        "logs": _take_logs,
        "metrics": _take_metrics,
    }

    def _count(self, what: str, number: int) -> None:
        with self._counting:
            self._unused[what] += number

    def flush(self) -> bool:
        """Save all that waits for its root, as unfinished runs; return whether all is stored."""
        return self._gatherer.flush()

    def close(self) -> None:
        """Save all that waits for its root, as unfinished runs."""
        self._gatherer.close()

    def _unpacked(self, body: bytes, encoding: str) -> bytes | None:
        """The body; None if it is too large, which a small one may become."""
        if encoding in {"gzip", "deflate"}:
            wbits = zlib.MAX_WBITS | 16 if encoding == "gzip" else zlib.MAX_WBITS
            unpacker = zlib.decompressobj(wbits)
            body = unpacker.decompress(body, self._max_bytes + 1)
            if len(body) <= self._max_bytes and not unpacker.eof:
                raise ValueError("the compressed body is truncated")
        return body if len(body) <= self._max_bytes else None


def _file_of(store: object) -> str | None:
    path = getattr(innermost(store), "path", None)
    return path if isinstance(path, str) else None


def _error(status: int, text: str) -> OtlpReply:
    return OtlpReply(status, "text/plain; charset=utf-8", text.encode())


def _answer(kind: str, signal: Signal, rejected: int, message: str) -> bytes:
    if kind == _JSON:
        name = {"traces": "rejectedSpans", "logs": "rejectedLogRecords"}.get(signal, "")
        reported = {name: str(rejected), "errorMessage": message}
        return json.dumps({"partialSuccess": reported} if message else {}).encode()
    from .otlp_proto import protobuf_answer  # noqa: PLC0415 - JSON needs no protobuf

    return protobuf_answer(signal, rejected, message)
