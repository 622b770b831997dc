"""A span as the steps of a run.

A call of a model or a tool is one step. What such calls happen in (an agent, a chain, a graph's
node) is two: its start and its end, as selectools tells of graph nodes. The duration of an end is
the node's own time, without that of the spans inside it, so that a run's total counts no moment
twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...model.json_values import loads
from ...model.trace import STEP_FIELDS, StepType, TraceStep
from .attributes import Attributes, parsed_text
from .semconv import (
    DETAIL_EVENTS,
    FIELDS,
    KIND_BY_PRESENCE,
    KIND_BY_VALUE,
    MESSAGE_EVENTS,
    METADATA_FIELDS,
    NODE_NAMES,
    REASONING_PARTS,
    Kind,
)
from .spans import SpanEvent, SpanRecord, to_plain

KEPT = "otel"
"""The entry of a step's and of a run's ``extra`` that holds what has no field."""

STEP_TYPES = {
    Kind.MODEL: StepType.LLM_CALL,
    Kind.TOOL: StepType.TOOL_EXECUTION,
    Kind.GUARDRAIL: StepType.GUARDRAIL,
    Kind.NODE: StepType.GRAPH_NODE_START,
    Kind.OTHER: StepType("span"),
}


@dataclass(frozen=True)
class Place:
    """Where a span stands in its run.

    Attributes:
        node_name: The nearest agent or node around it.
        own_ns: Its time without that of the spans inside it, nanoseconds.
    """

    node_name: str | None = None
    own_ns: int = 0


def kind_of(record: SpanRecord) -> Kind:
    """What the span is for a run."""
    for name, kinds in KIND_BY_VALUE.items():
        value = record.attributes.get(name)
        if isinstance(value, str):
            kind = kinds.get(value) or kinds.get(value.lower())
            if kind is not None:
                return kind
    for name, kind in KIND_BY_PRESENCE:
        if name in record.attributes:
            return kind
        if name.endswith(".") and any(key.startswith(name) for key in record.attributes):
            return kind
    return Kind.OTHER


def node_name_of(record: SpanRecord) -> str | None:
    """The agent or node that a span itself names."""
    told = _told_by_metadata(record).get("node_name")
    if isinstance(told, str):
        return told
    for name in NODE_NAMES:
        value = record.attributes.get(name)
        if isinstance(value, str) and value:
            return value
    return record.name or None if kind_of(record) is Kind.NODE else None


def error_of(record: SpanRecord) -> str | None:
    """What went wrong, as ``Type: message``; None if nothing did."""
    exceptions = [event for event in record.events if event.name == "exception"]
    if record.status == "ok" or (record.status != "error" and not exceptions):
        return None
    if exceptions:
        told = exceptions[-1].attributes
        kind = str(told.get("exception.type") or "").rpartition(".")[2]
        text = ": ".join(filter(None, [kind, str(told.get("exception.message") or "")]))
        if text:
            return text
    return record.status_message or str(record.attributes.get("error.type") or "error")


def steps_of(record: SpanRecord, place: Place = Place()) -> list[TraceStep]:
    """The steps of one span, the first at its start."""
    kind = kind_of(record)
    attributes = Attributes(record.attributes)
    events = _take_details(record.events, attributes.left)
    found = {name: attributes.take(name, names) for name, names in FIELDS[kind].items()}
    messages, events = _take_messages(events, found)
    found |= {name: value for name, value in messages.items() if found.get(name) is None}
    found = {name: value for name, value in found.items() if value is not None}
    if kind is Kind.TOOL:
        found.setdefault("tool_name", record.name)
        _unwrap_arguments(found, attributes, record)
    step = _step(record, kind, found, place)
    step.extra = {name: value for name, value in found.items() if name not in STEP_FIELDS}
    step.extra[KEPT] = _kept(record, attributes, events)
    return [step, _end(record, step, place)] if kind is Kind.NODE else [step]


def _step(record: SpanRecord, kind: Kind, found: dict[str, Any], place: Place) -> TraceStep:
    node = kind is Kind.NODE
    fields = {name: value for name, value in found.items() if name in STEP_FIELDS}
    fields |= _told_by_metadata(record)
    fields["node_name"] = node_name_of(record) or place.node_name
    return TraceStep(
        type=STEP_TYPES[kind],
        timestamp=record.start_ns / 10**9,
        duration_ms=0.0 if node else max(record.end_ns - record.start_ns, 0) / 10**6,
        error=None if node else error_of(record),
        reasoning=_reasoning(found.get("output")),
        summary=record.name if kind in {Kind.NODE, Kind.GUARDRAIL, Kind.OTHER} else None,
        **fields,
    )


def _end(record: SpanRecord, start: TraceStep, place: Place) -> TraceStep:
    return TraceStep(
        type=StepType.GRAPH_NODE_END,
        timestamp=max(record.end_ns, record.start_ns) / 10**9,
        duration_ms=place.own_ns / 10**6,
        node_name=start.node_name,
        step_number=start.step_number,
        summary=start.summary,
        error=error_of(record),
        extra={KEPT: {"span_id": record.span_id, "end": True}},
    )


def _kept(record: SpanRecord, attributes: Attributes, events: list[SpanEvent]) -> dict[str, Any]:
    """The span without what went into fields, and where that was found."""
    kept = to_plain(record)
    for name in ("trace_id", "resource"):  # the run has them
        kept.pop(name, None)
    for name, value in (("attributes", attributes.left), ("events", events)):
        kept.pop(name, None)
        if value:
            kept[name] = _plain_events(value) if name == "events" else value
    if attributes.found:
        kept["found"] = attributes.found
    return kept


def _plain_events(events: Any) -> list[dict[str, Any]]:
    return [
        {"name": event.name, "time_ns": event.time_ns, "attributes": event.attributes}
        for event in events
    ]


def _take_details(events: list[SpanEvent], attributes: dict[str, Any]) -> list[SpanEvent]:
    """Treat the attributes of events that only carry some as the span's; return the others."""
    others = []
    for event in events:
        if event.name in DETAIL_EVENTS and attributes.keys().isdisjoint(event.attributes):
            attributes |= event.attributes
        else:
            others.append(event)
    return others


def _take_messages(
    events: list[SpanEvent], found: dict[str, Any]
) -> tuple[dict[str, list[Any]], list[SpanEvent]]:
    """The messages told as events, unless the span's attributes tell them; the other events."""
    messages: dict[str, list[Any]] = {}
    others = []
    for event in events:
        meaning = MESSAGE_EVENTS.get(event.name)
        if meaning is None or found.get(meaning) is not None:
            others.append(event)
        else:
            role = event.name.split(".")[1]
            told = {name: parsed_text(value) for name, value in event.attributes.items()}
            default = {} if role == "choice" else {"role": role}
            messages.setdefault(meaning, []).append(default | told)
    return messages, others


def _told_by_metadata(record: SpanRecord) -> dict[str, Any]:
    raw = record.attributes.get("metadata")
    if not isinstance(raw, str) or "langgraph_" not in raw:
        return {}
    try:
        told = loads(raw)
    except ValueError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {field: told[name] for name, field in METADATA_FIELDS.items() if told.get(name)}


def _unwrap_arguments(found: dict[str, Any], attributes: Attributes, record: SpanRecord) -> None:
    """Take the arguments by name, of tools whose call is told as ``args`` and ``kwargs``."""
    args = found.get("tool_args", {})
    if (
        isinstance(args.get("kwargs"), dict)
        and not args.get("args")
        and args.keys() <= {"args", "kwargs", "sanitize_inputs_outputs"}
    ):
        found["tool_args"] = args["kwargs"]
        name = attributes.found.pop("tool_args", None)
        if name is not None:
            attributes.left[name] = record.attributes[name]


def _reasoning(output: Any) -> str | None:
    """The model's thoughts, from the parts of its messages."""
    messages = output if isinstance(output, list) else []
    texts = [
        part["content"]
        for message in messages
        if isinstance(message, dict)
        for part in _parts(message)
        if isinstance(part, dict)
        and part.get("type") in REASONING_PARTS
        and isinstance(part.get("content"), str)
    ]
    return "\n".join(texts) or None


def _parts(message: dict[str, Any]) -> list[Any]:
    parts = message.get("parts")
    return parts if isinstance(parts, list) else []
