"""Totals of one run: steps, time, tokens, cost, errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..model.facets import usage_of
from ..model.trace import AgentTrace, StepType, TraceStep


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What the steps of one run add up to.

    Attributes:
        steps: How many there are.
        errors: How many of them failed.
        duration_ms: The sum of their durations, milliseconds.
        prompt_tokens: Tokens sent to models.
        completion_tokens: Tokens that models wrote.
        cost_usd: US dollars.
    """

    steps: int
    errors: int
    duration_ms: float
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


_LARGEST_COUNT = 2**63 - 1  # as in summaries


def totals_of(trace: AgentTrace) -> RunTotals:
    """What the steps of a run add up to; what is no finite number counts as 0."""
    steps = trace.steps
    usage = usage_of(steps)
    return RunTotals(
        len(steps),
        sum(has_failed(step) for step in steps),
        float(trace.total_duration_ms),
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cost_usd,
    )


def has_failed(step: TraceStep) -> bool:
    """Whether a step is of type ``error`` or carries an error's text."""
    return step.type == StepType.ERROR or step.error is not None


def number(value: object) -> float:
    """A quantity of a step as a finite number; 0 for what is none."""
    if isinstance(value, int | float):
        try:
            found = float(value)
        except OverflowError:
            return 0.0
        return found if math.isfinite(found) else 0.0
    return 0.0


def whole(value: object) -> int:
    """A count of a step as an integer; 0 for what is none."""
    count = value if isinstance(value, int) else int(number(value))
    return max(-_LARGEST_COUNT, min(count, _LARGEST_COUNT))
