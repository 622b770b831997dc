"""A filter's ranges as SQL conditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from math import inf, nextafter
from typing import Any, TypeAlias

from ..model.filters import TraceFilter
from ..model.trace import Number
from . import timestamps

Bound: TypeAlias = Number | datetime

_EVERYTHING = TraceFilter()
# A column of the facets, and the fields that bound it from below and from above.
_BOUNDS = (
    ("created_us", "since", "until"),
    ("steps", "min_steps", "max_steps"),
    ("total_ms", "min_ms", "max_ms"),
    ("cost_usd", "min_cost_usd", "max_cost_usd"),
    ("has_error", "has_error", "has_error"),
    ("started_us", "started_since", "started_until"),
    ("wall_ms", "min_wall_ms", "max_wall_ms"),
)
# Those of which the blocks of the index know the least and the largest too.
_IN_BLOCKS = frozenset(
    {"created_us", "steps", "total_ms", "cost_usd", "has_error", "started_us", "wall_ms"}
)
_MAY_BE_UNKNOWN = frozenset({"started_us", "wall_ms"})
# What columns and terms say as exactly as `matches` does.
_IN_SQL = (
    "metadata_match", "parent_run_id", "run_ids", "step_type", "tool_name", "model", "name",
    "session_id", "user_id", "agent", "tags", "outcome", "limit",
    *(field for _, *bounds in _BOUNDS for field in bounds),
)  # fmt: skip


def is_exact(filters: TraceFilter) -> bool:
    """Whether ranges, ids and terms alone tell what matches."""
    return decided_by_costs(filters) and replace(filters, **dict.fromkeys(_IN_SQL)) == _EVERYTHING


def decided_by_costs(filters: TraceFilter) -> bool:
    """Whether the column of costs tells what its bounds let through: unknown costs are 0 there."""
    if filters.min_cost_usd is None:
        return filters.max_cost_usd is None
    return filters.min_cost_usd > 0


class Ranges:
    """The filter's ranges, as SQL for facets and for the bounds of blocks."""

    def __init__(self, filters: TraceFilter) -> None:
        self._ranges: list[tuple[str, Number | None, Number | None]] = []
        for column, least, most in _BOUNDS:
            low, high = getattr(filters, least), getattr(filters, most)
            if not (low is None and high is None):
                self._ranges.append((column, _number(low), _number(high)))

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def of_facets(self) -> tuple[str, list[Any]]:
        """The condition on a row of ``trace_facets``."""
        return _sql(self._ranges, "{0} >= ?", "{0} <= ?")

    def of_blocks(self) -> tuple[str, list[Any]]:
        """The condition on a block that may hold such a row."""
        known = [bounds for bounds in self._ranges if bounds[0] in _IN_BLOCKS]
        return _sql(known, "max_{0} >= ?", "min_{0} <= ?")

    def within_blocks(self) -> tuple[str, list[Any]]:
        """The condition on a block, as ``b``, that holds nothing else: of ids of full blocks."""
        condition, values = _sql(self._ranges, "min_{0} >= ?", "max_{0} <= ?")
        for column, *_ in self._ranges:
            if column in _MAY_BE_UNKNOWN:
                condition += (
                    " AND NOT EXISTS (SELECT 1 FROM trace_facets WHERE id BETWEEN "
                    f"b.block << 8 AND b.block << 8 | 255 AND {column} IS NULL)"
                )
        return f"ifnull({condition}, 0)", values


def _sql(
    ranges: Iterable[tuple[str, Number | None, Number | None]], at_least: str, at_most: str
) -> tuple[str, list[Any]]:
    conditions, values = ["1"], []
    for column, low, high in ranges:
        for template, bound, outward in ((at_least, low, -inf), (at_most, high, inf)):
            if bound is not None:
                conditions.append(template.format(column))
                values.append(_fitting(bound, -outward))
    return " AND ".join(conditions), values


def _number(bound: Bound | None) -> Number | None:
    """A bound as its column has it: instants in microseconds."""
    if isinstance(bound, datetime):
        return timestamps.to_microseconds(bound)
    return int(bound) if isinstance(bound, bool) else bound


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
