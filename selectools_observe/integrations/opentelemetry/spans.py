"""A span as both sides see it: read from the SDK or from OTLP, kept in a run, sent as OTLP."""

from __future__ import annotations

from typing import Any

import msgspec


class SpanEvent(msgspec.Struct, omit_defaults=True):
    """Something that happened during a span.

    Attributes:
        name: Its name, such as ``exception``.
        time_ns: When, nanoseconds since the epoch.
        attributes: What is said about it.
    """

    name: str
    time_ns: int = 0
    attributes: dict[str, Any] = {}


class SpanLink(msgspec.Struct, omit_defaults=True):
    """A relation to another span.

    Attributes:
        trace_id: The other's trace, 32 hexadecimal digits.
        span_id: The other span, 16 hexadecimal digits.
        attributes: What is said about the relation.
    """

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class SpanRecord(msgspec.Struct, omit_defaults=True):
    """A finished span.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        name: The span's name.
        start_ns: When it began, nanoseconds since the epoch.
        end_ns: When it ended.
        parent_span_id: The span it belongs to; None for the root.
        remote_parent: That span is one of another process.
        kind: ``internal``, ``server``, ``client``, ``producer`` or ``consumer``.
        status: ``unset``, ``ok`` or ``error``.
        status_message: What was said with the status.
        attributes: What is said about the span, JSON values.
        events: What happened during it.
        links: Its relations to other spans.
        scope: Who made it: the instrumentation's name.
        scope_version: The instrumentation's version.
        resource: What is said about the process it ran in.
        trace_state: The W3C trace state, as text.
        partial: Only the events are known: they came as logs, and the span has not.
    """

    trace_id: str
    span_id: str
    name: str = ""
    start_ns: int = 0
    end_ns: int = 0
    parent_span_id: str | None = None
    remote_parent: bool = False
    kind: str = "internal"
    status: str = "unset"
    status_message: str = ""
    attributes: dict[str, Any] = {}
    events: list[SpanEvent] = []
    links: list[SpanLink] = []
    scope: str = ""
    scope_version: str = ""
    resource: dict[str, Any] = {}
    trace_state: str = ""
    partial: bool = False

    def __post_init__(self) -> None:
        if self.parent_span_id == self.span_id:  # none is in itself
            self.parent_span_id, self.remote_parent = None, False


def joined(one: SpanRecord | None, other: SpanRecord) -> SpanRecord:
    """One record of two of the same span, the other being the later: with the events of both."""
    if one is None:
        return other
    first = one if other.partial and not one.partial else other
    second = other if first is one else one
    more = [event for event in second.events if event not in first.events]
    if not more or not (one.partial or other.partial or has_logs(second)):
        return first
    return msgspec.structs.replace(first, events=[*first.events, *more])


def has_logs(record: SpanRecord) -> bool:
    """Whether events were joined to it that came as logs."""
    return any(LOG_MARK in event.attributes for event in record.events)


LOG_MARK = "selectools_observe.log"
"""An attribute of an event that came as a log record."""

# In the order of OTLP's numbers.
SPAN_KINDS = ("internal", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")


# msgspec leaves out a text only if it is the default itself, and not one equal to it.
_DEFAULT_TEXTS = {
    field.name: field.default
    for field in msgspec.structs.fields(SpanRecord)
    if isinstance(field.default, str)
}


def to_plain(record: SpanRecord) -> dict[str, Any]:
    """The record as JSON values, without what is at its default."""
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return {name: plain[name] for name in plain if plain[name] != _DEFAULT_TEXTS.get(name)}


def from_plain(data: object) -> SpanRecord:
    """The record that `to_plain` wrote.

    Raises:
        msgspec.ValidationError: It is none.
    """
    return msgspec.convert(data, SpanRecord)


class LogEvent(msgspec.Struct):
    """A log record as OTLP has it, of either form.

    Attributes:
        trace_id: 32 hexadecimal digits; empty if it belongs to no span.
        span_id: 16 hexadecimal digits.
        name: The event's name.
        time_ns: When, nanoseconds since the epoch.
        body: What it says, a JSON value.
        attributes: What is said about it.
    """

    trace_id: str
    span_id: str
    name: str
    time_ns: int
    body: Any
    attributes: dict[str, Any]
