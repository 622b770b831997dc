"""A run as a client sends it, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, TypeAlias

import msgspec

from ..errors import InvalidTraceError
from ..model.json_values import loads
from ..model.references import expand
from ..model.trace import (
    DETAIL_FIELDS,
    STEP_FIELDS,
    TRACE_KEYS,
    AgentTrace,
    TraceStep,
    step_type,
)

TEXT = "the text"
"""Where an error is if what was sent is not JSON at all."""

_MOST_CHARACTERS = 64 * 1024 * 1024  # that references of a run may expand to


_Field: TypeAlias = tuple[str, Any] | tuple[str, Any, Any]


def _as_sent(name: str, model: type[msgspec.Struct], *own: _Field) -> type[msgspec.Struct]:
    """What a client may send for a model: its fields, each of which may be null or missing.

    Args:
        name: What msgspec calls it.
        model: The model; a new field of it is in here by itself.
        *own: Fields that must be there, or be of another type: name, type and perhaps default.
    """
    apart = {"extra", *(field[0] for field in own)}
    others = [
        (field.name, _or_none(field.type), None)
        for field in msgspec.structs.fields(model)
        if field.name not in apart
    ]
    described = {"__doc__": model.__doc__}
    return msgspec.defstruct(name, [*own, *others], module=__name__, namespace=described)


def _or_none(kind: Any) -> Any:
    return kind if kind is Any else Optional[kind]  # noqa: UP045 - the type is a value


SentStep = _as_sent("SentStep", TraceStep, ("type", str))
SentTrace = _as_sent("SentTrace", AgentTrace, ("steps", list[dict[str, Any]]), ("run_id", str, ""))


def trace_of(data: bytes) -> AgentTrace:
    """The run of a JSON object, or of a line of a JSONL store's file.

    Raises:
        InvalidTraceError: It is none.
    """
    try:
        value = loads(data)
    except ValueError as error:
        raise InvalidTraceError(None, TEXT, f"is not JSON: {error}") from None
    return trace_of_value(value)


def trace_of_value(value: object) -> AgentTrace:
    """The run of a plain value.

    Raises:
        InvalidTraceError: It is none.
    """
    if isinstance(value, dict) and isinstance(value.get("trace"), dict) and "created_at" in value:
        value = value["trace"]  # a stored line, which says next to it when it was saved
    if not isinstance(value, dict):
        raise InvalidTraceError(None, "the value", "is not a JSON object")
    run_id = value.get("run_id")
    try:
        value = expand(value, _MOST_CHARACTERS)
    except ValueError as error:
        raise InvalidTraceError(None, "the trace", f"does not fit: {error}") from None
    sent = _checked(value, SentTrace, run_id, "")
    extra = {name: field for name, field in value.items() if name not in TRACE_KEYS}
    trace = AgentTrace(
        steps=[_step_of(step, number, run_id) for number, step in enumerate(sent.steps)],
        start_time=sent.start_time or 0.0,
        parent_run_id=sent.parent_run_id,
        metadata=sent.metadata or {},
        **{name: getattr(sent, name) for name in DETAIL_FIELDS},
        extra=extra or None,
    )
    if "run_id" in value:
        trace.run_id = sent.run_id
    return trace


def _step_of(step: dict[str, Any], number: int, run_id: object) -> TraceStep:
    sent = _checked(step, SentStep, run_id, f"steps[{number}]")
    extra = {name: field for name, field in step.items() if name not in STEP_FIELDS}
    fields = {name: getattr(sent, name) for name in STEP_FIELDS}
    fields["type"] = step_type(sent.type)
    fields["timestamp"] = sent.timestamp or 0.0
    fields["duration_ms"] = sent.duration_ms or 0.0
    return TraceStep(**fields, extra=extra or None)


def _checked(value: Mapping[str, Any], kind: type[Any], run_id: object, path: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        where = f"{path}{place.rstrip('`')}".lstrip(".") or "the trace"
        shown = run_id if isinstance(run_id, str) else None
        raise InvalidTraceError(shown, where, f"does not fit: {problem}") from None
