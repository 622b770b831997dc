"""A run as a client sends it, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import InvalidTraceError
from ..model.json_values import loads
from ..model.references import expand
from ..model.trace import (
    DETAIL_FIELDS,
    STEP_FIELDS,
    TRACE_KEYS,
    AgentTrace,
    Number,
    TraceStep,
    step_type,
)

_MOST_CHARACTERS = 64 * 1024 * 1024  # that references of a run may expand to


class _SentStep(msgspec.Struct, omit_defaults=True):
    """The fields of a step; null stands for a number that was none."""

    type: str
    timestamp: Number | None = 0.0
    duration_ms: Number | None = 0.0
    tool_name: str | None = None
    tool_args: dict[str, Any] | None = None
    tool_result: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Number | None = None
    reasoning: str | None = None
    error: str | None = None
    summary: str | None = None
    node_name: str | None = None
    step_number: int | None = None
    checkpoint_id: str | None = None
    interrupt_key: str | None = None
    from_node: str | None = None
    to_node: str | None = None
    children: list[str] | None = None
    input: Any = None
    output: Any = None


class _SentTrace(msgspec.Struct):
    steps: list[dict[str, Any]]
    run_id: str = ""
    start_time: Number | None = 0.0
    parent_run_id: str | None = None
    metadata: dict[str, Any] | None = None
    name: str | None = None
    input: Any = None
    output: Any = None
    session_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    tags: list[str] | None = None
    outcome: str | None = None


def trace_of(data: bytes) -> AgentTrace:
    """The run of a JSON object, or of a line of a JSONL store's file.

    Raises:
        InvalidTraceError: It is none.
    """
    try:
        value = loads(data)
    except ValueError as error:
        raise InvalidTraceError(None, "the text", f"is not JSON: {error}") from None
    return trace_of_value(value)


def trace_of_value(value: object) -> AgentTrace:
    """The run of a plain value.

    Raises:
        InvalidTraceError: It is none.
    """
    if isinstance(value, dict) and isinstance(value.get("trace"), dict) and "created_at" in value:
        value = value["trace"]  # a stored line, which says beside it when it was saved
    if not isinstance(value, dict):
        raise InvalidTraceError(None, "the value", "is not a JSON object")
    run_id = value.get("run_id")
    try:
        value = expand(value, _MOST_CHARACTERS)
    except ValueError as error:
        raise InvalidTraceError(None, "the trace", f"does not fit: {error}") from None
    sent = _checked(value, _SentTrace, run_id, "")
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
    sent = _checked(step, _SentStep, run_id, f"steps[{number}]")
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
