"""Rows of ``traces`` on their way to the server: arrays of ``saved_run`` in the binary form.

One value of one statement brings many rows: a batch is one trip, and the server takes half of what
values one by one take it. The form is that of ``record_recv`` and ``array_recv`` (PostgreSQL's
``rowtypes.c`` and ``arrayfuncs.c``): numbers are big-endian, the length of each value is before it,
-1 for none, and before that the number of its type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from struct import Struct

from ...model.checksum import checksum
from ...model.codec import EncodedTrace
from ..sql.server_rows import kept_summary, key_of, readable_id
from ..sql.terms import terms_of, unpack
from .kept_calls import packed_calls
from .rows import TraceRow

_ROWS_AT_ONCE = 64
_BYTES_AT_ONCE = 4 * 1024 * 1024

_BOOLEAN, _BYTEA, _BIGINT, _TEXT, _DOUBLE, _BIGINTS = 16, 17, 20, 25, 701, 1016  # types' numbers
_FIELDS = 16  # of a ``saved_run``

_begin = Struct("!i ii16s ii").pack  # a record, its key, and the head of the id
_numbers = Struct("!iiq iid iid iiq iiq ii?").pack
_integer = Struct("!iiq").pack
_double = Struct("!iid").pack
_value = Struct("!ii").pack
_length = Struct("!i").pack
_array_head = Struct("!iiIii").pack
_NO_TIME, _NO_SPAN, _NO_CALLS = (_value(kind, -1) for kind in (_BIGINT, _DOUBLE, _BYTEA))
_NO_TERMS = Struct("!ii 3i").pack(_BIGINTS, 12, 0, 0, _BIGINT)


def packed_row(encoded: EncodedTrace, trace: object) -> bytes:
    """The row of a run as a ``saved_run``, all but the last of its values: when it was saved.

    Args:
        encoded: The run.
        trace: What it was encoded of.
    """
    usage, details = encoded.usage, encoded.details
    name = readable_id(encoded.run_id).encode()
    summary, calls = kept_summary(encoded), packed_calls(encoded, trace)
    return b"".join(
        (
            _begin(_FIELDS, _BYTEA, 16, key_of(encoded.run_id), _TEXT, len(name)),
            name,
            _numbers(
                _BIGINT, 8, encoded.steps,
                _DOUBLE, 8, encoded.total_ms,
                _DOUBLE, 8, usage.cost_usd,
                _BIGINT, 8, usage.prompt_tokens,
                _BIGINT, 8, usage.completion_tokens,
                _BOOLEAN, 1, encoded.facts.has_error,
            ),
            _moment(details.started_us),
            _NO_SPAN if details.wall_ms is None else _double(_DOUBLE, 8, details.wall_ms),
            _array(terms_of(encoded.metadata, encoded.facts, details)),
            _value(_BYTEA, len(summary)),
            summary,
            _integer(_BIGINT, 8, checksum(encoded.trace)),
            _value(_BYTEA, len(encoded.trace)),
            encoded.trace,
            _NO_CALLS if calls is None else _value(_BYTEA, len(calls)),
            calls or b"",
        )
    )  # fmt: skip


def _array(terms: bytes) -> bytes:
    """An array of ``bigint``: its dimensions, no nulls, the type, the size, and where it begins."""
    size = len(terms) // 8
    if not size:
        return _NO_TERMS
    items = [8] * (2 * size)
    items[1::2] = unpack(terms)
    return _array_form(size).pack(_BIGINTS, 20 + 12 * size, 1, 0, _BIGINT, size, 1, *items)


@lru_cache(maxsize=256)
def _array_form(size: int) -> Struct:
    return Struct(f"!ii 5i {'iq' * size}")


def _moment(microseconds: int | None) -> bytes:
    return _NO_TIME if microseconds is None else _integer(_BIGINT, 8, microseconds)


def arrays_of(rows: Sequence[TraceRow], run_type: int) -> Iterator[bytes]:
    """Rows as arrays, each for a statement of its own, in their order; no array has a run twice.

    Args:
        rows: The rows.
        run_type: The number that the database has given ``saved_run``.
    """
    first = size = 0
    keys: set[bytes] = set()
    for place, row in enumerate(rows):
        size += len(row.packed)
        is_full = place - first >= _ROWS_AT_ONCE or size > _BYTES_AT_ONCE
        if keys and (is_full or row.key in keys):
            yield _array_of(rows[first:place], run_type)
            first, size = place, len(row.packed)
            keys.clear()
        keys.add(row.key)
    yield _array_of(rows[first:], run_type)


def _array_of(rows: Sequence[TraceRow], run_type: int) -> bytes:
    return b"".join(
        [_array_head(1, 0, run_type, len(rows), 1), *chain.from_iterable(map(_item, rows))]
    )


def _item(row: TraceRow) -> tuple[bytes, bytes, bytes]:
    saved = _moment(row.created_us)
    return _length(len(row.packed) + len(saved)), row.packed, saved
