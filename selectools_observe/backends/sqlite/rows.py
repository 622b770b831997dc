"""The rows of ``traces`` and ``trace_facets``: how a trace becomes them, and summaries of them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Self

import msgspec

from ...model import timestamps
from ...model.checksum import checksum
from ...model.codec import LARGE, EncodedTrace, decode
from ...model.details import RunDetails, details_of, make_summary
from ...model.facets import facts_of, usage_of
from ...model.json_values import loads
from ...model.text_query import may_fold, may_hide
from ...model.trace import AgentTrace, TraceFacts, TraceSummary, TraceUsage
from ..sql.row import Row
from ..sql.terms import terms_of
from .kept_summary import (
    SummaryParts,
    moment_of,
    summaries_of_page,
    summary_of,
    summary_parts,
)

_NO_FACTS = TraceFacts(None, has_error=False)

log = logging.getLogger(__name__)

TRACE_COLUMNS = "t.run_id, t.steps, t.total_ms, t.created_at, t.metadata"
"""What `to_summary` takes."""
SUMMARIES = (
    "SELECT t.rowid, f.summary, f.summary_crc "
    "FROM traces t LEFT JOIN trace_facets f ON f.id = t.rowid"
)


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
    hides_words: int
    summary_crc: int
    trace_crc: int
    terms: bytes
    summary: bytes


class StepFacts(NamedTuple):
    """What is told of a run by its trace."""

    facts: TraceFacts
    usage: TraceUsage
    details: RunDetails


class WrittenTrace(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database.

    Attributes:
        columns: What is known of its row before it is saved.
        summary: What is kept of it as a summary.
        trace: Its JSON.
        known_crc: The checksum of that, if it is known yet.
        created_at: When it is to have been saved; None: when it is.
    """

    columns: tuple[Any, ...]
    summary: SummaryParts
    trace: bytes
    known_crc: int | None
    created_at: datetime | None = None

    @property
    def run_id(self) -> str:
        run_id: str = self.columns[0]
        return run_id

    def row(self, saved: Moment) -> tuple[Any, ...]:
        """What goes into ``incoming_traces`` when it is saved."""
        if self.created_at is not None:
            saved = Moment.of(self.created_at)
        summary = self.summary.saved_at(saved.in_summaries)
        trace_crc = checksum(self.trace) if self.known_crc is None else self.known_crc
        return (*self.columns, trace_crc, saved.text, saved.us, summary, checksum(summary))


class Moment(NamedTuple):
    """A time of saving in the three forms in which it is kept."""

    text: str
    us: int
    in_summaries: bytes

    @classmethod
    def of(cls, moment: datetime) -> Self:
        return cls(
            timestamps.to_text(moment), timestamps.to_microseconds(moment), moment_of(moment)
        )


WRITTEN_COLUMNS = (
    "run_id", "steps", "total_ms", "metadata", "trace_json", "has_error", "prompt_tokens",
    "completion_tokens", "cost_usd", "started_us", "wall_ms", "hides_words", "terms", "trace_crc",
    "created_at", "created_us", "summary", "summary_crc",
)  # fmt: skip
"""The columns of `WrittenTrace.row`."""


def to_write(encoded: EncodedTrace) -> WrittenTrace:
    """The trace with all of its row that is known before it is saved.

    Its index terms are those of what is stored, not of what was given.
    """
    trace, usage, facts, details = encoded.trace, encoded.usage, encoded.facts, encoded.details
    # What takes milliseconds for a large one, an event loop can spend better.
    if len(trace) > LARGE:
        hides = not (encoded.shows_words and trace.isascii())
    else:
        hides = may_fold(trace) if encoded.shows_words else may_hide(trace)
    columns = (
        encoded.run_id, encoded.steps, encoded.total_ms, encoded.metadata, trace, facts.has_error,
        usage.prompt_tokens, usage.completion_tokens, usage.cost_usd, details.started_us,
        details.wall_ms, hides, terms_of(encoded.metadata, facts, details),
    )  # fmt: skip
    crc = None if len(trace) > LARGE else checksum(trace)
    return WrittenTrace(columns, summary_parts(encoded), trace, crc)


def summaries_of_rows(
    connection: sqlite3.Connection, where: str, rows: Sequence[Row]
) -> Sequence[TraceSummary | None]:
    """The summaries of rows of `SUMMARIES`, None for each that is damaged."""
    try:
        _, stored, checksums = zip(*rows, strict=True) if rows else ((), (), ())
        return summaries_of_page(stored, checksums)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return [_unusual_summary(connection, where, *row) for row in rows]


def _unusual_summary(
    connection: sqlite3.Connection, where: str, row_id: int, stored: object, stored_crc: object
) -> TraceSummary | None:
    """The summary of a row that may be another program's, or damaged: then None."""
    if stored_crc is None:  # another program's, not indexed yet
        return _foreign_summary(connection, where, row_id)
    try:
        return summary_of(stored, stored_crc, partial(column, connection, "metadata", row_id))
    except ValueError as error:
        warn_once(where, column(connection, "run_id", row_id), f"row skipped: {error}")
        return None


def _foreign_summary(
    connection: sqlite3.Connection, where: str, row_id: int
) -> TraceSummary | None:
    columns = connection.execute(
        f"SELECT {TRACE_COLUMNS} FROM traces t WHERE rowid = ?", (row_id,)
    ).fetchone()
    if columns is None:
        return None
    trace_json = column(connection, "trace_json", row_id) or b""
    return to_summary(columns, where, facets_from_json(trace_json))


def column(connection: sqlite3.Connection, name: str, row_id: int) -> bytes | None:
    """A column of a row of ``traces``; None if it is gone."""
    row = connection.execute(f"SELECT {name} FROM traces WHERE rowid = ?", (row_id,)).fetchone()
    return None if row is None else stored_bytes(row[0])


def to_summary(columns: Sequence[Any], where: str, reported: StepFacts) -> TraceSummary | None:
    """The summary of the `TRACE_COLUMNS` of a row that another program wrote.

    None, and a line in the log, if it is damaged.
    """
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
    except (TypeError, ValueError, AttributeError) as error:
        warn_once(where, run_id, f"row skipped: {error}")
        return None
    return summary


def _check_columns(steps: object, total_ms: object) -> None:
    if not isinstance(steps, int) or not isinstance(total_ms, int | float):
        raise TypeError("steps and total_ms must be numbers")


def to_metadata(stored: object) -> dict[str, Any]:
    """The metadata of a row; unreadable metadata counts as none."""
    return _object(stored_bytes(stored)) or {}


def _object(metadata: bytes) -> dict[str, Any] | None:
    try:
        found = loads(metadata)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


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
    metadata = stored_bytes(columns[4])
    encoded = EncodedTrace(
        summary.run_id, summary.steps, summary.total_ms, metadata, trace_json, reported.facts,
        reported.usage, reported.details,
    )  # fmt: skip
    readable = None if _object(metadata) is not None else b"{}"
    kept = summary_parts(encoded, readable).saved_at(moment_of(summary.created_at))
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
        int(may_hide(trace_json)),
        checksum(kept),
        checksum(trace_json),
        terms_of(readable or metadata, reported.facts, reported.details),
        kept,
    )


_warned: set[tuple[str, object]] = set()


def warn_once(where: str, run_id: object, problem: str) -> None:
    """One line in the log for each damaged trace, however often it is met."""
    key = (where, run_id if isinstance(run_id, bytes) else repr(run_id))
    if key not in _warned:
        _warned.add(key)
        name = run_id.decode(errors="replace") if isinstance(run_id, bytes) else run_id
        log.warning("%s: trace %r: %s", where, name, problem)
