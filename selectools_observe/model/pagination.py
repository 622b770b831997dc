"""Pages of summaries, and the cursors that lead from one to the next."""

from __future__ import annotations

import base64
import binascii

import msgspec

from .page import Page
from .trace import TraceSummary


class TracePage(Page[TraceSummary]):
    """Summaries, newest first, and in ``next_cursor`` where the next page begins."""

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from .html_repr import runs_html  # noqa: PLC0415 - only notebooks need it

        return runs_html(self)


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A place in a store's order of saving: what a cursor carries.

    Attributes:
        store: The kind of store: a cursor means nothing to another kind.
        key: The place of the last trace that was given out.
        epoch: Which numbering the key belongs to, for stores that renumber when they open.
        created_us: When that trace was saved, microseconds since the epoch.
        run_id: Which trace it was.
        tiebreaker: How many of the same microsecond were saved before it.
        order_by: The order that was asked for; empty for that of saving.
        value: What it was ordered by.
        newest: In another order than that of saving, the place of the newest trace there was.
    """

    store: str
    key: int
    epoch: str = ""
    created_us: int = 0
    run_id: str = ""
    tiebreaker: int = 0
    order_by: str = ""
    value: int | float | None = None
    newest: int | None = None


def to_cursor(position: Position) -> str:
    """The opaque, URL-safe text of a position."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode("ascii")


def from_cursor(
    cursor: str, store: str, order_by: str | None = None, *, largest: int = 2**63
) -> Position:
    """The position of a cursor, whose key is less than the largest.

    Raises:
        TypeError: It is not a string.
        ValueError: It was not made by a store of this kind, or for another order.
    """
    if not isinstance(cursor, str):
        raise TypeError(f"a cursor must be a string, not {type(cursor).__name__}")
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        position = msgspec.json.decode(data, type=Position)
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        position = None
    if position is None or position.store != store or not 0 <= position.key < largest:
        raise ValueError(
            f"invalid cursor for this store: {cursor!r:.80}. Pass a page's next_cursor as it is"
        ) from None
    if position.order_by != (order_by or ""):
        raise ValueError(
            f"this cursor is of pages ordered by {position.order_by or 'the time of the save'}: "
            "ask for its next page with the same filter"
        )
    return position
