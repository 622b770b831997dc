"""A filter's ranges as SQL conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import datetime
from math import inf, nextafter
from typing import Any, TypeAlias

from ..model import conditions
from ..model.conditions import HasError, HasField, Moment, Not, conjuncts
from ..model.filters import TraceFilter, condition_of
from ..model.trace import Number
from . import timestamps

Bound: TypeAlias = Number | datetime

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
# The column of what a condition compares.
_COLUMNS = {
    "created_at": "created_us", "started_at": "started_us", "steps": "steps",
    "total_ms": "total_ms", "wall_ms": "wall_ms", "cost_usd": "cost_usd",
    "prompt_tokens": "prompt_tokens", "completion_tokens": "completion_tokens",
    "tokens": "prompt_tokens + completion_tokens",
}  # fmt: skip
_REAL = frozenset({"total_ms", "wall_ms", "cost_usd"})
_EXACT = 2**53
# What columns and terms say as exactly as `matches` does.
_IN_SQL = (
    "metadata_match", "parent_run_id", "run_ids", "step_type", "tool_name", "model", "name",
    "session_id", "user_id", "agent", "tags", "outcome", "limit",
    *(field for _, *bounds in _BOUNDS for field in bounds),
)  # fmt: skip


# What only `matches` decides; a field that nobody put into SQL yet is one of these.
_BEYOND_SQL = tuple(
    field.name for field in fields(TraceFilter) if field.name not in {*_IN_SQL, "order_by"}
)


def is_exact(filters: TraceFilter) -> bool:
    """Whether ranges, ids and terms alone tell what matches, in the order of saving."""
    return filters.order_by is None and is_decided_by_index(filters)


def is_decided_by_index(filters: TraceFilter) -> bool:
    """Whether ranges, ids and terms say all that the filter asks of a row."""
    return decided_by_costs(filters) and all(getattr(filters, f) is None for f in _BEYOND_SQL)


def decided_by_costs(filters: TraceFilter) -> bool:
    """Whether the column of costs tells what its bounds let through: unknown costs are 0 there."""
    if filters.min_cost_usd is None:
        return filters.max_cost_usd is None
    return filters.min_cost_usd > 0


Range: TypeAlias = tuple[str, Number | None, Number | None]
"""A column, the least and the most."""


class Ranges:
    """The filter's ranges, as SQL for facets and for the bounds of blocks.

    Args:
        filters: The filter.
        of_condition: Whether bounds in its ``where`` narrow as well; they never decide.
    """

    def __init__(self, filters: TraceFilter, *, of_condition: bool = False) -> None:
        self._ranges: list[Range] = []
        for column, least, most in _BOUNDS:
            low, high = getattr(filters, least), getattr(filters, most)
            if not (low is None and high is None):
                self._ranges.append((column, _number(low), _number(high)))
        if of_condition:
            self._ranges += _ranges_of_condition(filters)

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
        if any([column not in _IN_BLOCKS for column, *_ in self._ranges]):
            return "0", []
        condition, values = _sql(self._ranges, "min_{0} >= ?", "max_{0} <= ?")
        for column, *_ in self._ranges:
            if column in _MAY_BE_UNKNOWN:
                condition += (
                    " AND NOT EXISTS (SELECT 1 FROM trace_facets WHERE id BETWEEN "
                    f"b.block << 8 AND b.block << 8 | 255 AND {column} IS NULL)"
                )
        return f"ifnull({condition}, 0)", values


def _ranges_of_condition(filters: TraceFilter) -> Iterator[Range]:
    """Ranges in which every run is that fulfils the filter's ``where``."""
    for part in conjuncts(condition_of(filters)):
        match part:
            case HasError() | HasField("error"):
                yield "has_error", 1, 1
            case Not(HasError() | HasField("error")):
                yield "has_error", 0, 0
            case conditions.Bound("tokens", _, value) if abs(value) > _EXACT:
                pass  # such a sum may be no integer
            case conditions.Bound(field, operator, value) | Moment(field, operator, value):
                yield (_COLUMNS[field], *_ends(_COLUMNS[field], operator, _number(value)))


def _ends(
    column: str, operator: conditions.Operator, bound: Number | None
) -> tuple[Number | None, Number | None]:
    """The least and the most that a comparison lets through."""
    if operator == "=":
        return bound, bound
    is_above = operator in {">", ">="}
    if bound is not None and operator in {"<", ">"} and abs(bound) < _EXACT:
        is_whole = isinstance(bound, int) and column not in _REAL
        step = 1 if is_above else -1
        bound = bound + step if is_whole else nextafter(bound, step * inf)
    return (bound, None) if is_above else (None, bound)


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
