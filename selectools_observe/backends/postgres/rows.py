"""The rows of ``traces``: how a trace becomes one, and what is read out of it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from ...model.checksum import checksum
from ...model.codec import EncodedTrace
from ...model.json_values import loads
from ...model.trace import TraceFacts, TraceSummary
from .. import timestamps
from ..terms import terms_of, unpack
from ..toolkit import summary_from_bytes, summary_to_bytes

log = logging.getLogger(__name__)

_KEY_SIZE = 16  # bytes
_ANY_TIME = datetime.fromtimestamp(0, UTC)

COLUMNS = (
    "key, run_id, steps, total_ms, cost_usd, prompt_tokens, completion_tokens, has_error, "
    "started_us, wall_ms, terms, summary, crc, trace"
)
PLACES = ", ".join(["%s"] * 10 + ["%s::bigint[]"] + ["%s"] * 3)


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database: its id, and the values of `COLUMNS`."""

    run_id: str
    values: tuple[Any, ...]


def key_of(run_id: str) -> bytes:
    """The primary key of a run: ids may be longer than an index takes."""
    return blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=_KEY_SIZE).digest()


def row_of(encoded: EncodedTrace) -> TraceRow:
    """The row of a trace."""
    terms = list(unpack(terms_of(loads(encoded.metadata), encoded.facts, encoded.details)))
    usage = encoded.usage
    return TraceRow(
        encoded.run_id,
        (
            key_of(encoded.run_id),
            _readable(encoded.run_id),
            encoded.steps,
            encoded.total_ms,
            usage.cost_usd,
            usage.prompt_tokens,
            usage.completion_tokens,
            encoded.facts.has_error,
            encoded.details.started_us,
            encoded.details.wall_ms,
            terms,
            summary_to_bytes(encoded, _ANY_TIME),
            checksum(encoded.trace),
            encoded.trace,
        ),
    )


def _readable(run_id: str) -> str:
    """The id as ``text`` takes it, each as one of its own."""
    plain = run_id.replace("\x01", "\x01\x02").replace("\0", "\x01\x01")
    return plain.encode("utf-8", "backslashreplace").decode()


def read_summary(
    where: str, seq: int, created_us: int, summary: bytes
) -> tuple[TraceSummary, TraceFacts] | None:
    """The summary and the facts of a row; None, and a line in the log, if it is damaged."""
    try:
        found, facts = summary_from_bytes(summary)
        found.created_at = timestamps.from_microseconds(created_us)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        log.warning("%s: row %d skipped: %s", where, seq, error)
        return None
    return found, facts


def is_whole(trace: bytes, crc: int) -> bool:
    """Whether a trace is what was saved."""
    return checksum(trace) == crc
