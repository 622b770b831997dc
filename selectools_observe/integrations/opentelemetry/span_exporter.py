"""The SDK's end: a span exporter that keeps runs in a trace store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ...capture.foreign_values import plain_of
from ...capture.saver import OnError
from ...extras import needs
from ...model.json_values import plain
from ...model.trace import AgentTrace
from ...protocols import AsyncTraceStore, TraceStore
from .assembler import SpanAssembler
from .from_spans import OtherSpans
from .spans import SpanEvent, SpanLink, SpanRecord

with needs("otel", "TraceStoreSpanExporter"):
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import (
        SpanContext,
        SpanKind,
        StatusCode,
        format_span_id,
        format_trace_id,
    )

log = logging.getLogger(__name__)


class TraceStoreSpanExporter(SpanExporter):
    """Keeps the runs that spans tell of, for the SDK's span processors, batch and simple.

    A run is saved when its root span has come. Spans without their root are saved as an unfinished
    run (``metadata["unfinished"]``) after ``max_idle`` or ``max_wait``, when more than
    ``max_spans`` wait, and by `force_flush` and `shutdown`; what comes later is put to it. A span
    that cannot be read, or a save that fails, is logged and counted, never raised.

    Args:
        store: Where runs go, blocking or async; not closed here; close it after the tracer provider
            was shut down.
        max_wait: How long spans wait for their root, seconds.
        max_idle: How long they wait at most when no more of them come.
        max_spans: How many spans wait at most.
        other_spans: What becomes of spans inside a run that are not of the GenAI conventions, an
            HTTP call for one: ``"beside"`` keeps them in ``extra["otel"]["spans"]`` of the run,
            ``"steps"`` makes steps of them, ``"drop"`` leaves them out.
        on_error: Called with the error and the run after a save that failed, and for spans that
            cannot be read.

    Raises:
        TypeError: It is not a store.
        ValueError: A limit is not positive, or ``other_spans`` is none of the three.
    """

    def __init__(
        self,
        store: TraceStore | AsyncTraceStore,
        *,
        max_wait: float = 30.0,
        max_idle: float = 5.0,
        max_spans: int = 50_000,
        other_spans: OtherSpans = "beside",
        on_error: OnError | None = None,
    ) -> None:
        self._gatherer = SpanAssembler(
            store,
            max_wait=max_wait,
            max_idle=max_idle,
            max_spans=max_spans,
            other_spans=other_spans,
            on_error=on_error,
        )
        self._unread = 0
        self._closed = False

    @property
    def saved(self) -> int:
        """How many saves were good; a run that was put together in two counts twice."""
        return self._gatherer.saver.saved

    @property
    def failed(self) -> int:
        """How many saves failed, and how many spans could not be read or came after shutdown."""
        return self._gatherer.saver.failed + self._gatherer.unread + self._unread

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take finished spans."""
        if self._closed:
            self._unread += len(spans)
            log.error("%d spans came after the exporter was shut down", len(spans))
            return SpanExportResult.FAILURE
        records = [record for record in map(self._read, spans) if record is not None]
        try:
            good = self._gatherer.add(records)
        except Exception as error:  # noqa: BLE001 - attributes may be anything
            self._lost(error, [record.trace_id for record in records])
            return SpanExportResult.FAILURE
        return (
            SpanExportResult.SUCCESS
            if good and len(records) == len(spans)
            else SpanExportResult.FAILURE
        )

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Save all that waits for its root, as unfinished runs; return whether all is stored."""
        return self._gatherer.flush()

    def shutdown(self) -> None:
        """Save all that waits for its root, as unfinished runs."""
        self._closed = True
        self._gatherer.close()

    def _read(self, span: ReadableSpan) -> SpanRecord | None:
        try:
            return record_of(span)
        except Exception as error:  # noqa: BLE001 - attributes may be anything
            self._lost(error, [_trace_id(span)])
            return None

    def _lost(self, error: Exception, trace_ids: Sequence[str]) -> None:
        """Count spans that cannot be read, and tell whoever wants to know, once a trace."""
        self._unread += len(trace_ids)
        for trace_id in dict.fromkeys(trace_ids):
            trace = AgentTrace(run_id=trace_id)
            self._gatherer.saver.tell(error, trace, "a span of run %r is lost")


def _trace_id(span: ReadableSpan) -> str:
    try:
        return format_trace_id(span.context.trace_id) if span.context else "unknown"
    except Exception:  # noqa: BLE001 - as above
        return "unknown"


def record_of(span: ReadableSpan) -> SpanRecord:
    """A span of the SDK as a record.

    Raises:
        ValueError: It has no context.
    """
    if span.context is None:
        raise ValueError("the span has no context")
    parent: SpanContext | None = span.parent
    scope = span.instrumentation_scope
    return SpanRecord(
        trace_id=format_trace_id(span.context.trace_id),
        span_id=format_span_id(span.context.span_id),
        parent_span_id=None if parent is None else format_span_id(parent.span_id),
        remote_parent=parent is not None and parent.is_remote,
        name=span.name,
        kind=_KINDS[span.kind],
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status=_STATUSES[span.status.status_code],
        status_message=span.status.description or "",
        attributes=_values(span.attributes),
        events=[
            SpanEvent(event.name, event.timestamp, _values(event.attributes))
            for event in span.events
        ],
        links=[
            SpanLink(
                format_trace_id(link.context.trace_id),
                format_span_id(link.context.span_id),
                _values(link.attributes),
            )
            for link in span.links
        ],
        scope=scope.name if scope is not None else "",
        scope_version=(scope.version or "") if scope is not None else "",
        resource=_resource_values(span.resource),
        trace_state=span.context.trace_state.to_header() if span.context.trace_state else "",
    )


def _values(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Attributes as plain JSON values: arrays are tuples there."""
    return {
        name: value if type(value) in _PLAIN else _plain(value)
        for name, value in (attributes or {}).items()
    }


def _resource_values(resource: Resource) -> dict[str, Any]:
    """The attributes of a resource, which all spans of a provider share."""
    global _last_resource  # noqa: PLW0603 - the provider's own, as long as there is one
    known, values = _last_resource
    if known is not resource:
        values = _values(resource.attributes)
        _last_resource = resource, values
    return values


_last_resource: tuple[Resource | None, dict[str, Any]] = (None, {})
_KINDS = {kind: kind.name.lower() for kind in SpanKind}
_STATUSES = {status: status.name.lower() for status in StatusCode}


def _plain(value: Any) -> Any:
    try:
        return plain(value)
    except Exception:  # noqa: BLE001 - attributes may be anything
        return plain_of(value)


_PLAIN = frozenset({str, int, float, bool})
