"""The rows of ``traces`` and ``trace_facets``: how a trace becomes them, and summaries of them."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from ...model.checksum import checksum
from ...model.codec import LARGE, EncodedTrace, decode
from ...model.facets import facts_of, usage_of
from ...model.json_values import loads
from ...model.trace import TraceFacts, TraceSummary, TraceUsage
from .. import timestamps
from ..terms import terms_of

_NO_FACTS = TraceFacts(None, has_error=False)

log = logging.getLogger("selectools_observe")

# What `to_summary` takes, and what the facets add to it.
TRACE_COLUMNS = "t.run_id, t.steps, t.total_ms, t.created_at, t.metadata"
SUMMARIES = (
    f"SELECT t.rowid, {TRACE_COLUMNS}, f.prompt_tokens, f.completion_tokens, f.cost_usd, "
    "f.has_error, f.summary_crc FROM traces t LEFT JOIN trace_facets f ON f.id = t.rowid"
)

# The columns of ``trace_facets``.
FacetsRow: TypeAlias = tuple[int, int, int, float, int, int, int, float, int, int, bytes]

# created_us, steps, total_ms, has_error, prompt_tokens, completion_tokens, cost_usd
SummaryNumbers: TypeAlias = tuple[int, int, float, bool, int, int, float]
_NUMBERS = struct.Struct("<qqd?qqd")


class WrittenTrace(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database."""

    encoded: EncodedTrace
    terms: bytes
    known_crc: int | None

    @property
    def run_id(self) -> str:
        return self.encoded.run_id

    @property
    def trace_crc(self) -> int:
        """The checksum of the trace's JSON."""
        return checksum(self.encoded.trace) if self.known_crc is None else self.known_crc


def to_write(encoded: EncodedTrace) -> WrittenTrace:
    """The trace with its index terms, which are those of what is stored, not of what was given."""
    terms = terms_of(loads(encoded.metadata), encoded.facts)
    # That of a large one takes milliseconds, which an event loop can spend better.
    crc = checksum(encoded.trace) if len(encoded.trace) <= LARGE else None
    return WrittenTrace(encoded, terms, crc)


def summary_checksum(run_id: bytes, metadata: bytes, numbers: SummaryNumbers) -> int:
    """The checksum of what a summary is made of.

    Raises:
        ValueError: Not all of the numbers are of the type they were written with.
    """
    try:
        packed = _NUMBERS.pack(*numbers)
    except struct.error as error:
        raise ValueError(str(error)) from error
    return checksum(metadata, checksum(run_id, checksum(packed)))


def to_summary(
    columns: Sequence[Any],
    where: str,
    usage: TraceUsage,
    *,
    has_error: bool,
    summary_crc: int | None = None,
) -> TraceSummary | None:
    """The summary of a row's `TRACE_COLUMNS`; None, and a line in the log, if it is damaged."""
    run_id, steps, total_ms, created_at, metadata = columns
    try:
        _check_columns(steps, total_ms)
        summary = TraceSummary(
            run_id.decode(),
            steps,
            float(total_ms),
            timestamps.from_text(created_at.decode()),
            to_metadata(metadata),
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cost_usd,
            has_error,
        )
        if summary_crc is not None:
            _compare(summary_crc, _checksum_of(columns, summary))
    except (TypeError, ValueError, AttributeError) as error:
        warn_once(where, run_id, f"row skipped: {error}")
        return None
    return summary


WRONG_CHECKSUM = "its checksum does not match: it was damaged after it was saved"


def _check_columns(steps: object, total_ms: object) -> None:
    if not isinstance(steps, int) or not isinstance(total_ms, int | float):
        raise TypeError("steps and total_ms must be numbers")


def _compare(stored: int, computed: int) -> None:
    if stored != computed:
        raise ValueError(WRONG_CHECKSUM)


def _checksum_of(columns: Sequence[Any], summary: TraceSummary) -> int:
    numbers = (
        timestamps.to_microseconds(summary.created_at),
        summary.steps,
        summary.total_ms,
        summary.has_error,
        summary.prompt_tokens,
        summary.completion_tokens,
        summary.cost_usd,
    )
    return summary_checksum(columns[0], stored_bytes(columns[4]), numbers)


def has_its_checksum(row: Sequence[Any]) -> bool:
    """Whether a row of `SUMMARIES` that has facets agrees with their checksum."""
    _, *columns, prompt_tokens, completion_tokens, cost_usd, has_error, summary_crc = row
    run_id, steps, total_ms, created_at, metadata = columns
    try:
        created_us = timestamps.to_microseconds(timestamps.from_text(created_at.decode()))
        numbers = (
            created_us, steps, total_ms, has_error, prompt_tokens, completion_tokens, cost_usd,
        )  # fmt: skip
        found = summary_checksum(run_id, stored_bytes(metadata), numbers)
    except (TypeError, ValueError, AttributeError):
        return False
    return bool(found == summary_crc)


def to_metadata(stored: object) -> dict[str, Any]:
    """The metadata of a row; unreadable metadata counts as none."""
    try:
        metadata = loads(stored_bytes(stored))
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def stored_bytes(value: object) -> bytes:
    """A column that should hold text, as the connection gives it: bytes, whatever they are."""
    return value if isinstance(value, bytes) else str(value).encode()


def facets_from_json(trace_json: bytes) -> tuple[TraceFacts, TraceUsage]:
    """The facts and the usage of a stored trace; one that cannot be read has none."""
    try:
        trace = decode(trace_json)
    except ValueError:
        return _NO_FACTS, TraceUsage()
    return facts_of(trace), usage_of(trace.steps)


def facets_of(
    row_id: int,
    columns: Sequence[Any],
    summary: TraceSummary,
    facts: TraceFacts,
    trace_json: bytes,
) -> FacetsRow:
    """The facets of a row that another program wrote."""
    return (
        row_id,
        timestamps.to_microseconds(summary.created_at),
        summary.steps,
        summary.total_ms,
        int(summary.has_error),
        summary.prompt_tokens,
        summary.completion_tokens,
        summary.cost_usd,
        _checksum_of(columns, summary),
        checksum(trace_json),
        terms_of(summary.metadata, facts),
    )


_warned: set[tuple[str, object]] = set()


def warn_once(where: str, run_id: object, problem: str) -> None:
    """One line in the log for each damaged trace, however often it is met."""
    key = (where, run_id if isinstance(run_id, bytes) else repr(run_id))
    if key not in _warned:
        _warned.add(key)
        name = run_id.decode(errors="replace") if isinstance(run_id, bytes) else run_id
        log.warning("%s: trace %r: %s", where, name, problem)
