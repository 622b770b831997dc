"""What filters ask of a trace beyond its summary, told by what of it is stored."""

from __future__ import annotations

from typing import Any

from .jsonvalue import plain
from .models import AgentTrace, StepType, TraceFacts, TraceStep


def facts_of(trace: AgentTrace) -> TraceFacts:
    """What filters ask of a trace beyond its summary."""
    return facts_of_parts(trace.parent_run_id, trace.steps)


def facts_of_parts(parent_run_id: object, steps: list[TraceStep]) -> TraceFacts:
    """The facts of what is stored, which may differ from what was given."""
    types = {step.type for step in steps}
    return TraceFacts(
        next(iter(_texts([parent_run_id])), None),
        StepType.ERROR in types or any([_is_set(step.error) for step in steps]),
        _texts([str.__str__(kind) for kind in types]),
        _texts([step.tool_name for step in steps]),
        _texts([step.model for step in steps]),
    )


def _is_set(value: object) -> bool:
    return value is not None and (value.__class__ is str or plain(value) is not None)


def _texts(values: list[Any]) -> frozenset[str]:
    """The strings among the values, as they are stored."""
    try:
        distinct = set(values)
    except TypeError:  # some cannot be hashed
        distinct = set(filter(_is_text, map(plain, values)))
    distinct.discard(None)
    for value in distinct:
        if value.__class__ is not str or not value.isascii():
            return frozenset(filter(_is_text, map(plain, distinct)))
    return frozenset(distinct)


def _is_text(value: object) -> bool:
    return isinstance(value, str)
