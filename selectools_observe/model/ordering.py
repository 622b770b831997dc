"""In what order `query` gives runs, when not in that of saving."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from .amounts import Number
from .conditions import number_of, score_of
from .trace import EPOCH, MICROSECOND, TraceSummary

ORDERS = ("created_at", "started_at", "total_ms", "wall_ms", "cost_usd", "tokens", "steps")
"""What runs can be ordered by, besides ``score.NAME``."""

_SCORE = "score."


Place: TypeAlias = tuple[int, ...]
SortKey: TypeAlias = tuple[bool, Number, Place]


class Order(msgspec.Struct, frozen=True):
    """An order. Runs of the same value are in the order of saving, in the same direction.

    Attributes:
        field: What goes first.
        descending: Whether the largest comes first. What is unknown comes last either way.
    """

    field: str
    descending: bool = False

    @property
    def is_of_score(self) -> bool:
        """Whether it goes by what annotations say."""
        return self.field.startswith(_SCORE)

    def value_of(self, summary: TraceSummary) -> Number | None:
        """The value that a run is ordered by; times as microseconds since 1970."""
        if self.is_of_score:
            return score_of(summary, self.field.removeprefix(_SCORE))
        if self.field == "cost_usd":
            return summary.cost_usd or 0.0  # what is unknown is with what was free
        if not self.field.endswith("_at"):
            return number_of(summary, self.field)  # type: ignore[arg-type]
        moment: datetime | None = getattr(summary, self.field, None)
        return None if moment is None else (moment - EPOCH) // MICROSECOND

    def key(self, value: Number | None, place: Place) -> SortKey:
        """What to sort by, with ``reverse=self.descending``."""
        return ((value is None) != self.descending, 0 if value is None else value, place)

    def is_after(self, key: SortKey, last: SortKey) -> bool:
        """Whether a run comes after another."""
        return key < last if self.descending else key > last


def parse_order(text: str) -> Order:
    """The order of a text such as ``-total_ms``.

    Raises:
        ValueError: There is no such order.
    """
    order = Order(text.removeprefix("-"), text.startswith("-"))
    is_score = order.is_of_score and order.field != _SCORE
    if order.field not in ORDERS and not is_score:
        raise ValueError(
            f"runs are ordered by {', '.join(ORDERS)} or score.NAME, with - before it for "
            f"descending, not by {text!r:.80}"
        )
    return order
