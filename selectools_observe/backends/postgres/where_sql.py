"""A filter's ``where`` as SQL: what must hold of a row for it to hold, and what tells exactly."""

from __future__ import annotations

import re

from ...model.amounts import Number
from ...model.clock import Clock
from ...model.conditions import (
    AllOf,
    AnyOf,
    Bound,
    Condition,
    HasField,
    MetadataIs,
    Not,
    NumberField,
    Operator,
    RunIs,
    StepHas,
    TimeField,
)
from ..sql.exact_conditions import (
    SQL,
    all_of,
    exactly,
    lets_through_unknown,
    negated,
    some_of,
)
from ..sql.server_rows import key_of
from ..sql.terms import terms_of_leaf

MOMENTS: dict[Clock, str] = {
    "created_at": "created_us", "started_at": "coalesce(started_us, created_us)",
}  # fmt: skip
"""The time of a run, by each clock."""
ORDERED = {
    "created_at": ("created_us", False), "started_at": ("started_us", True),
    "total_ms": ("total_ms", False), "wall_ms": ("wall_ms", True), "cost_usd": ("cost_usd", False),
    "tokens": ("(prompt_tokens::numeric + completion_tokens)", False), "steps": ("steps", False),
}  # fmt: skip
"""What runs are ordered by, as SQL, and whether it may be NULL."""

# It stands first in what is kept of the calls, as MessagePack.
HAS_COST = "(calls IS NULL OR get_byte(calls, 1) = 195)"
"""What holds of a row if any step says what it cost."""
_HAS_NO_COST = "(calls IS NULL OR get_byte(calls, 1) = 194)"
_PLAIN = re.compile(r"[A-Za-z0-9 _.:@+-]{2,}")  # JSON writes it as it is


class PostgresColumns:
    """What the columns of a row can be asked."""

    has_error: SQL = ("has_error", [])

    @staticmethod
    def compares(field: NumberField | TimeField, sign: Operator, bound: Number) -> SQL:
        column, may_be_null = ORDERED.get(field, (field, False))
        sql = f"{column} {sign} %s"
        return (f"coalesce({sql}, false)" if may_be_null else sql), [bound]

    @staticmethod
    def has_one(terms: list[int]) -> SQL:
        return "terms && %s::bigint[]", [terms]

    @staticmethod
    def is_run(run_id: str) -> SQL:
        return "key = %s", [key_of(run_id)]


COLUMNS = PostgresColumns()


def needed(condition: Condition) -> SQL | None:
    """What must hold of a row for a condition to hold; None if nothing is known."""
    match condition:
        case Not(HasField("cost")):
            return _HAS_NO_COST, []
        case Not(part):
            return negated(enough(part))
        case AllOf(parts):
            return some_of(" AND ", map(needed, parts))
        case AnyOf(parts):
            return all_of(" OR ", map(needed, parts))
    terms, _ = terms_of_leaf(condition)
    if terms:
        return COLUMNS.has_one(terms)
    return _of_leaf(condition) or exactly(condition, COLUMNS)


def enough(condition: Condition) -> SQL | None:
    """What tells of a row that a condition holds; None if nothing does."""
    match condition:
        case Not(part):
            return negated(needed(part))
        case AllOf(parts):
            return all_of(" AND ", map(enough, parts))
        case AnyOf(parts):
            return some_of(" OR ", map(enough, parts))
    return exactly(condition, COLUMNS)


def _of_leaf(condition: Condition) -> SQL | None:
    """What must hold for a condition that neither terms nor columns tell whole."""
    match condition:
        case HasField("cost"):
            return HAS_COST, []
        case Bound() if lets_through_unknown(condition):
            return HAS_COST, []
        case StepHas(_, name) | RunIs(_, name) | MetadataIs(_, _, str(name)) if "*" in name:
            return _piece_of(name)
    return None


def _piece_of(pattern: str) -> SQL | None:
    """The longest piece of a pattern stands in the summary, if JSON writes it as it is."""
    pieces = [found for part in pattern.split("*") for found in _PLAIN.findall(part)]
    if not pieces:
        return None
    return "position(%s::bytea IN summary) > 0", [max(pieces, key=len).encode()]
