"""The rows of ``traces``: how a trace becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from ...model.checksum import checksum
from ...model.codec import EncodedTrace, decode, encode
from ...model.json_values import loads
from ...model.rollups import has_failed, number, whole
from ...model.trace import AgentTrace, TraceStep
from .. import timestamps
from ..server_rows import kept_summary, key_of, readable_id
from ..terms import terms_of, unpack

WRITER_BITS = 64
"""The lower bits of a place in the order of saving: they tell writers of one moment apart."""

COLUMNS: tuple[tuple[str, str], ...] = (
    ("place", "UInt128"),
    ("created_us", "Int64"),
    ("key", "UUID"),
    ("run_id", "String"),
    ("steps", "Int64"),
    ("total_ms", "Float64"),
    ("cost_usd", "Float64"),
    ("prompt_tokens", "Int64"),
    ("completion_tokens", "Int64"),
    ("has_error", "UInt8"),
    ("started_us", "Nullable(Int64)"),
    ("wall_ms", "Nullable(Float64)"),
    ("terms", "Array(Int64)"),
    ("summary", "String"),
    ("crc", "UInt32"),
    ("trace", "String"),
    ("step.type", "Array(LowCardinality(String))"),
    ("step.model", "Array(LowCardinality(String))"),
    ("step.tool", "Array(LowCardinality(String))"),
    ("step.ms", "Array(Float64)"),
    ("step.prompt_tokens", "Array(Int64)"),
    ("step.completion_tokens", "Array(Int64)"),
    ("step.cost_usd", "Array(Nullable(Float64))"),
    ("step.failed", "Array(UInt8)"),
)
KEY_COLUMNS = (("key", "UUID"), ("place", "UInt128"))

Column: TypeAlias = Sequence[Any]


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way to the server: its id, and the values of `COLUMNS` but for the first two.

    ``key`` is among the values in the driver's form, and here in that of SQL.
    """

    run_id: str
    key: UUID
    values: tuple[Any, ...]
    created_at: datetime | None = None


def row_of(trace: object) -> TraceRow:
    """The row of a trace.

    Raises:
        InvalidTraceError: It cannot be stored.
    """
    encoded = encode(trace)
    terms = list(unpack(terms_of(loads(encoded.metadata), encoded.facts, encoded.details)))
    usage, key = encoded.usage, uuid_of(encoded.run_id)
    return TraceRow(
        encoded.run_id,
        key,
        (
            key,
            readable_id(encoded.run_id),
            encoded.steps,
            encoded.total_ms,
            usage.cost_usd,
            usage.prompt_tokens,
            usage.completion_tokens,
            int(encoded.facts.has_error),
            encoded.details.started_us,
            encoded.details.wall_ms,
            terms,
            kept_summary(encoded),
            checksum(encoded.trace),
            encoded.trace,
            *_columns_of_steps(_steps(trace, encoded)),
        ),
    )


def uuid_of(run_id: str) -> UUID:
    """The key of a run."""
    return UUID(bytes=key_of(run_id))


def columns_of(
    rows: Sequence[TraceRow], first_us: int, writer: int, created_us: int
) -> list[Column]:
    """The columns of rows that are saved together, numbered from a microsecond on."""
    places = [place_of(first_us + number, writer) for number in range(len(rows))]
    saved = [
        created_us if row.created_at is None else timestamps.to_microseconds(row.created_at)
        for row in rows
    ]
    return [places, saved, *zip(*[row.values for row in rows], strict=True)]


def place_of(microsecond: int, writer: int) -> int:
    """A place in the order of saving."""
    return microsecond << WRITER_BITS | writer


def named(name: str) -> bytes:
    """A model's or a tool's name as its column has it: nothing is for a step without one."""
    text = f"\0{name}" if not name or name.startswith("\0") else name
    return text.encode("utf-8", "surrogatepass")


def name_of(kept: bytes) -> str:
    """What `named` wrote."""
    return kept.removeprefix(b"\0").decode("utf-8", "surrogatepass")


def _steps(trace: object, encoded: EncodedTrace) -> Sequence[TraceStep]:
    """The steps as they are stored: those at hand, or, where they are of another shape, decoded."""
    if isinstance(trace, AgentTrace) and all(map(_is_plain, trace.steps)):
        return trace.steps
    stored: AgentTrace = decode(encoded.trace)
    return stored.steps


def _is_plain(step: TraceStep) -> bool:
    return (
        type(step) is TraceStep
        and (step.model is None or type(step.model) is str)
        and (step.tool_name is None or type(step.tool_name) is str)
    )


def _columns_of_steps(steps: Sequence[TraceStep]) -> tuple[Column, ...]:
    return (
        [str.__str__(step.type).encode("utf-8", "surrogatepass") for step in steps],
        [b"" if step.model is None else named(str(step.model)) for step in steps],
        [b"" if step.tool_name is None else named(str(step.tool_name)) for step in steps],
        [number(step.duration_ms) for step in steps],
        [whole(step.prompt_tokens) for step in steps],
        [whole(step.completion_tokens) for step in steps],
        [None if step.cost_usd is None else number(step.cost_usd) for step in steps],
        [int(has_failed(step)) for step in steps],
    )
