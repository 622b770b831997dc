"""Comparison of runs: two step by step, more in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from ..model.details import details_of
from ..model.trace import AgentTrace
from .alignment import Place, aligned
from .differences import Difference, differences_between, same
from .run_metrics import (
    Delta,
    Metrics,
    RunRow,
    RunTable,
    deltas_between,
    differing_keys,
    metrics_of,
)
from .run_totals import RunTotals, totals_of
from .step_contents import COMPARED, StepContents, contents_of, messages_to_compare

__all__ = ["COMPARED", "Change", "Comparison", "StepPair", "compare", "differences", "tabulate"]

Change: TypeAlias = Literal["same", "changed", "removed", "added"]

Scores: TypeAlias = Mapping[str, float]
"""A run's scores by name."""


@dataclass(frozen=True, slots=True)
class StepPair:
    """A step of the one run next to its counterpart in the other.

    Attributes:
        left: The number of the step in the one run, from 0; None if it has none there.
        right: The number of the step in the other run.
        change: ``same``; ``changed``: the same kind of step, done differently; ``removed``: only in
            the one; ``added``: only in the other.
        fields: Which fields differ, of a ``changed`` pair.
    """

    left: int | None
    right: int | None
    change: Change
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        pairs: All steps of both, in order.
        first_difference: The number of the first pair that is not ``same``, from 0; None if all
            are.
        metadata: The keys whose values differ, or that only one of them has, sorted.
        left: What the one adds up to.
        right: What the other adds up to.
        run_fields: Which of ``input`` and ``output`` the runs themselves tell differently.
        deltas: Steps, errors, tokens, cost and time of both.
    """

    pairs: tuple[StepPair, ...]
    first_difference: int | None
    metadata: tuple[str, ...]
    left: RunTotals
    right: RunTotals
    run_fields: tuple[str, ...] = ()
    deltas: tuple[Delta, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether the runs were asked, did and answered the same."""
        return self.first_difference is None and not self.run_fields


def compare(
    trace: AgentTrace, other: AgentTrace, *, scores: tuple[Scores, Scores] | None = None
) -> Comparison:
    """Lay the steps of two runs side by side and find where they part.

    Steps are counterparts if they are of one type with one tool, at the same node; `aligned` says
    which of them are paired. They differ if one of the fields in `COMPARED` does, or one that
    another program put there.

    Args:
        trace: The one run.
        other: The other.
        scores: How both were judged; they come with the deltas.
    """
    pairs = _pairs(contents_of(trace), contents_of(other))
    left, right = scores or ({}, {})
    return Comparison(
        pairs,
        _first_difference(pairs),
        differing_keys(trace.metadata, other.metadata),
        totals_of(trace),
        totals_of(other),
        _run_fields(trace, other),
        deltas_between(metrics_of(trace, left), metrics_of(other, right)),
    )


def tabulate(traces: Sequence[AgentTrace], *, scores: Sequence[Scores] | None = None) -> RunTable:
    """Runs next to each other; the first is what the others are held against.

    Args:
        traces: At least one run.
        scores: How they were judged, one mapping a run.

    Raises:
        ValueError: There is no run, or not one mapping a run.
    """
    judged = [{}] * len(traces) if scores is None else scores
    if not traces or len(judged) != len(traces):
        raise ValueError("give at least one run, and scores for all of them or for none")
    first = contents_of(traces[0])
    numbers = [metrics_of(trace, one) for trace, one in zip(traces, judged, strict=True)]
    rows = [_row(trace, one, first) for trace, one in zip(traces, numbers, strict=True)]
    names = dict.fromkeys(name for one in numbers for name in one)
    keys = differing_keys(*(trace.metadata for trace in traces))
    return RunTable(tuple(names), keys, tuple(rows))


def differences(trace: AgentTrace, other: AgentTrace, pair: StepPair) -> list[Difference]:
    """In what the steps of a pair differ, key by key; of a ``changed`` pair only.

    Raises:
        IndexError: The runs have no such steps.
    """
    if pair.left is None or pair.right is None:
        return []
    one, two = contents_of(trace)[pair.left], contents_of(other)[pair.right]
    return [
        found
        for name in _differing(one, two)
        for found in differences_between(
            name, one.get(name, msgspec.UNSET), two.get(name, msgspec.UNSET)
        )
    ]


def _pairs(left: Sequence[StepContents], right: Sequence[StepContents]) -> tuple[StepPair, ...]:
    return tuple(_pair(left, right, place) for place in aligned(left, right))


def _pair(left: Sequence[StepContents], right: Sequence[StepContents], place: Place) -> StepPair:
    one, other = place
    if one is None:
        return StepPair(None, other, "added")
    if other is None:
        return StepPair(one, None, "removed")
    fields = _differing(left[one], right[other])
    return StepPair(one, other, "changed" if fields else "same", fields)


def _differing(step: StepContents, other: StepContents) -> tuple[str, ...]:
    return tuple(
        name
        for name in dict.fromkeys((*COMPARED, *step, *other))
        if (name in step or name in other) and not same(step.get(name), other.get(name))
    )


def _first_difference(pairs: Sequence[StepPair]) -> int | None:
    return next((at for at, pair in enumerate(pairs) if pair.change != "same"), None)


def _run_fields(trace: AgentTrace, other: AgentTrace) -> tuple[str, ...]:
    roles = {"input": "user", "output": "assistant"}
    return tuple(
        name
        for name, role in roles.items()
        if not same(
            messages_to_compare(getattr(trace, name), role),
            messages_to_compare(getattr(other, name), role),
        )
    )


def _row(trace: AgentTrace, metrics: Metrics, first: Sequence[StepContents]) -> RunRow:
    pairs, details = _pairs(first, contents_of(trace)), details_of(trace)
    return RunRow(
        trace.run_id,
        details.name,
        details.outcome,
        details.input,
        details.output,
        metrics,
        sum(pair.change != "same" for pair in pairs),
        _first_difference(pairs),
    )
