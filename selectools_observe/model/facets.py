"""What filters and summaries tell of a trace's steps, by what of them is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .json_values import plain
from .trace import AgentTrace, Number, TraceFacts, TraceStep, TraceUsage, is_finite, total_of

_OTHER_MODELS = ("request_model", "response_model")
_LARGEST = 2**63 - 1  # that a database's integer holds
_INTEGERS = frozenset({int})
_FLOATS = frozenset({float})


class UsedStep(Protocol):
    """The part of a step that a summary tells of."""

    @property
    def type(self) -> str: ...
    @property
    def duration_ms(self) -> Number: ...
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
    failed = failed_steps(steps)
    return TraceFacts(
        next(iter(_texts([parent_run_id])), None),
        bool(failed),
        *_names_in(steps),
        *(_names_in(failed) if failed else ()),
    )


def failed_steps(steps: Sequence[TraceStep]) -> list[TraceStep]:
    """The steps of type ``error``, and those that carry an error."""
    return [
        step
        for step in steps
        if step.type == "error" or (step.error is not None and is_set(step.error))
    ]


def _names_in(
    steps: Sequence[TraceStep],
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The types, tools and models that occur."""
    return (
        _texts([str.__str__(kind) for kind in {step.type for step in steps}]),
        _texts([step.tool_name for step in steps]),
        _texts([step.model for step in steps] + _other_models(steps)),
    )


def _other_models(steps: Sequence[TraceStep]) -> list[Any]:
    """Further names of the models: what was asked for, and what answered."""
    extras = [step.extra for step in steps if step.extra and step.type == "llm_call"]
    return [extra[name] for extra in extras for name in _OTHER_MODELS if name in extra]


def has_error(steps: Sequence[UsedStep]) -> bool:
    """Whether some step is of type ``error`` or carries an error."""
    return "error" in {step.type for step in steps} or _some_error(steps)


def _some_error(steps: Sequence[UsedStep]) -> bool:
    return any([is_set(step.error) for step in steps if step.error is not None])


def usage_of(steps: Sequence[UsedStep]) -> TraceUsage:
    """The sums of tokens and costs; what is no finite number counts as 0."""
    return TraceUsage(
        _whole([step.prompt_tokens for step in steps if step.prompt_tokens is not None]),
        _whole([step.completion_tokens for step in steps if step.completion_tokens is not None]),
        _dollars([step.cost_usd for step in steps if step.cost_usd is not None]),
    )


def _whole(values: Sequence[Number]) -> int:
    if not _INTEGERS.issuperset(map(type, values)):
        values = [int(value) for value in values if is_finite(value)]
    return max(-_LARGEST, min(int(sum(values)), _LARGEST))


def _dollars(values: Sequence[Number]) -> float:
    if not values:
        return 0.0
    if not _FLOATS.issuperset(map(type, values)):
        values = [float(value) for value in values if is_finite(value)]
    return float(total_of(values))


def is_set(value: object) -> bool:
    """Whether an error is stored as more than null."""
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
