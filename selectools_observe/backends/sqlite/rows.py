"""The rows of ``traces`` and ``trace_facets``: how a trace becomes them, and summaries of them."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

import msgspec

from ...model.checksum import checksum
from ...model.codec import LARGE, EncodedTrace, decode
from ...model.details import (
    RunDetails,
    details_from_bytes,
    details_of,
    details_to_bytes,
    make_summary,
)
from ...model.facets import facts_of, usage_of
from ...model.json_values import loads
from ...model.trace import AgentTrace, TraceFacts, TraceSummary, TraceUsage
from .. import timestamps
from ..terms import terms_of

_NO_FACTS = TraceFacts(None, has_error=False)
_ONLY_ERROR = TraceFacts(None, has_error=True)

log = logging.getLogger(__name__)

# What `to_summary` takes, and what the facets add to it.
TRACE_COLUMNS = "t.run_id, t.steps, t.total_ms, t.created_at, t.metadata"
SUMMARIES = (
    f"SELECT t.rowid, {TRACE_COLUMNS}, f.prompt_tokens, f.completion_tokens, f.cost_usd, "
    "f.has_error, f.started_us, f.wall_ms, f.details, f.summary_crc "
    "FROM traces t LEFT JOIN trace_facets f ON f.id = t.rowid"
)
_TRACE_COLUMNS_END = 6  # in a row of `SUMMARIES`


class FacetsRow(NamedTuple):
    """A row of ``trace_facets``, its columns in their order."""

    id: int
    created_us: int
    steps: int
    total_ms: float
    has_error: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    started_us: int | None
    wall_ms: float | None
    details: bytes
    summary_crc: int
    trace_crc: int
    terms: bytes


class StoredFacets(NamedTuple):
    """What a summary takes from the facets, as `SUMMARIES` gives it."""

    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    has_error: int
    started_us: int | None
    wall_ms: float | None
    details: bytes
    summary_crc: int


class StepFacts(NamedTuple):
    """What is told of a run by its trace."""

    facts: TraceFacts
    usage: TraceUsage
    details: RunDetails


# created_us, steps, total_ms, has_error, prompt_tokens, completion_tokens, cost_usd
SummaryNumbers: TypeAlias = tuple[int, int, float, bool, int, int, float]
_NUMBERS = struct.Struct("<qqd?qqd")
_SMALL = 4096  # bytes of metadata, as most have


class WrittenTrace(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database."""

    encoded: EncodedTrace
    terms: bytes
    known_crc: int | None
    created_at: datetime | None = None

    @property
    def run_id(self) -> str:
        return self.encoded.run_id

    @property
    def trace_crc(self) -> int:
        """The checksum of the trace's JSON."""
        return checksum(self.encoded.trace) if self.known_crc is None else self.known_crc


def to_write(encoded: EncodedTrace) -> WrittenTrace:
    """The trace with its index terms, which are those of what is stored, not of what was given."""
    terms = terms_of(loads(encoded.metadata), encoded.facts, encoded.details)
    # That of a large one takes milliseconds, which an event loop can spend better.
    crc = checksum(encoded.trace) if len(encoded.trace) <= LARGE else None
    return WrittenTrace(encoded, terms, crc)


def summary_checksum(
    run_id: bytes, metadata: bytes, details: bytes, numbers: SummaryNumbers
) -> int:
    """The checksum of what a summary is made of.

    Raises:
        ValueError: Not all of the numbers are of the type they were written with.
    """
    try:
        packed = _NUMBERS.pack(*numbers)
    except struct.error as error:
        raise ValueError(str(error)) from error
    if len(metadata) > _SMALL:
        return checksum(details, checksum(metadata, checksum(run_id, checksum(packed))))
    return crc32(details, crc32(metadata, crc32(run_id, crc32(packed))))


def split_row(row: Sequence[Any]) -> tuple[int, Sequence[Any], StoredFacets | None]:
    """A row of `SUMMARIES`: its id, its `TRACE_COLUMNS`, and its facets if it has any."""
    facets = StoredFacets(*row[_TRACE_COLUMNS_END:])
    has_facets = facets.summary_crc is not None
    return row[0], row[1:_TRACE_COLUMNS_END], facets if has_facets else None


_UNUSUAL = (ValueError, TypeError, AttributeError, struct.error, msgspec.MsgspecError)


def summary_as_written(row: Sequence[Any]) -> TraceSummary | None:
    """The summary of a row of `SUMMARIES` that is as we wrote it, as most are; None of any other.

    In one go: a page is made of many.
    """
    (
        _, run_id, steps, total_ms, created, metadata, prompt_tokens, completion_tokens, cost_usd,
        has_error, started_us, wall_ms, details, summary_crc,
    ) = row  # fmt: skip
    try:
        created_at = timestamps.from_text(created.decode())
        packed = _NUMBERS.pack(
            timestamps.to_microseconds(created_at), steps, total_ms, has_error, prompt_tokens,
            completion_tokens, cost_usd,
        )  # fmt: skip
        if checksum(b"".join((packed, run_id, metadata, details))) != summary_crc:
            return None
        reported = details_from_bytes(details, started_us, wall_ms)
        kept = msgspec.json.decode(metadata)
        is_usual = kept.__class__ is dict and started_us.__class__ in _MAYBE_INTEGER
        if not is_usual or wall_ms.__class__ not in _MAYBE_FLOAT:
            return None
        cost = cost_usd if cost_usd or reported.is_free else None
        return TraceSummary(
            run_id.decode(), steps, total_ms, created_at, kept, prompt_tokens, completion_tokens,
            cost, bool(has_error), reported.name, reported.input, reported.output,
            reported.session_id, reported.user_id, reported.agent, [*reported.tags],
            reported.outcome, reported.started_at, wall_ms,
        )  # fmt: skip
    except _UNUSUAL:
        return None


_MAYBE_INTEGER = frozenset({int, type(None)})
_MAYBE_FLOAT = frozenset({float, type(None)})


def summary_of_facets(
    columns: Sequence[Any], where: str, facets: StoredFacets
) -> TraceSummary | None:
    """The summary of a row with facets; None, and a line in the log, if it is damaged."""
    try:
        reported = StepFacts(
            _ONLY_ERROR if facets.has_error else _NO_FACTS,
            TraceUsage(facets.prompt_tokens, facets.completion_tokens, facets.cost_usd),
            details_from_bytes(facets.details, facets.started_us, facets.wall_ms),
        )
    except (TypeError, ValueError) as error:
        warn_once(where, columns[0], f"row skipped: {error}")
        return None
    return to_summary(columns, where, reported, facets)


def to_summary(
    columns: Sequence[Any], where: str, reported: StepFacts, facets: StoredFacets | None = None
) -> TraceSummary | None:
    """The summary of a row's `TRACE_COLUMNS`; None, and a line in the log, if it is damaged."""
    run_id, steps, total_ms, created_at, metadata = columns
    try:
        _check_columns(steps, total_ms)
        summary = make_summary(
            run_id.decode(),
            steps,
            float(total_ms),
            timestamps.from_text(created_at.decode()),
            to_metadata(metadata),
            reported.usage,
            reported.facts.has_error,
            reported.details,
        )
        if facets is not None:
            _compare(facets.summary_crc, _checksum_of(columns, summary, facets.details))
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


def _checksum_of(columns: Sequence[Any], summary: TraceSummary, details: bytes) -> int:
    numbers = (
        timestamps.to_microseconds(summary.created_at),
        summary.steps,
        summary.total_ms,
        summary.has_error,
        summary.prompt_tokens,
        summary.completion_tokens,
        summary.cost_usd or 0.0,
    )
    return summary_checksum(columns[0], stored_bytes(columns[4]), details, numbers)


def has_its_checksum(row: Sequence[Any]) -> bool:
    """Whether a row of `SUMMARIES` that has facets agrees with their checksum."""
    _, columns, facets = split_row(row)
    run_id, steps, total_ms, created_at, metadata = columns
    if facets is None:
        return False
    try:
        created_us = timestamps.to_microseconds(timestamps.from_text(created_at.decode()))
        numbers = (
            created_us, steps, total_ms, bool(facets.has_error), facets.prompt_tokens,
            facets.completion_tokens, facets.cost_usd,
        )  # fmt: skip
        found = summary_checksum(run_id, stored_bytes(metadata), facets.details, numbers)
    except (TypeError, ValueError, AttributeError):
        return False
    return bool(found == facets.summary_crc)


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


def facets_from_json(trace_json: bytes) -> StepFacts:
    """What a stored trace tells of itself; one that cannot be read tells nothing."""
    try:
        trace = decode(trace_json)
    except ValueError:
        return StepFacts(_NO_FACTS, TraceUsage(), RunDetails())
    return read_from(trace)


def read_from(trace: AgentTrace) -> StepFacts:
    """What a trace tells of itself."""
    return StepFacts(facts_of(trace), usage_of(trace.steps), details_of(trace))


def facets_of(
    row_id: int,
    columns: Sequence[Any],
    summary: TraceSummary,
    reported: StepFacts,
    trace_json: bytes,
) -> FacetsRow:
    """The facets of a row that another program wrote."""
    details = details_to_bytes(reported.details)
    return FacetsRow(
        row_id,
        timestamps.to_microseconds(summary.created_at),
        summary.steps,
        summary.total_ms,
        int(summary.has_error),
        summary.prompt_tokens,
        summary.completion_tokens,
        summary.cost_usd or 0.0,
        reported.details.started_us,
        reported.details.wall_ms,
        details,
        _checksum_of(columns, summary, details),
        checksum(trace_json),
        terms_of(summary.metadata, reported.facts, reported.details),
    )


_warned: set[tuple[str, object]] = set()


def warn_once(where: str, run_id: object, problem: str) -> None:
    """One line in the log for each damaged trace, however often it is met."""
    key = (where, run_id if isinstance(run_id, bytes) else repr(run_id))
    if key not in _warned:
        _warned.add(key)
        name = run_id.decode(errors="replace") if isinstance(run_id, bytes) else run_id
        log.warning("%s: trace %r: %s", where, name, problem)
