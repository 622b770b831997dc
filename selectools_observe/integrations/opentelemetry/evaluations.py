"""Annotations as OpenTelemetry's evaluation events, and such events as annotations.

The event ``gen_ai.evaluation.result`` of the GenAI conventions has a name, a score, a label and an
explanation. It stands at the span that was evaluated; the conventions send it as a log record,
others as an event of the span. Both are read, the second is written: every receiver of spans takes
it. What the conventions have no place for, such as the author, is in one attribute of ours.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-events.md
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ...model.annotations import Annotation
from ...model.json_values import dumps, json_text
from ...model.limits import loads_limited
from ...model.trace import EPOCH, MICROSECOND, AgentTrace
from .otlp_values import sendable, sendable_value
from .span_ids import step_id_of
from .span_steps import KEPT
from .spans import LOG_MARK, SpanEvent, SpanRecord

EVALUATION = "gen_ai.evaluation.result"
"""The name of the event."""

_OURS = "selectools_observe.annotation"
_SCORE = "gen_ai.evaluation.score.value"
_FIELDS = {
    "name": "gen_ai.evaluation.name",
    "score": _SCORE,
    "label": "gen_ai.evaluation.score.label",
    "note": "gen_ai.evaluation.explanation",
}

Rejected = Callable[[str], None]


def with_evaluations(
    records: Sequence[SpanRecord], span_ids: Sequence[str | None], annotations: Iterable[Annotation]
) -> list[SpanRecord]:
    """The spans of a run with its annotations as events.

    Args:
        records: The spans, the first of them the run's own.
        span_ids: The span of each step; what is said of a step without one is the run's.
        annotations: What was said. One that a span tells already is left out.
    """
    events: dict[str, list[SpanEvent]] = {}
    there = {one.id: one for record in records for one in _reported_by(record, "", None, _ignore)}
    for one in annotations:
        known = there.get(one.id)
        if known is not None and _without_place(known) == _without_place(one):
            continue
        of_step = one.step is not None and one.step < len(span_ids)
        span_id = (span_ids[one.step or 0] if of_step else None) or records[0].span_id
        events.setdefault(span_id, []).append(event_of(one))
    return [
        sendable(msgspec.structs.replace(record, events=[*record.events, *events[record.span_id]]))
        if record.span_id in events
        else record
        for record in records
    ]


def _without_place(one: Annotation) -> Annotation:
    return msgspec.structs.replace(one, run_id="", step=None)


def event_of(one: Annotation, *, has_place: bool = True) -> SpanEvent:
    """An annotation as an event.

    Args:
        one: The annotation.
        has_place: It says itself whether it is about the run or a step; or else the span does.
    """
    fields = one.to_dict()
    said = {
        there: sendable_value(fields[name]) for name, there in _FIELDS.items() if name in fields
    }
    if one.score is not None:
        said[_SCORE] = float(one.score)
    event = SpanEvent(EVALUATION, _nanoseconds(one.created_at), said)
    seen = _fields(event)
    ours = {name: fields[name] for name in fields if seen.get(name) != fields[name]}
    ours.pop("run_id")
    if has_place:
        ours["step"] = one.step
    said[_OURS] = json_text(ours)
    return event


def _nanoseconds(moment: datetime | None) -> int:
    return 0 if moment is None else max(0, (moment - EPOCH) // MICROSECOND * 1000)


def evaluations_of(
    records: Iterable[SpanRecord], run: AgentTrace, rejected: Rejected
) -> list[Annotation]:
    """What these spans, or logs that belong to spans, say of a run and its steps.

    Args:
        records: The spans as they came.
        run: The run that they are part of.
        rejected: Called with why an event cannot be read.
    """
    found: list[Annotation] = []
    places: dict[str, int] | None = None
    for record in records:
        if evaluates(record):
            places = places_of(run) if places is None else places
            step = places.get(record.span_id)
            found += _reported_by(record, run.run_id, step, rejected)
    return found


def evaluates(record: SpanRecord) -> bool:
    """Whether evaluations are among a span's events."""
    return any(event.name == EVALUATION for event in record.events)


def places_of(run: AgentTrace) -> dict[str, int]:
    """The step of each span of a run that is one; the run's own failure is a step, and no span."""
    places: dict[str, int] = {}
    (root, *_) = _beside(run)
    for number, step in enumerate(run.steps):
        kept = (step.extra or {}).get(KEPT)
        came = kept.get("span_id") if isinstance(kept, dict) else None
        span_id = came if isinstance(came, str) else step_id_of(run.run_id, number)
        if span_id != root:
            places.setdefault(span_id, number)
    return places


def _beside(run: AgentTrace) -> list[str | None]:
    """The span that is the run itself, if one is; and those that are kept beside its steps."""
    kept = (run.extra or {}).get(KEPT)
    told = kept if isinstance(kept, dict) else {}
    spans = [told.get("root"), *(told.get("spans") or ())]
    return [span.get("span_id") if isinstance(span, dict) else None for span in spans]


def spans_in(run: AgentTrace) -> set[str]:
    """The ids of all spans of a run, those that are no steps too."""
    return {span_id for span_id in _beside(run) if span_id} | places_of(run).keys()


def _reported_by(
    record: SpanRecord, run_id: str, step: int | None, rejected: Rejected
) -> Iterable[Annotation]:
    for event in record.events:
        if event.name != EVALUATION:
            continue
        try:
            yield _annotation(record, event, run_id or record.trace_id, step)
        except (TypeError, ValueError) as error:
            rejected(f"an evaluation of span {record.span_id or record.trace_id}: {error}")


def _annotation(record: SpanRecord, event: SpanEvent, run_id: str, step: int | None) -> Annotation:
    """The annotation of an event; one of ours exactly, another always under the same id.

    Raises:
        ValueError: It says nothing, or what no annotation can say.
        TypeError: Likewise.
    """
    ours = event.attributes.get(_OURS)
    if isinstance(ours, str):
        reported = loads_limited(ours)
        if not isinstance(reported, dict):
            raise TypeError(f"its attribute {_OURS} is not a JSON object")
        return Annotation.from_dict({**_fields(event), "step": step, **reported, "run_id": run_id})
    others = {
        "run_id": run_id,
        "step": step,
        "source": "code",
        "created_at": _moment(event.time_ns),
        "id": _id(record, event),
    }
    return Annotation.from_dict(_fields(event) | others)


def _fields(event: SpanEvent) -> dict[str, Any]:
    """What the conventions' attributes tell."""
    said = event.attributes
    fields: dict[str, Any] = {name: _text(said.get(_FIELDS[name])) for name in _FIELDS}
    return fields | {"score": _score(said.get(_SCORE))}


def _score(value: object) -> float | None:
    """A number, or the text of one."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    return None


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _moment(time_ns: int) -> datetime | None:
    try:
        return EPOCH + time_ns // 1000 * MICROSECOND if time_ns else None
    except OverflowError:
        return None


def _id(record: SpanRecord, event: SpanEvent) -> str:
    said = {name: value for name, value in event.attributes.items() if name != LOG_MARK}
    text = dumps([record.trace_id, record.span_id, event.time_ns, dict(sorted(said.items()))])
    return f"otel-{hashlib.sha256(text).hexdigest()[:32]}"


def only_evaluates(record: SpanRecord) -> bool:
    """Whether nothing is known of a span but its annotations, in logs."""
    return record.partial and all(event.name == EVALUATION for event in record.events)


def without_evaluations(record: SpanRecord) -> SpanRecord | None:
    """The span without the events that are next to a run: logs, and those that we added.

    None if nothing is left of it. An event that another program gave its span stays there.
    """
    if not any(event.name == EVALUATION for event in record.events):
        return record
    if only_evaluates(record):
        return None
    kept = [event for event in record.events if not _is_beside(event)]
    return msgspec.structs.replace(record, events=kept)


def _is_beside(event: SpanEvent) -> bool:
    return event.name == EVALUATION and (LOG_MARK in event.attributes or _OURS in event.attributes)


def _ignore(_: str) -> None:
    pass
