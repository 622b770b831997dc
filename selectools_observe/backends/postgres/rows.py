"""The rows of ``traces``: how a trace becomes one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from ...model.checksum import checksum
from ...model.codec import EncodedTrace
from ..sql.server_rows import kept_summary, key_of, readable_id
from ..sql.terms import terms_of, unpack
from .kept_calls import packed_calls

COLUMNS = (
    "key, run_id, steps, total_ms, cost_usd, prompt_tokens, completion_tokens, has_error, "
    "started_us, wall_ms, terms, summary, crc, trace, calls"
)
PLACES = ", ".join(["%s"] * 10 + ["%s::bigint[]"] + ["%s"] * 4)


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database: its id, and the values of `COLUMNS`."""

    run_id: str
    values: tuple[Any, ...]
    created_at: datetime | None = None


def row_of(encoded: EncodedTrace) -> TraceRow:
    """The row of a trace."""
    terms = unpack(terms_of(encoded.metadata, encoded.facts, encoded.details))
    usage = encoded.usage
    return TraceRow(
        encoded.run_id,
        (
            key_of(encoded.run_id),
            readable_id(encoded.run_id),
            encoded.steps,
            encoded.total_ms,
            usage.cost_usd,
            usage.prompt_tokens,
            usage.completion_tokens,
            encoded.facts.has_error,
            encoded.details.started_us,
            encoded.details.wall_ms,
            f"{{{','.join(map(str, terms))}}}",  # a list would be looked through by the driver
            kept_summary(encoded),
            checksum(encoded.trace),
            encoded.trace,
            packed_calls(encoded),
        ),
    )
