"""Parameters of tests: all pairs of two lists, few of them in the default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def pairs(rows: Iterable[Any], values: Sequence[Any]) -> list[Any]:
    """Every row with every value; the default takes each row with one value, all values in turn."""
    return [
        pytest.param(
            *(row if isinstance(row, tuple) else (row,)),
            value,
            marks=() if place == number % len(values) else pytest.mark.slow,
        )
        for number, row in enumerate(rows)
        for place, value in enumerate(values)
    ]
