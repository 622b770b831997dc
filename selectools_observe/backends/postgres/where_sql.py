"""A filter's ``where`` as SQL that narrows: what must hold of a row for it to hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

from ...model.conditions import (
    AllOf,
    AnyOf,
    Condition,
    HasError,
    HasField,
    MetadataIs,
    Not,
    RunIs,
    StepHas,
)
from ..sql.terms import terms_of_leaf

SQL: TypeAlias = tuple[str, list[Any]]
"""A condition on a row of ``traces``, never null, and its values."""

# Whether any step says what it cost stands first in what is kept of the calls, as MessagePack.
_HAS_COST = "(calls IS NULL OR get_byte(calls, 1) = 195)"
_HAS_NO_COST = "(calls IS NULL OR get_byte(calls, 1) = 194)"
_PLAIN = re.compile(r"[A-Za-z0-9 _.:@+-]{2,}")  # JSON writes it as it is


def needed(condition: Condition) -> SQL | None:
    """What must hold of a row for a condition to hold; None if nothing is known."""
    match condition:
        case Not(HasField("cost")):
            return _HAS_NO_COST, []
        case Not(part):
            return _not(enough(part))
        case AllOf(parts):
            return _some_of(" AND ", map(needed, parts))
        case AnyOf(parts):
            return _all_of(" OR ", map(needed, parts))
    return _of_leaf(condition) or _has_one(terms_of_leaf(condition)[0])


def enough(condition: Condition) -> SQL | None:
    """What tells of a row that a condition holds; None if nothing does."""
    match condition:
        case Not(part):
            return _not(needed(part))
        case AllOf(parts):
            return _all_of(" AND ", map(enough, parts))
        case AnyOf(parts):
            return _some_of(" OR ", map(enough, parts))
        case HasError() | HasField("error"):
            return "has_error", []
    return _has_one(terms_of_leaf(condition)[1])


def _of_leaf(condition: Condition) -> SQL | None:
    """What must hold for a condition that terms tell nothing of."""
    match condition:
        case HasField("cost"):
            return _HAS_COST, []
        case HasError() | HasField("error"):
            return "has_error", []
        case StepHas(_, name) | RunIs(_, name) | MetadataIs(_, _, str(name)) if "*" in name:
            return _piece_of(name)
    return None


def _has_one(terms: list[int]) -> SQL | None:
    return ("terms && %s::bigint[]", [terms]) if terms else None


def _piece_of(pattern: str) -> SQL | None:
    """The longest piece of a pattern stands in the summary, if JSON writes it as it is."""
    pieces = [found for part in pattern.split("*") for found in _PLAIN.findall(part)]
    if not pieces:
        return None
    return "position(%s::bytea IN summary) > 0", [max(pieces, key=len).encode()]


def _not(condition: SQL | None) -> SQL | None:
    return None if condition is None else (f"NOT ({condition[0]})", condition[1])


def _some_of(word: str, conditions: Iterable[SQL | None]) -> SQL | None:
    """Those that are known, joined."""
    some = [each for each in conditions if each is not None]
    if not some:
        return None
    sql = word.join(f"({each})" for each, _ in some)
    return f"({sql})", [value for _, values in some for value in values]


def _all_of(word: str, conditions: Iterable[SQL | None]) -> SQL | None:
    """All of them, joined; None if one is not known."""
    every = list(conditions)
    return None if None in every else _some_of(word, every)
