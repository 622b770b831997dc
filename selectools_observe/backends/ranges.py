"""A filter's ranges as SQL conditions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from math import inf, nextafter
from typing import Any, TypeAlias

from ..model.filters import TraceFilter
from ..model.trace import Number
from . import timestamps

Bound: TypeAlias = Number | datetime

_EVERYTHING = TraceFilter()
# What columns and terms say as exactly as `matches` does.
_IN_SQL = (
    "metadata_match", "min_steps", "max_steps", "since", "until", "min_ms", "max_ms",
    "min_cost_usd", "max_cost_usd", "parent_run_id", "run_ids", "has_error", "step_type",
    "tool_name", "model", "name", "session_id", "user_id", "agent", "tags", "outcome",
    "started_since", "started_until", "min_wall_ms", "max_wall_ms", "limit",
)  # fmt: skip


def is_exact(filters: TraceFilter) -> bool:
    """Whether ranges, ids and terms alone tell what matches."""
    return replace(filters, **dict.fromkeys(_IN_SQL)) == _EVERYTHING


class Ranges:
    """The filter's ranges, as SQL for facets and for the bounds of blocks."""

    def __init__(self, filters: TraceFilter) -> None:
        error = None if filters.has_error is None else int(filters.has_error)
        bounds: tuple[tuple[str, Bound | None, Bound | None], ...] = (
            ("created_us", filters.since, filters.until),
            ("steps", filters.min_steps, filters.max_steps),
            ("total_ms", filters.min_ms, filters.max_ms),
            ("cost_usd", filters.min_cost_usd, filters.max_cost_usd),
            ("has_error", error, error),
            (
                "started_us",
                filters.started_since,
                filters.started_until,
            ),
            ("wall_ms", filters.min_wall_ms, filters.max_wall_ms),
        )
        self._ranges = [
            (column, _number(low), _number(high))
            for column, low, high in bounds
            if not (low is None and high is None)
        ]

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def of_facets(self) -> tuple[str, list[Any]]:
        """The condition on a row of ``trace_facets``."""
        return self._sql("{0} >= ?", "{0} <= ?")

    def of_blocks(self) -> tuple[str, list[Any]]:
        """The condition on a block that may hold such a row."""
        return self._sql("max_{0} >= ?", "min_{0} <= ?")

    def _sql(self, at_least: str, at_most: str) -> tuple[str, list[Any]]:
        conditions, values = ["1"], []
        for column, low, high in self._ranges:
            for template, bound, outward in ((at_least, low, -inf), (at_most, high, inf)):
                if bound is not None:
                    conditions.append(template.format(column))
                    values.append(_fitting(bound, -outward))
        return " AND ".join(conditions), values


def _number(bound: Bound | None) -> Number | None:
    """A bound as its column has it: instants in microseconds."""
    return timestamps.to_microseconds(bound) if isinstance(bound, datetime) else bound


def _fitting(bound: Number, inward: float) -> Number:
    """The bound as SQLite can take it: its integers have 64 bits.

    An integer beyond them becomes the nearest float that excludes what it excludes.
    """
    if not isinstance(bound, int) or -(2**63) <= bound < 2**63:
        return bound
    try:
        near = float(bound)
    except OverflowError:
        return inf if bound > 0 else -inf
    excludes_less = near < bound if inward > 0 else near > bound
    return nextafter(near, inward) if excludes_less else near
