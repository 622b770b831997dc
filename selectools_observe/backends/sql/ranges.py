"""A filter's ranges as SQL conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from math import inf, nextafter
from typing import Any, TypeAlias

from ...model import conditions, timestamps
from ...model.amounts import Number
from ...model.conditions import HasError, HasField, Moment, Not, conjuncts
from ...model.filters import BOUNDS, TraceFilter, condition_of, fields_set

Bound: TypeAlias = Number | datetime

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
# What the fields of a filter ask of a column.
_ASKED: dict[str, tuple[str, conditions.Operator]] = {
    name: (_COLUMNS[field], operator) for name, (field, operator) in BOUNDS.items()
} | {"has_error": ("has_error", "=")}
EXACT = 2**53
"""Integers below it are floats as well, which columns hold."""
# What lets through no less, as columns hold floats.
_WIDER: dict[conditions.Operator, conditions.Operator] = {
    "<": "<=", ">": ">=", "=": "=", "<=": "<=", ">=": ">=",
}  # fmt: skip
_SIDES: dict[conditions.Operator, tuple[conditions.Operator, ...]] = {
    "<": ("<",), "<=": ("<=",), "=": (">=", "<="), ">=": (">=",), ">": (">",),
}  # fmt: skip
# What columns and terms say as exactly as `matches` does.
_IN_SQL = (
    "metadata_match", "parent_run_id", "run_ids", "step_type", "tool_name", "model", "name",
    "session_id", "user_id", "agent", "tags", "outcome",
)  # fmt: skip
_RANGES = frozenset({"limit", *_ASKED})
# What only `matches` decides; a field that nobody put into SQL yet is one of these.
_BUT_WHERE = frozenset({*_IN_SQL, *_RANGES, "order_by", "where"})


def are_fields_exact(filters: TraceFilter) -> bool:
    """Whether ranges, ids and terms say all that the filter's fields ask of a row but ``where``."""
    return decided_by_costs(filters) and _BUT_WHERE.issuperset(fields_set(filters))


def is_decided_by_index(filters: TraceFilter) -> bool:
    """Whether ranges, ids and terms say all that the filter asks of a row."""
    return filters.where is None and are_fields_exact(filters)


def is_told_by_ranges(filters: TraceFilter) -> bool:
    """Whether ranges alone tell what matches, in the order of saving."""
    return decided_by_costs(filters) and _RANGES.issuperset(fields_set(filters))


def decided_by_costs(filters: TraceFilter) -> bool:
    """Whether the column of costs tells what its bounds let through: unknown costs are 0 there."""
    if filters.min_cost_usd is None:
        return filters.max_cost_usd is None
    return filters.min_cost_usd > 0


Range: TypeAlias = tuple[str, conditions.Operator, Number]
"""A column, and what it is compared with."""


class Ranges:
    """The filter's ranges, as SQL for facets and for the bounds of blocks.

    Args:
        filters: The filter.
        of_condition: Whether bounds in its ``where`` narrow as well; they never decide.
    """

    def __init__(self, filters: TraceFilter, *, of_condition: bool = False) -> None:
        self._ranges: list[Range] = [
            (*_ASKED[name], _number(getattr(filters, name)))
            for name in fields_set(filters)
            if name in _ASKED
        ]
        if of_condition:
            self._ranges += _ranges_of_condition(filters)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def of_facets(self) -> tuple[str, list[Any]]:
        """The condition on a row of ``trace_facets``."""
        parts = [f"{column} {operator} ?" for column, operator, _ in self._ranges]
        return " AND ".join(["1", *parts]), [
            _fitting(operator, bound) for _, operator, bound in self._ranges
        ]

    def of_blocks(self) -> tuple[str, list[Any]]:
        """The condition on a block that may hold such a row."""
        known = [bounds for bounds in self._ranges if bounds[0] in _IN_BLOCKS]
        return _sql_of_ends(known, "max", "min")

    def within_blocks(self) -> tuple[str, list[Any]]:
        """The condition on a block, as ``b``, that holds nothing else: of ids of full blocks."""
        if any([column not in _IN_BLOCKS for column, *_ in self._ranges]):
            return "0", []
        condition, values = _sql_of_ends(self._ranges, "min", "max")
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
                yield "has_error", "=", 1
            case Not(HasError() | HasField("error")):
                yield "has_error", "=", 0
            case conditions.Bound("tokens", _, value) if abs(value) > EXACT:
                pass  # such a sum may be no integer
            case conditions.Bound(field, operator, value) | Moment(field, operator, value):
                bound = _number(value)
                yield _COLUMNS[field], operator if abs(bound) < EXACT else _WIDER[operator], bound


def _sql_of_ends(ranges: Iterable[Range], if_above: str, if_below: str) -> tuple[str, list[Any]]:
    """The conditions on the least and the most of a block."""
    parts, values = ["1"], []
    for column, operator, bound in ranges:
        for side in _SIDES[operator]:
            parts.append(f"{if_above if side[0] == '>' else if_below}_{column} {side} ?")
            values.append(_fitting(side, bound))
    return " AND ".join(parts), values


def _number(bound: Bound) -> Number:
    """A bound as its column has it: instants in microseconds."""
    if isinstance(bound, datetime):
        return timestamps.to_microseconds(bound)
    return int(bound) if isinstance(bound, bool) else bound


def _fitting(operator: conditions.Operator, bound: Number) -> Number:
    """The bound as SQLite can take it: its integers have 64 bits.

    An integer beyond them becomes the nearest float that excludes what it excludes.
    """
    if not isinstance(bound, int) or -(2**63) <= bound < 2**63:
        return bound
    try:
        near = float(bound)
    except OverflowError:
        return inf if bound > 0 else -inf
    if operator == "=":
        return near
    is_least = operator[0] == ">"
    excludes_less = near < bound if is_least else near > bound
    return nextafter(near, inf if is_least else -inf) if excludes_less else near
