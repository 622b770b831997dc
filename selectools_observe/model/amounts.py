"""Numbers as steps say them: what is not finite, or no number, counts as 0 in all sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from typing import TypeAlias, TypeGuard

Number: TypeAlias = int | float

_NUMBERS = frozenset({int, float})


def is_finite(value: object) -> TypeGuard[Number]:
    """Whether it is a number that can be added to others."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def finite(value: object) -> Number:
    """The number, or 0 if it cannot be added to others."""
    return value if is_finite(value) else 0


def total_of(durations: Sequence[Number]) -> Number:
    """The sum of durations; what is no finite number counts as 0."""
    if _NUMBERS.issuperset(map(type, durations)):
        try:
            total = added(durations)
            if math.isfinite(total):
                return total
        except OverflowError:
            pass
    total = added(duration for duration in durations if is_finite(duration))
    return total if is_finite(total) else 0.0


def added(numbers: Iterable[Number]) -> Number:
    """The sum of numbers, added one after the other.

    From Python 3.12 on `sum` rounds otherwise than before, and what a file keeps is to be the same
    whoever reads it.
    """
    return reduce(add, numbers, 0)
