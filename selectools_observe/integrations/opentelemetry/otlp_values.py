"""What OTLP can say of a value: no lone surrogates, no integers beyond 64 bits, no absent ones."""

from __future__ import annotations

from typing import Any

import msgspec

from ...model.json_values import json_text
from .spans import SpanEvent, SpanLink, SpanRecord


def sendable(record: SpanRecord) -> SpanRecord:
    """The span as a receiver will see it."""
    return msgspec.structs.replace(
        record,
        partial=False,  # OTLP has no place for it
        name=_text(record.name),
        status_message=_text(record.status_message),
        scope=_text(record.scope),
        scope_version=_text(record.scope_version),
        trace_state=_text(record.trace_state),
        attributes=_attributes(record.attributes),
        resource=_attributes(record.resource),
        events=[
            SpanEvent(_text(event.name), event.time_ns, _attributes(event.attributes))
            for event in record.events
        ],
        links=[
            SpanLink(link.trace_id, link.span_id, _attributes(link.attributes))
            for link in record.links
        ],
    )


def _attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        _text(name): sendable_value(value)
        for name, value in attributes.items()
        if value is not None
    }


def sendable_value(value: Any) -> Any:
    """The value of an attribute as a receiver will see it."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [sendable_value(item) for item in value]
    if isinstance(value, dict):
        return _attributes(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return json_text(value)
    return value


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
