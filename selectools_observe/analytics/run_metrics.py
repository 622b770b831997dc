"""The numbers by which runs are compared: steps, errors, tokens, cost, time, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model.details import details_of
from ..model.trace import AgentTrace, StepType
from .differences import same
from .run_totals import totals_of

Metrics = Mapping[str, float | None]
"""Values by name; None where a run does not tell."""


@dataclass(frozen=True, slots=True)
class Delta:
    """One number of two runs.

    Attributes:
        name: ``steps``, ``errors``, ``llm_calls``, ``tool_calls``, ``prompt_tokens``,
            ``completion_tokens``, ``cost_usd``, ``duration_ms`` (all steps together), ``wall_ms``,
            or ``score.NAME``.
        left: The one run's; None if it is unknown.
        right: The other's.
        change: How much more the right one has; None if either is unknown.
        ratio: The change as a share of the left one; None where that is 0 or unknown.
    """

    name: str
    left: float | None
    right: float | None
    change: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of a table.

    Attributes:
        run_id: The run's id.
        name: Its name.
        outcome: How it ended.
        input: What was asked of it, shortened.
        output: What it answered, shortened.
        metrics: Its numbers by name.
        differing_steps: Steps that differ from the first run's, also missing and further ones.
        first_difference: The first of them, from 0; None if there is none.
    """

    run_id: str
    name: str | None
    outcome: str
    input: str | None
    output: str | None
    metrics: Metrics
    differing_steps: int
    first_difference: int | None


@dataclass(frozen=True, slots=True)
class RunTable:
    """Several runs next to each other; the first is what the others are held against.

    Attributes:
        metrics: The names of the numbers, in order.
        metadata: The metadata keys whose values are not the same in all of them, sorted.
        rows: The runs.
    """

    metrics: tuple[str, ...]
    metadata: tuple[str, ...]
    rows: tuple[RunRow, ...]


def metrics_of(trace: AgentTrace, scores: Mapping[str, float] | None = None) -> Metrics:
    """The numbers of one run.

    Args:
        trace: The run.
        scores: Its scores by name, where somebody judged it.
    """
    totals, kinds = totals_of(trace), [step.type for step in trace.steps]
    return {
        "steps": totals.steps,
        "errors": totals.errors,
        "llm_calls": kinds.count(StepType.LLM_CALL),
        "tool_calls": kinds.count(StepType.TOOL_EXECUTION),
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        # A step whose cost nobody knows says 0.
        "cost_usd": totals.cost_usd or None,
        "duration_ms": totals.duration_ms,
        "wall_ms": details_of(trace).wall_ms,
        **{f"score.{name}": score for name, score in sorted((scores or {}).items())},
    }


def deltas_between(left: Metrics, right: Metrics) -> tuple[Delta, ...]:
    """The numbers of two runs, and how they differ."""
    names = dict.fromkeys((*left, *right))
    return tuple(_delta(name, left.get(name), right.get(name)) for name in names)


def _delta(name: str, left: float | None, right: float | None) -> Delta:
    if left is None or right is None:
        return Delta(name, left, right, None, None)
    change = right - left
    return Delta(name, left, right, change, change / left if left else None)


def differing_keys(*all_metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys whose values are not the same everywhere, sorted."""
    first, *others = all_metadata
    keys = {key for metadata in all_metadata for key in metadata}
    return tuple(sorted(key for key in keys if not _is_shared(key, first, others)))


def _is_shared(key: str, first: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> bool:
    return key in first and all(key in one and same(first[key], one[key]) for one in others)
