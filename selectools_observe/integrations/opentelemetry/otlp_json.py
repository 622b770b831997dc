# ruff: noqa: TRY004 - whatever is wrong with a body, it is a ValueError
"""OTLP's JSON form as spans: lowerCamelCase names, hexadecimal ids, 64-bit integers as text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

from ...model.json_values import dumps
from .spans import SPAN_KINDS, STATUSES, SpanEvent, SpanLink, SpanRecord

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")
# Bits of a span's flags: whether it is known that the parent is remote, and whether it is.
KNOWS_REMOTE, IS_REMOTE = 0x100, 0x200


def is_object(body: bytes) -> bool:
    """Whether a body begins as a JSON object does; none of it is copied."""
    return _OBJECT.match(body) is not None


_OBJECT = re.compile(rb"\s*\{")


def spans_of_json(body: Any, reject: Callable[[str], None]) -> Iterator[SpanRecord]:
    """The spans of a request; what cannot be read is told to ``reject`` and left out.

    Raises:
        ValueError: It is no such request.
    """
    for r, resource_spans in enumerate(list_in(body, "resourceSpans", "the body")):
        place = f"resourceSpans[{r}]"
        resource = attributes_of(_dict(resource_spans, "resource", place), f"{place}.resource")
        for s, scope_spans in enumerate(list_in(resource_spans, "scopeSpans", place)):
            within = f"{place}.scopeSpans[{s}]"
            scope = _dict(scope_spans, "scope", within)
            for n, span in enumerate(list_in(scope_spans, "spans", within)):
                try:
                    yield _span(span, resource, scope, f"{within}.spans[{n}]")
                except ValueError as error:
                    reject(str(error))


def metrics_in_json(body: Any) -> int:
    """How many metrics a request has.

    Raises:
        ValueError: It is no such request.
    """
    return sum(
        len(list_in(scope, "metrics", "scopeMetrics"))
        for resource in list_in(body, "resourceMetrics", "the body")
        for scope in list_in(resource, "scopeMetrics", "resourceMetrics")
    )


def _span(span: Any, resource: dict[str, Any], scope: dict[str, Any], at: str) -> SpanRecord:
    if not isinstance(span, dict):
        raise ValueError(f"{at} is not an object")
    parent = span.get("parentSpanId")
    if isinstance(parent, str) and not parent.strip("0"):
        parent = None  # none at all, as some senders write it
    flags = number_in(span, "flags", at)
    status = _dict(span, "status", at)
    return SpanRecord(
        trace_id=_id(span.get("traceId"), _TRACE_ID, f"{at}.traceId"),
        span_id=_id(span.get("spanId"), _SPAN_ID, f"{at}.spanId"),
        parent_span_id=_id(parent, _SPAN_ID, f"{at}.parentSpanId") if parent else None,
        remote_parent=bool(parent) and flags & KNOWS_REMOTE != 0 and flags & IS_REMOTE != 0,
        name=str(span.get("name") or ""),
        kind=_named(span.get("kind"), SPAN_KINDS, "SPAN_KIND_"),
        start_ns=number_in(span, "startTimeUnixNano", at),
        end_ns=number_in(span, "endTimeUnixNano", at),
        status=_named(status.get("code"), STATUSES, "STATUS_CODE_"),
        status_message=str(status.get("message") or ""),
        attributes=attributes_of(span, at),
        events=[_event(event, at) for event in list_in(span, "events", at)],
        links=[_link(link, at) for link in list_in(span, "links", at)],
        scope=str(scope.get("name") or ""),
        scope_version=str(scope.get("version") or ""),
        resource=resource,
        trace_state=str(span.get("traceState") or ""),
    )


def _event(event: Any, at: str) -> SpanEvent:
    at = f"{at}.events"
    if not isinstance(event, dict):
        raise ValueError(f"{at} contains something that is not an object")
    time_ns = number_in(event, "timeUnixNano", at)
    return SpanEvent(str(event.get("name") or ""), time_ns, attributes_of(event, at))


def _link(link: Any, at: str) -> SpanLink:
    at = f"{at}.links"
    if not isinstance(link, dict):
        raise ValueError(f"{at} contains something that is not an object")
    trace_id = _id(link.get("traceId"), _TRACE_ID, f"{at}.traceId")
    span_id = _id(link.get("spanId"), _SPAN_ID, f"{at}.spanId")
    return SpanLink(trace_id, span_id, attributes_of(link, at))


def attributes_of(holder: dict[str, Any], at: str) -> dict[str, Any]:
    """The attributes of a span, an event, a resource or a log record.

    Raises:
        ValueError: They are of another form.
    """
    found = {}
    for pair in list_in(holder, "attributes", at):
        # What is empty may be left out in this form, a key too.
        key = pair.get("key") or "" if isinstance(pair, dict) else None
        if not isinstance(key, str):
            raise ValueError(f"{at}.attributes contains something that is not a key-value pair")
        found[key] = value_of(pair.get("value"), f"{at}.attributes[{key!r}]")
    return found


def value_of(value: Any, at: str) -> Any:  # noqa: PLR0911 - one for each kind
    """A value, of whatever kind it says.

    Raises:
        ValueError: It says none.
    """
    if not isinstance(value, dict):
        if value is None:
            return None
        raise ValueError(f"{at} is not an OTLP value such as {{'stringValue': 'text'}}")
    for kind, said in value.items():
        match kind:
            case "stringValue" | "boolValue":
                return said
            case "intValue":
                return _integer(said, at)
            case "doubleValue":
                return _float(said, at)
            case "bytesValue":
                return _base64(said, at)
            case "arrayValue":
                return [value_of(item, at) for item in list_in(said, "values", at)]
            case "kvlistValue":
                return attributes_of({"attributes": list_in(said, "values", at)}, at)
    return None


def list_in(holder: Any, name: str, at: str) -> list[Any]:
    """An array inside of an object; empty if it is absent.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(holder, dict):
        raise ValueError(f"{at} is not an object")
    found = holder.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ValueError(f"{at}: {name} must be an array")
    return found


def _dict(holder: Any, name: str, at: str) -> dict[str, Any]:
    found = holder.get(name) if isinstance(holder, dict) else None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{at}: {name} must be an object")
    return found


def _id(value: Any, form: re.Pattern[str], at: str) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if not form.fullmatch(text):
        digits = 32 if form is _TRACE_ID else 16
        raise ValueError(f"{at} must be {digits} hexadecimal digits, not all 0: {value!r}")
    return text


def number_in(holder: dict[str, Any], name: str, at: str) -> int:
    """A whole number inside of an object; 0 if it is absent.

    Raises:
        ValueError: It is something else.
    """
    value = holder.get(name)
    return 0 if value is None else _integer(value, f"{at}.{name}")


def _integer(value: Any, at: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{at} must be an integer: {value!r}") from None


def _float(value: Any, at: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{at} must be a number: {value!r}") from None


def _base64(value: Any, at: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"{at} must be base64: {dumps(value)!r}") from None
    return str(value)


def is_trace_id(value: object) -> bool:
    """Whether it is 32 hexadecimal digits, not all 0."""
    return isinstance(value, str) and _TRACE_ID.fullmatch(value.lower()) is not None


def is_span_id(value: object) -> bool:
    """Whether it is 16 hexadecimal digits, not all 0."""
    return isinstance(value, str) and _SPAN_ID.fullmatch(value.lower()) is not None


def _named(value: Any, names: tuple[str, ...], prefix: str) -> str:
    """What an enum's number, or its name, stands for."""
    if isinstance(value, str):
        name = value.removeprefix(prefix).lower()
        return name if name in names else names[0]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else names[0]
