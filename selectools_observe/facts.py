"""What filters and summaries tell of a trace's steps, by what of them is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from .jsonvalue import plain
from .models import AgentTrace, Number, TraceFacts, TraceStep, TraceUsage, is_finite

_LARGEST = 2**63 - 1  # that a database's integer holds


class UsedStep(Protocol):
    """The part of a step that a summary tells of."""

    @property
    def type(self) -> str: ...
    @property
    def error(self) -> object: ...
    @property
    def prompt_tokens(self) -> int | None: ...
    @property
    def completion_tokens(self) -> int | None: ...
    @property
    def cost_usd(self) -> Number | None: ...


def facts_of(trace: AgentTrace) -> TraceFacts:
    """What filters ask of a trace beyond its summary."""
    return facts_of_parts(trace.parent_run_id, trace.steps)


def facts_of_parts(parent_run_id: object, steps: list[TraceStep]) -> TraceFacts:
    """The facts of what is stored, which may differ from what was given."""
    types = {step.type for step in steps}
    return TraceFacts(
        next(iter(_texts([parent_run_id])), None),
        has_error(steps),
        _texts([str.__str__(kind) for kind in types]),
        _texts([step.tool_name for step in steps]),
        _texts([step.model for step in steps]),
    )


def has_error(steps: Iterable[UsedStep]) -> bool:
    """Whether some step is of type ``error`` or carries an error."""
    return any([step.type == "error" or _is_set(step.error) for step in steps])


def usage_of(steps: Iterable[UsedStep]) -> TraceUsage:
    """The sums of tokens and costs; what is no finite number counts as 0."""
    prompt, completion, cost = [], [], []
    for step in steps:
        if step.prompt_tokens is not None:
            prompt.append(step.prompt_tokens)
        if step.completion_tokens is not None:
            completion.append(step.completion_tokens)
        if step.cost_usd is not None:
            cost.append(step.cost_usd)
    return TraceUsage(_whole(prompt), _whole(completion), _dollars(cost))


def _whole(values: list[int]) -> int:
    if set(map(type, values)) <= {int}:
        total = sum(values)
    else:
        total = int(sum(int(value) for value in values if is_finite(value)))
    return max(-_LARGEST, min(total, _LARGEST))


def _dollars(values: list[Number]) -> float:
    total = sum(float(value) for value in values if is_finite(value))
    return total if is_finite(total) else 0.0


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
