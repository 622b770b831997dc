"""What OpenTelemetry's ``ConsoleSpanExporter`` prints: an object a span, one after another."""

from __future__ import annotations

from collections.abc import Iterable

from ..integrations.opentelemetry.spans import SpanEvent, SpanLink, SpanRecord
from .builders import an_object, objects, seconds
from .form import JSONForm, JSONObject
from .observations import hex_id, nanoseconds
from .span_runs import SpanReader


def _span(value: JSONObject) -> SpanRecord:
    context, status = value["context"], value.get("status")
    reported = status if isinstance(status, dict) else {"status_code": status}
    resource = value.get("resource")
    parent = value.get("parent_id")
    return SpanRecord(
        trace_id=hex_id(context["trace_id"], 32),
        span_id=hex_id(context["span_id"], 16),
        parent_span_id=hex_id(parent, 16) if parent else None,
        name=str(value.get("name") or ""),
        kind=str(value.get("kind") or "internal").removeprefix("SpanKind.").lower(),
        start_ns=nanoseconds(seconds(value.get("start_time"))),
        end_ns=nanoseconds(seconds(value.get("end_time"))),
        status=str(reported.get("status_code") or "unset").removeprefix("StatusCode.").lower(),
        status_message=str(reported.get("description") or ""),
        attributes=an_object(value.get("attributes")),
        events=[
            SpanEvent(
                str(event.get("name") or ""),
                nanoseconds(seconds(event.get("timestamp"))),
                an_object(event.get("attributes")),
            )
            for event in objects(value.get("events"))
        ],
        links=[
            SpanLink(
                hex_id(an_object(link.get("context")).get("trace_id"), 32),
                hex_id(an_object(link.get("context")).get("span_id"), 16),
                an_object(link.get("attributes")),
            )
            for link in objects(value.get("links"))
        ],
        resource=an_object(an_object(resource).get("attributes")),
    )


class _Reader(SpanReader):
    def _spans(self, value: JSONObject, _: str) -> Iterable[SpanRecord]:
        yield _span(value)


def _recognises(value: JSONObject) -> bool:
    context = value.get("context")
    return (
        isinstance(context, dict)
        and {"trace_id", "span_id"} <= context.keys()
        and {"kind", "start_time"} <= value.keys()
    )


FORM = JSONForm(
    "console",
    "output of ConsoleSpanExporter",
    _recognises,
    _Reader,
    ("name", "context", "kind", "parent_id", "start_time"),
    "OpenTelemetry's SDK for Python",
)
