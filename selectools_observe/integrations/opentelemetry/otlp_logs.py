"""The body of a ``POST /v1/logs`` request: messages of model calls that are sent as log events.

The official GenAI instrumentations report messages this way unless they are told otherwise. Such a
log record names the span that it belongs to; here it becomes an event of that span, whichever of
the two comes first. So do results of evaluations, which may name a trace alone. All other log
records are counted and not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...model.json_values import loads
from ...model.limits import DEFAULT_LIMITS, Limits
from .evaluations import EVALUATION
from .otlp import OtlpRequest
from .otlp_json import (
    attributes_of,
    is_object,
    is_span_id,
    is_trace_id,
    list_in,
    number_in,
    value_of,
)
from .otlp_limits import check_otlp, says_the_limit
from .semconv import DETAIL_EVENTS, MESSAGE_EVENTS
from .spans import LOG_MARK, LogEvent, SpanEvent, SpanRecord


def read_logs(
    body: bytes | str | dict[str, Any], *, limits: Limits = DEFAULT_LIMITS
) -> OtlpRequest:
    """The events of an ``ExportLogsServiceRequest`` that belong to model calls or tools.

    Raises:
        ValueError: It is no such request, or would become too much (`LimitError`).
        ImportError: It is protobuf and opentelemetry-proto is not installed.
    """
    is_json = not isinstance(body, bytes) or is_object(body)
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if isinstance(body, bytes):
        check_otlp(body, limits, is_json=is_json, message="log_request")
    rejected: list[str] = []
    if isinstance(body, bytes) and not is_json:
        from .otlp_proto import logs_of_protobuf  # noqa: PLC0415 - JSON needs no protobuf

        with says_the_limit(body, limits, "log_request"):
            return _sorted_out(logs_of_protobuf(body), rejected)
    if isinstance(body, bytes):
        try:
            body = loads(body)
        except ValueError as error:
            raise ValueError(f"the body is not JSON: {error}") from None
    return _sorted_out(_logs_of_json(body, rejected), rejected)


def _sorted_out(logs: Iterator[LogEvent], rejected: list[str]) -> OtlpRequest:
    spans: dict[tuple[str, str], SpanRecord] = {}
    unused = 0
    for log in logs:
        name = log.name or str(log.attributes.get("event.name") or "")
        evaluates = name == EVALUATION and log.trace_id  # of a trace as a whole, without a span
        if not evaluates and not (log.trace_id and log.span_id and _is_genai(name)):
            unused += 1
            continue
        key = log.trace_id, log.span_id
        record = spans.setdefault(key, SpanRecord(*key, partial=True, events=[]))
        record.events.append(SpanEvent(name, log.time_ns, _said(log)))
    return OtlpRequest(list(spans.values()), rejected, unused)


def _is_genai(name: str) -> bool:
    return name in MESSAGE_EVENTS or name in DETAIL_EVENTS


def _said(log: LogEvent) -> dict[str, Any]:
    body = log.body if isinstance(log.body, dict) else {}
    if log.body is not None and not isinstance(log.body, dict):
        body = {"content": log.body}
    others = {name: value for name, value in log.attributes.items() if name != "event.name"}
    return others | body | {LOG_MARK: True}


def _logs_of_json(body: Any, rejected: list[str]) -> Iterator[LogEvent]:
    for r, resource_logs in enumerate(list_in(body, "resourceLogs", "the body")):
        for s, scope_logs in enumerate(list_in(resource_logs, "scopeLogs", f"resourceLogs[{r}]")):
            within = f"resourceLogs[{r}].scopeLogs[{s}]"
            for n, record in enumerate(list_in(scope_logs, "logRecords", within)):
                at = f"{within}.logRecords[{n}]"
                try:
                    yield _log(record, at)
                except ValueError as error:
                    rejected.append(str(error))


def _log(record: Any, at: str) -> LogEvent:
    attributes = attributes_of(record, at)
    trace_id, span_id = record.get("traceId") or "", record.get("spanId") or ""
    reported = is_trace_id(trace_id)
    return LogEvent(
        trace_id.lower() if reported else "",
        span_id.lower() if reported and is_span_id(span_id) else "",
        str(record.get("eventName") or ""),
        number_in(record, "timeUnixNano", at) or number_in(record, "observedTimeUnixNano", at),
        value_of(record.get("body"), at),
        attributes,
    )
