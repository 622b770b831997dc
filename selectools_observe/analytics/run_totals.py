"""Totals of one run: steps, time, tokens, cost, errors."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.facets import usage_of
from ..model.rollups import has_failed, number, whole
from ..model.trace import AgentTrace

__all__ = ["RunTotals", "has_failed", "number", "totals_of", "whole"]


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
