"""OTLP's protobuf form, read and written."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...extras import needs
from ...model.json_values import dumps
from .otlp_json import IS_REMOTE, KNOWS_REMOTE
from .spans import SPAN_KINDS, STATUSES, LogEvent, SpanEvent, SpanLink, SpanRecord

with needs("otel", "OTLP in protobuf"):
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
        ExportLogsPartialSuccess,
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
    )
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTracePartialSuccess,
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )
    from opentelemetry.proto.common.v1.common_pb2 import (
        AnyValue,
        ArrayValue,
        InstrumentationScope,
        KeyValue,
        KeyValueList,
    )
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status


def spans_of_protobuf(body: bytes, reject: Callable[[str], None]) -> Iterator[SpanRecord]:
    """The spans of a request; what cannot be read is told to ``reject`` and left out.

    Raises:
        ValueError: It is no such request.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(f"the body is not an ExportTraceServiceRequest: {error}") from None
    for r, resource_spans in enumerate(request.resource_spans):
        resource = _attributes(resource_spans.resource.attributes)
        for s, scope_spans in enumerate(resource_spans.scope_spans):
            for n, span in enumerate(scope_spans.spans):
                if len(span.trace_id) == 16 and len(span.span_id) == 8:
                    yield _record(span, resource, scope_spans.scope)
                else:
                    at = f"resource_spans[{r}].scope_spans[{s}].spans[{n}]"
                    reject(f"{at} must have a trace_id of 16 bytes and a span_id of 8")


def logs_of_protobuf(body: bytes) -> Iterator[LogEvent]:
    """The log records of a request.

    Raises:
        ValueError: It is no such request.
    """
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(f"the body is not an ExportLogsServiceRequest: {error}") from None
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                reported = any(record.trace_id)
                yield LogEvent(
                    record.trace_id.hex() if reported else "",
                    record.span_id.hex() if reported and any(record.span_id) else "",
                    getattr(record, "event_name", ""),
                    record.time_unix_nano or record.observed_time_unix_nano,
                    _value(record.body),
                    _attributes(record.attributes),
                )


def _record(span: Span, resource: dict[str, Any], scope: InstrumentationScope) -> SpanRecord:
    known = span.flags & KNOWS_REMOTE != 0
    # All zero is none at all, as some senders write it.
    parent = span.parent_span_id.hex() if any(span.parent_span_id) else None
    return SpanRecord(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=parent,
        remote_parent=parent is not None and known and span.flags & IS_REMOTE != 0,
        name=span.name,
        kind=_at(SPAN_KINDS, span.kind),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=_at(STATUSES, span.status.code),
        status_message=span.status.message,
        attributes=_attributes(span.attributes),
        events=[
            SpanEvent(event.name, event.time_unix_nano, _attributes(event.attributes))
            for event in span.events
        ],
        links=[
            SpanLink(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes))
            for link in span.links
        ],
        scope=scope.name,
        scope_version=scope.version,
        resource=resource,
        trace_state=span.trace_state,
    )


def _at(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[0]


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: pair.value.string_value or _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:  # noqa: PLR0911 - one for each kind
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
    return None


def protobuf_of_spans(records: Iterable[SpanRecord]) -> bytes:
    """The request that sends these spans, which must be `sendable`."""
    by_source: dict[bytes, list[SpanRecord]] = defaultdict(list)
    for record in records:
        by_source[dumps([record.resource, record.scope, record.scope_version])].append(record)
    return ExportTraceServiceRequest(
        resource_spans=[_resource_spans(spans) for spans in by_source.values()]
    ).SerializeToString()


def _resource_spans(records: list[SpanRecord]) -> ResourceSpans:
    first = records[0]
    scope = InstrumentationScope(name=first.scope, version=first.scope_version)
    return ResourceSpans(
        resource=Resource(attributes=_pairs(first.resource)),
        scope_spans=[ScopeSpans(scope=scope, spans=[_span(record) for record in records])],
    )


def _span(record: SpanRecord) -> Span:
    parent = record.parent_span_id
    return Span(
        trace_id=bytes.fromhex(record.trace_id),
        span_id=bytes.fromhex(record.span_id),
        parent_span_id=bytes.fromhex(parent) if parent else b"",
        flags=KNOWS_REMOTE | (IS_REMOTE if record.remote_parent else 0),
        trace_state=record.trace_state,
        name=record.name,
        # The first two names are one: what is unspecified is internal.
        kind=Span.SpanKind.ValueType(max(SPAN_KINDS.index(record.kind, 1), 1)),
        start_time_unix_nano=record.start_ns,
        end_time_unix_nano=record.end_ns,
        attributes=_pairs(record.attributes),
        events=[
            Span.Event(
                name=event.name,
                time_unix_nano=event.time_ns,
                attributes=_pairs(event.attributes),
            )
            for event in record.events
        ],
        links=[
            Span.Link(
                trace_id=bytes.fromhex(link.trace_id),
                span_id=bytes.fromhex(link.span_id),
                attributes=_pairs(link.attributes),
            )
            for link in record.links
        ],
        status=Status(
            code=Status.StatusCode.ValueType(STATUSES.index(record.status)),
            message=record.status_message,
        ),
    )


def _pairs(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_any(value)) for name, value in attributes.items()]


def _any(value: Any) -> AnyValue:  # noqa: PLR0911 - one for each kind
    match value:
        case str():
            return AnyValue(string_value=value)
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[_any(item) for item in value]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=_pairs(value)))
    return AnyValue()


def protobuf_answer(signal: str, rejected: int, message: str) -> bytes:
    """The answer to a request: how much of it was refused, and what there is to say."""
    if signal == "metrics":
        return ExportMetricsServiceResponse().SerializeToString()
    if signal == "logs":
        logs = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
        reported = {"partial_success": logs} if message else {}
        return ExportLogsServiceResponse(**reported).SerializeToString()
    spans = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    said = {"partial_success": spans} if message else {}
    return ExportTraceServiceResponse(**said).SerializeToString()


def metrics_in_protobuf(body: bytes) -> int:
    """How many metrics a request has.

    Raises:
        ValueError: It is no such request.
    """
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(f"the body is not an ExportMetricsServiceRequest: {error}") from None
    return sum(len(s.metrics) for r in request.resource_metrics for s in r.scope_metrics)


def rejected_by(answer: bytes) -> tuple[int, str]:
    """How many spans the receiver refused, and why.

    Raises:
        ValueError: It is no such answer.
    """
    try:
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError as error:
        raise ValueError(str(error)) from None
    return partial.rejected_spans, partial.error_message
