"""The rows of ``traces``: how traces become them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from ...model import timestamps
from ...model.checksum import checksum
from ...model.codec import EncodedTrace, encode
from ...model.details import RunDetails, cost_of
from ...model.groups import FIELD_KEYS
from ...model.json_values import loads
from ..sql.server_rows import kept_summary, key_of, readable_id
from ..sql.terms import terms_of
from . import native
from .run_fields import Texts, columns_of_fields, names_of, pairs_of
from .step_columns import StepFields, columns_of_steps, fields_of_steps

WRITER_BITS = 64
"""The lower bits of a place in the order of saving: they tell writers of one moment apart."""

COLUMNS = {
    "place": "UInt128", "created_us": "Int64", "key": "UUID", "run_id": "String",
    "steps": "Int64", "total_ms": "Float64", "cost_usd": "Float64", "knows_cost": "UInt8",
    "prompt_tokens": "Int64", "completion_tokens": "Int64", "has_error": "UInt8",
    "started_us": "Nullable(Int64)", "wall_ms": "Nullable(Float64)", "crc": "UInt32",
    "terms": "Array(Int64)", **dict.fromkeys(FIELD_KEYS, "Array(String)"),
    "fields": "Map(String, Array(String))", "summary": "String", "trace": "String",
    "step.type": "Array(LowCardinality(String))", "step.model": "Array(LowCardinality(String))",
    "step.tool": "Array(LowCardinality(String))", "step.ms": "Array(Float64)",
    "step.prompt_tokens": "Array(Int64)", "step.completion_tokens": "Array(Int64)",
    "step.cost_usd": "Array(Nullable(Float64))", "step.failed": "Array(UInt8)",
}  # fmt: skip
"""The columns that are saved, and their types."""

_KEYS = {"key": "UUID", "place": "UInt128"}
_NOTED = {"key": "UUID"}
_TERM_SIZE = 8
_ROWS_AT_ONCE = 64
_Snapshot: TypeAlias = tuple[EncodedTrace, StepFields]


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way to the server: what its columns are made of, none of which changes.

    Attributes:
        run_id: The run's id.
        key: Its key.
        numbers: The values of the columns from ``steps`` to ``crc``.
        terms: What filters ask, packed.
        details: What a summary says.
        texts: The texts of ``fields``.
        summary: The summary as JSON.
        trace: The trace as JSON.
        steps: The fields of its steps.
        created_at: When it is to have been saved; None: when it is.
    """

    run_id: str
    key: bytes
    numbers: tuple[Any, ...]
    terms: bytes
    details: RunDetails
    texts: Sequence[Texts]
    summary: bytes
    trace: bytes
    steps: StepFields
    created_at: datetime | None = None


def rows_of(traces: Iterable[object]) -> list[TraceRow]:
    """The rows of traces, each as it is when its turn comes.

    Raises:
        InvalidTraceError: One of them cannot be stored.
    """
    rest = iter(traces)
    rows: list[TraceRow] = []
    while snapshots := list(map(_snapshot, islice(rest, _ROWS_AT_ONCE))):
        rows += _rows(snapshots)
    return rows


def _snapshot(trace: object) -> _Snapshot:
    encoded = encode(trace)
    return encoded, fields_of_steps(trace, encoded)


def _rows(snapshots: Sequence[_Snapshot]) -> Iterator[TraceRow]:
    """The rows of some traces. Each part is made of all of them before the next is: a processor
    does the same again in half the time that it takes for something else each time.
    """
    every = [encoded for encoded, _ in snapshots]
    facts = [one.facts for one in every]
    details = [one.details for one in every]
    pairs = [pairs_of(loads(one.metadata)) for one in every]
    others = list(map(terms_of, [b"{}"] * len(every), facts, details))
    names = [names_of(one.models, one.tool_names, one.step_types) for one in facts]
    return map(
        TraceRow,
        [one.run_id for one in every],
        [packed_key(one.run_id) for one in every],
        list(map(_numbers, every)),
        [terms + more for (terms, _), more in zip(pairs, others, strict=True)],
        details,
        [(*some, *more) for some, (_, more) in zip(names, pairs, strict=True)],
        list(map(kept_summary, every)),
        [one.trace for one in every],
        [steps for _, steps in snapshots],
    )


def _numbers(encoded: EncodedTrace) -> tuple[Any, ...]:
    usage, details = encoded.usage, encoded.details
    return (
        encoded.steps,
        encoded.total_ms,
        usage.cost_usd,
        cost_of(usage, details) is not None,
        usage.prompt_tokens,
        usage.completion_tokens,
        encoded.facts.has_error,
        details.started_us,
        details.wall_ms,
        checksum(encoded.trace),
    )


def packed_key(run_id: str) -> bytes:
    """The key of a run: a ``UUID`` as ClickHouse's binary formats have it."""
    return native.uuid(key_of(run_id))


def block_of(rows: Sequence[TraceRow], places: Sequence[bytes], now_us: int) -> native.Block:
    """Rows as a block for ``traces``, saved now but for those that were saved at another time."""
    return native.Block(COLUMNS, len(rows), partial(_columns, rows, places, now_us))


def _columns(
    rows: Sequence[TraceRow], places: Sequence[bytes], now_us: int
) -> Iterator[Iterable[bytes]]:
    moments = [row.created_at for row in rows]
    values = (
        places,
        [timestamps.to_microseconds(at) if at else now_us for at in moments],
        [row.key for row in rows],
        [readable_id(row.run_id).encode() for row in rows],
        *zip(*[row.numbers for row in rows], strict=True),
    )
    yield from map(native.column, COLUMNS.values(), values)
    terms = [row.terms for row in rows]
    yield native.sizes([len(some) // _TERM_SIZE for some in terms]), b"".join(terms)
    yield from columns_of_fields([row.details for row in rows], [row.texts for row in rows])
    yield [native.texts([row.summary for row in rows])]
    yield (native.text(row.trace) for row in rows)
    yield from columns_of_steps([row.steps for row in rows])


def key_block(keys: Sequence[bytes], places: Sequence[bytes]) -> native.Block:
    """A block for ``keys``."""
    return native.block_of_values(_KEYS, keys, places)


def noted_block(keys: Sequence[bytes]) -> native.Block:
    """A block for ``replacing``."""
    return native.block_of_values(_NOTED, keys)


def place_of(microsecond: int, writer: int) -> int:
    """A place in the order of saving."""
    return microsecond << WRITER_BITS | writer
