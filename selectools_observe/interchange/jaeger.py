"""Traces of Jaeger as JSON: an answer of ``/api/traces``, or a download of its page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..integrations.opentelemetry.spans import SPAN_KINDS, SpanEvent, SpanLink, SpanRecord
from ..model.json_values import is_one_of
from ..model.limits import loads_limited
from .builders import an_object, objects
from .form import JSONForm, JSONObject
from .observations import hex_id
from .span_runs import SpanReader


def _traces(value: JSONObject) -> list[JSONObject]:
    rows = value.get("data")
    return objects(rows) if isinstance(rows, list) else [value]


def _spans(trace: JSONObject) -> Iterator[SpanRecord]:
    processes = trace.get("processes")
    for span in objects(trace.get("spans")):
        process = span.get("process")
        if not isinstance(process, dict):
            process = an_object(processes).get(str(span.get("processID")))
        yield _span(span, an_object(process))


def _span(span: JSONObject, process: JSONObject) -> SpanRecord:
    tags = _tags(span.get("tags"))
    trace_id = _id(span.get("traceID"), 32)
    parent, links = _references(span, trace_id)
    code = str(tags.pop("otel.status_code", "ERROR" if tags.get("error") is True else "UNSET"))
    if code == "ERROR":
        tags.pop("error", None)
    kind = str(tags.pop("span.kind", "internal"))
    began = int(span.get("startTime") or 0) * 1000
    return SpanRecord(
        trace_id=trace_id,
        span_id=_id(span.get("spanID"), 16),
        parent_span_id=parent,
        name=str(span.get("operationName") or ""),
        kind=kind if kind in SPAN_KINDS else "internal",
        start_ns=began,
        end_ns=began + int(span.get("duration") or 0) * 1000,
        status=code.lower(),
        status_message=str(tags.pop("otel.status_description", "")),
        scope=str(tags.pop("otel.scope.name", tags.pop("otel.library.name", ""))),
        scope_version=str(tags.pop("otel.scope.version", tags.pop("otel.library.version", ""))),
        attributes=tags,
        events=[_event(log) for log in objects(span.get("logs"))],
        links=links,
        resource={"service.name": process["serviceName"]} | _tags(process.get("tags"))
        if "serviceName" in process
        else _tags(process.get("tags")),
    )


def _references(span: JSONObject, trace_id: str) -> tuple[str | None, list[SpanLink]]:
    """The span that this one is inside of, and its links to others."""
    parent = _id(span["parentSpanID"], 16) if span.get("parentSpanID") else None
    links = []
    for reference in objects(span.get("references")):
        other = _id(reference.get("traceID"), 32), _id(reference.get("spanID"), 16)
        if parent is None and reference.get("refType") == "CHILD_OF" and other[0] == trace_id:
            parent = other[1]
        else:
            links.append(SpanLink(*other))
    return parent, links


def _id(value: Any, digits: int) -> str:
    """An id with the zeros in front that Jaeger leaves out."""
    return hex_id(str(value).zfill(digits), digits)


def _tags(tags: Any) -> JSONObject:
    return {str(tag.get("key")): _value(tag) for tag in objects(tags)}


def _value(tag: JSONObject) -> Any:
    """A tag's value; lists of OpenTelemetry's are JSON text in Jaeger."""
    value = tag.get("value")
    if is_one_of(tag.get("type"), {"int64", "float64"}) and isinstance(value, str):
        return int(value) if tag["type"] == "int64" else float(value)
    if isinstance(value, str) and value[:1] == "[":
        try:
            found = loads_limited(value)
        except ValueError:
            return value
        return found if isinstance(found, list) and not any(map(_nested, found)) else value
    return value


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _event(log: JSONObject) -> SpanEvent:
    fields = _tags(log.get("fields"))
    name = str(fields.pop("event", fields.pop("name", "")))
    return SpanEvent(name, int(log.get("timestamp") or 0) * 1000, fields)


class _Reader(SpanReader):
    def _spans(self, value: JSONObject, _: str) -> Iterable[SpanRecord]:
        for trace in _traces(value):
            yield from _spans(trace)


def _recognises(value: JSONObject) -> bool:
    first = next(iter(_traces(value)), {})
    return "traceID" in first and isinstance(first.get("spans"), list)


FORM = JSONForm(
    "jaeger",
    "traces of Jaeger",
    _recognises,
    _Reader,
    ("traceID", "spans", "processes"),
    "`/api/traces/ID`, *Download JSON* on its page",
)
