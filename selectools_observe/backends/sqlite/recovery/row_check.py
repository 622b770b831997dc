"""Verification of a row: its trace, its summary and its entries in the index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ....model import timestamps
from ....model.checksum import checksum
from ....model.codec import decode
from ....model.details import make_summary
from ....model.text_query import all_words_stand
from ....model.trace import AgentTrace
from ...files.summary_check import wrong_in_summary
from ...sql.terms import unpack
from ..kept_summary import WRONG_CHECKSUM, is_summary_of
from ..rows import FacetsRow, facets_of, read_from, stored_bytes, to_metadata
from .row_scan import StoredRow


class Fault(NamedTuple):
    """What is wrong with a row.

    Attributes:
        problem: In words.
        index_only: The row is whole; what the index says of it is not.
        is_doubtful: The row can be read, and may not be what was saved.
    """

    problem: str
    index_only: bool = False
    is_doubtful: bool = False


class Checked(NamedTuple):
    """What was found in a row.

    Attributes:
        trace: Its trace; None if that cannot be read.
        created_us: The time of saving, as far as it is known.
        faults: What is wrong.
    """

    trace: AgentTrace | None
    created_us: int | None
    faults: list[Fault]

    @property
    def is_whole(self) -> bool:
        return all([fault.index_only for fault in self.faults])


def check(row: StoredRow, facets: FacetsRow | None) -> Checked:
    """Check a row, by its facets if it has any, and by its trace."""
    trace_json = stored_bytes(row.trace_json)
    try:
        run_id = row.run_id.decode()
        trace: AgentTrace = decode(trace_json)
    except (ValueError, AttributeError) as error:
        return Checked(None, None, [Fault(f"it cannot be read: {error}")])
    if trace.run_id != run_id:
        problem = f"it holds the trace of run {trace.run_id!r} instead"
        return Checked(None, None, [Fault(problem)])
    faults = _wrong_summary(row, trace, facets)
    if facets is not None and checksum(trace_json) != facets.trace_crc:
        faults.append(Fault(WRONG_CHECKSUM, is_doubtful=True))
    created_us, wrong_time = _time_of_saving(row, facets)
    if wrong_time is not None:
        faults.append(wrong_time)
    if not faults and facets is not None:
        faults += _wrong_facets(row, trace, trace_json, facets)
    return Checked(trace, created_us, faults)


def _wrong_summary(row: StoredRow, trace: AgentTrace, facets: FacetsRow | None) -> list[Fault]:
    """What the summary says that the trace does not; unless it was written so."""
    if facets is not None and _has_checksum(row, facets, _reported_time(row)):
        return []
    reported = (row.steps, row.total_ms, to_metadata(row.metadata))
    # Without a checksum nobody knows which of the two is right.
    return [
        Fault(problem, is_doubtful=facets is None) for problem in wrong_in_summary(trace, *reported)
    ]


def is_readable(row: StoredRow) -> bool:
    """Whether a row's summary can be listed as it is."""
    is_typed = isinstance(row.steps, int) and isinstance(row.total_ms, int | float)
    return is_typed and _reported_time(row) is not None


def _time_of_saving(row: StoredRow, facets: FacetsRow | None) -> tuple[int | None, Fault | None]:
    """When the row was saved, told by its column and by the index, which a checksum covers."""
    reported = _reported_time(row)
    if facets is None:
        wrong = None if reported is not None else Fault("its created_at is lost", is_doubtful=True)
        return reported, wrong
    indexed = facets.created_us
    if reported == indexed or _has_checksum(row, facets, reported):
        return reported, None
    if _has_checksum(row, facets, indexed):
        return indexed, Fault("its created_at is damaged; the index has the right one")
    return reported, Fault("its created_at is damaged", is_doubtful=True)


def _reported_time(row: StoredRow) -> int | None:
    try:
        return timestamps.to_microseconds(timestamps.from_text(row.created_at.decode()))
    except (ValueError, AttributeError):
        return None


def _has_checksum(row: StoredRow, facets: FacetsRow, created_us: int | None) -> bool:
    """Whether the row, saved then, is what its summary in the index was made of."""
    try:
        moment = timestamps.to_text(timestamps.from_microseconds(created_us or 0)).encode()
    except ValueError:
        return False
    return created_us is not None and is_summary_of(
        facets.summary, facets.summary_crc, row.run_id, row.steps, row.total_ms, moment,
        row.metadata,
    )  # fmt: skip


def _wrong_facets(
    row: StoredRow, trace: AgentTrace, trace_json: bytes, facets: FacetsRow
) -> Iterator[Fault]:
    columns = (row.run_id, row.steps, row.total_ms, row.created_at, row.metadata)
    reported = read_from(trace)
    summary = make_summary(
        trace.run_id,
        row.steps,
        float(row.total_ms),
        timestamps.from_text(row.created_at.decode()),
        to_metadata(row.metadata),
        reported.usage,
        reported.facts.has_error,
        reported.details,
    )
    expected = facets_of(row.row_id, columns, summary, reported, trace_json)
    # That a word may be hidden where none is does no harm.
    can_be_found = facets.hides_words or not expected.hides_words
    if can_be_found or all_words_stand(trace, trace_json):
        expected = expected._replace(hides_words=facets.hides_words and 1)
    if facets._replace(terms=b"") != expected._replace(terms=b""):
        yield Fault("its summary in the index is damaged", index_only=True)
    if _terms(facets) != _terms(expected):
        yield Fault("its terms in the index are damaged", index_only=True)


def _terms(facets: FacetsRow) -> list[int] | None:
    try:
        return sorted(unpack(facets.terms))
    except (TypeError, ValueError):
        return None
