"""Rows of ``traces`` in the binary form of ``COPY``, which takes the server a third of the time.

The form: https://www.postgresql.org/docs/current/sql-copy.html. The length of each value is before
it; all numbers are big-endian.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct

from ..sql.terms import unpack
from .rows import COLUMNS, TraceRow

_BEGIN, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_FIELDS = COLUMNS.count(",") + 2  # and when it was saved
_ROWS_AT_ONCE = 64
_NULL = b"\xff\xff\xff\xff"  # the length of no value
_BIGINT = 20  # a type's number

_head = Struct("!h i16s i").pack
_numbers = Struct("!iq id id iq iq i?").pack
_integer = Struct("!iq").pack
_double = Struct("!id").pack
_length = Struct("!i").pack
_NO_TERMS = Struct("!4i").pack(12, 0, 0, _BIGINT)


def binary_rows(rows: Sequence[TraceRow], now_us: int) -> Iterator[bytes]:
    """What ``COPY`` takes of rows, in pieces: `COLUMNS`, and when each was saved.

    Args:
        rows: The rows.
        now_us: When those were saved that do not state it.
    """
    yield _BEGIN
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield b"".join([_binary(row, now_us) for row in rows[start : start + _ROWS_AT_ONCE]])
    yield _END


def _binary(row: TraceRow, now_us: int) -> bytes:
    (
        key, run_id, steps, total_ms, cost_usd, sent, written, has_error, started_us, wall_ms,
        terms, summary, crc, trace, calls,
    ) = row.columns  # fmt: skip
    name, saved_us = run_id.encode(), row.created_us
    return b"".join(
        (
            _head(_FIELDS, len(key), key, len(name)),
            name,
            _numbers(8, steps, 8, total_ms, 8, cost_usd, 8, sent, 8, written, 1, has_error),
            _NULL if started_us is None else _integer(8, started_us),
            _NULL if wall_ms is None else _double(8, wall_ms),
            _array(terms),
            _length(len(summary)),
            summary,
            _integer(8, crc),
            _length(len(trace)),
            trace,
            _NULL if calls is None else _length(len(calls)),
            calls or b"",
            _integer(8, now_us if saved_us is None else saved_us),
        )
    )


def _array(terms: bytes) -> bytes:
    """An array of ``bigint``: its dimensions, no nulls, the type, the size, and where it begins."""
    size = len(terms) // 8
    if not size:
        return _NO_TERMS
    items = [8] * (2 * size)
    items[1::2] = unpack(terms)
    return _array_form(size).pack(20 + 12 * size, 1, 0, _BIGINT, size, 1, *items)


@lru_cache(maxsize=256)
def _array_form(size: int) -> Struct:
    return Struct(f"!6i {'iq' * size}")
