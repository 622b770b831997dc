"""The rows of ``traces`` and ``trace_facets``: how a trace becomes them, and summaries of them."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias

import msgspec

from ...codec import EncodedTrace, decode
from ...facts import facts_of
from ...jsonvalue import loads
from ...models import TraceFacts, TraceSummary
from .. import clock
from .terms import terms_of

_NO_FACTS = TraceFacts(None, has_error=False)

log = logging.getLogger("selectools_observe")

# run_id, steps, total_ms, created_at, metadata: enough for a summary.
SUMMARY_COLUMNS = "run_id, steps, total_ms, created_at, metadata"

# id, created_us, steps, total_ms, has_error, terms
FacetsRow: TypeAlias = tuple[int, int, int, float, int, bytes]


class WrittenTrace(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database."""

    encoded: EncodedTrace
    terms: bytes

    @property
    def run_id(self) -> str:
        return self.encoded.run_id


def to_write(encoded: EncodedTrace) -> WrittenTrace:
    """The trace with its index terms, which are those of what is stored, not of what was given."""
    return WrittenTrace(encoded, terms_of(loads(encoded.metadata), encoded.facts))


def to_summary(row: tuple[Any, ...], where: str) -> TraceSummary | None:
    """The summary of a row of `SUMMARY_COLUMNS`; None, and a line in the log, if it is damaged."""
    run_id, steps, total_ms, created_at, metadata = row
    try:
        _check_columns(steps, total_ms)
        created = clock.from_text(created_at.decode())
        return TraceSummary(run_id.decode(), steps, float(total_ms), created, to_metadata(metadata))
    except (TypeError, ValueError, AttributeError) as error:
        warn_once(where, run_id, f"row skipped: {error}")
        return None


def _check_columns(steps: object, total_ms: object) -> None:
    if not isinstance(steps, int) or not isinstance(total_ms, int | float):
        raise TypeError("steps and total_ms must be numbers")


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


def facts_of_stored(trace_json: bytes) -> TraceFacts:
    """The facts of a stored trace; one that cannot be read has none."""
    try:
        return facts_of(decode(trace_json))
    except ValueError:
        return _NO_FACTS


def facets_of(row_id: int, summary: TraceSummary, facts: TraceFacts) -> FacetsRow:
    """The facets of a row that another program wrote."""
    return (
        row_id,
        clock.to_microseconds(summary.created_at),
        summary.steps,
        summary.total_ms,
        int(facts.has_error),
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
