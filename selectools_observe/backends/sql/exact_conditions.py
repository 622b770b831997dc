"""Conditions as SQL that holds of a row exactly where they hold of its run.

Columns and terms tell of most. They do not tell of runs with an array under a key of the metadata
that is asked for: these have a term that says so, see `terms_in_doubt`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from ...model import timestamps
from ...model.amounts import Number
from ...model.conditions import (
    COMPARISONS,
    AllOf,
    AnyOf,
    Bound,
    Condition,
    HasError,
    HasField,
    Moment,
    Not,
    NumberField,
    Operator,
    RunIs,
    TimeField,
    leaves,
)
from .ranges import EXACT
from .terms import terms_of_leaf

SQL: TypeAlias = tuple[str, list[Any]]
"""A condition on a row of ``traces``, never null, and its values."""


class Columns(Protocol):
    """What a server's columns can be asked, as SQL that is never null."""

    @property
    def has_error(self) -> SQL:
        """A step of the run failed."""

    def compares(self, field: NumberField | TimeField, sign: Operator, bound: Number) -> SQL:
        """A number of the run, or a time of it in microseconds, is known and so compared."""

    def has_one(self, terms: list[int]) -> SQL:
        """The run has one of these terms."""

    def is_run(self, run_id: str) -> SQL:
        """The run has this id."""


def exactly(condition: Condition, columns: Columns) -> SQL | None:
    """What holds of a row exactly where the condition does, but for `terms_in_doubt`; or None."""
    match condition:
        case Not(part):
            return negated(exactly(part, columns))
        case AllOf(parts):
            return all_of(" AND ", (exactly(part, columns) for part in parts))
        case AnyOf(parts):
            return all_of(" OR ", (exactly(part, columns) for part in parts))
    return _of_leaf(condition, columns)


def _of_leaf(condition: Condition, columns: Columns) -> SQL | None:
    match condition:
        case HasError() | HasField("error"):
            return columns.has_error
        case Bound(field, sign, bound):
            return columns.compares(field, sign, bound) if _is_told(condition) else None
        case Moment(field, sign, moment):
            return columns.compares(field, sign, timestamps.to_microseconds(moment))
        case RunIs("run_id", name) if "*" not in name:
            return columns.is_run(name)
    _, terms = terms_of_leaf(condition)
    return columns.has_one(terms) if terms else None


def terms_in_doubt(condition: Condition) -> list[int]:
    """Terms of runs of which `exactly` does not tell."""
    told = map(terms_of_leaf, leaves(condition))
    return list({term for needed, enough in told if enough for term in {*needed} - {*enough}})


def _is_told(bound: Bound) -> bool:
    return not lets_through_unknown(bound) and abs(bound.value) < EXACT


def lets_through_unknown(condition: Condition) -> bool:
    """Whether a column does not compare as the number does: a cost that is unknown is 0 there."""
    match condition:
        case Bound("cost_usd", sign, bound):
            return COMPARISONS[sign](0, bound)
    return False


def negated(condition: SQL | None) -> SQL | None:
    """What holds where a condition does not."""
    return None if condition is None else (f"NOT ({condition[0]})", condition[1])


def some_of(word: str, conditions: Iterable[SQL | None]) -> SQL | None:
    """Those that are known, joined."""
    some = [each for each in conditions if each is not None]
    if not some:
        return None
    sql = word.join(f"({each})" for each, _ in some)
    return f"({sql})", [value for _, values in some for value in values]


def all_of(word: str, conditions: Iterable[SQL | None]) -> SQL | None:
    """All of them, joined; None if one is not known."""
    every = list(conditions)
    return None if None in every else some_of(word, every)
