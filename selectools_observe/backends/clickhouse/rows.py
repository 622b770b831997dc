"""The rows of ``traces``: how a trace becomes one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from struct import Struct

import msgspec

from ...model import timestamps
from ...model.checksum import checksum
from ...model.codec import encode
from ...model.details import cost_of
from ...model.groups import FIELD_KEYS
from ...model.json_values import loads
from ..sql.server_rows import kept_summary, key_of, readable_id
from ..sql.terms import terms_of
from . import row_binary
from .run_fields import packed_fields, packed_metadata
from .step_columns import fields_of_steps, packed_steps

WRITER_BITS = 64
"""The lower bits of a place in the order of saving: they tell writers of one moment apart."""

COLUMNS = (
    "place", "created_us", "key", "run_id", "steps", "total_ms", "cost_usd", "knows_cost",
    "prompt_tokens", "completion_tokens", "has_error", "started_us", "wall_ms", "terms",
    *FIELD_KEYS, "fields", "summary", "crc", "trace", "step.type", "step.model", "step.tool",
    "step.ms", "step.prompt_tokens", "step.completion_tokens", "step.cost_usd",
    "step.failed",
)  # fmt: skip
KEY_COLUMNS = ("key", "place")

_pack_sizes = Struct("<qddBqqB").pack  # `steps` to `has_error`
_pack_crc = Struct("<I").pack
_KEY_SIZE = 16
_TERM_SIZE = 8
_PARTS_AT_ONCE = 3 * 256  # three a row


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way to the server.

    Attributes:
        run_id: The run's id.
        packed: The values of `COLUMNS` but for the first two, as ``RowBinary``: ten thousand rows
            of objects would keep the garbage collector busy.
        created_at: When it is to have been saved; None: when it is.
    """

    run_id: str
    packed: bytes
    created_at: datetime | None = None

    @property
    def key(self) -> bytes:
        """The key of the run."""
        return self.packed[:_KEY_SIZE]


def row_of(trace: object) -> TraceRow:
    """The row of a trace.

    Raises:
        InvalidTraceError: It cannot be stored.
    """
    encoded = encode(trace)
    usage, details = encoded.usage, encoded.details
    metadata = loads(encoded.metadata)
    terms, pairs = packed_metadata(metadata)
    terms += terms_of(b"{}", encoded.facts, details)
    packed = b"".join(
        (
            packed_key(encoded.run_id),
            row_binary.text(readable_id(encoded.run_id).encode()),
            _pack_sizes(
                encoded.steps,
                encoded.total_ms,
                usage.cost_usd,
                cost_of(usage, details) is not None,
                usage.prompt_tokens,
                usage.completion_tokens,
                encoded.facts.has_error,
            ),
            row_binary.nullable_integer(details.started_us),
            row_binary.nullable_float(details.wall_ms),
            row_binary.size_of(len(terms) // _TERM_SIZE),
            terms,
            packed_fields(encoded, pairs, len(metadata)),
            row_binary.text(kept_summary(encoded)),
            _pack_crc(checksum(encoded.trace)),
            row_binary.size_of(len(encoded.trace)),
            encoded.trace,
            packed_steps(fields_of_steps(trace, encoded)),
        )
    )
    return TraceRow(encoded.run_id, packed)


def packed_key(run_id: str) -> bytes:
    """The key of a run: a ``UUID`` as ``RowBinary`` has it."""
    return row_binary.uuid(key_of(run_id))


class RowBlock(msgspec.Struct, frozen=True):
    """Rows that are saved together, as ``RowBinary``, some at a time and as often as is asked.

    They are compressed while they are sent, so that the server reads the first meanwhile.
    """

    rows: Sequence[TraceRow]
    places: Sequence[bytes]
    created_us: int

    def __iter__(self) -> Iterator[bytes]:
        now = row_binary.pack_integer(self.created_us)
        parts: list[bytes] = []
        for row, place in zip(self.rows, self.places, strict=True):
            moment = row.created_at
            saved = row_binary.pack_integer(timestamps.to_microseconds(moment)) if moment else now
            parts += (place, saved, row.packed)
            if len(parts) >= _PARTS_AT_ONCE:
                yield b"".join(parts)
                parts.clear()
        yield b"".join(parts)


def place_of(microsecond: int, writer: int) -> int:
    """A place in the order of saving."""
    return microsecond << WRITER_BITS | writer
