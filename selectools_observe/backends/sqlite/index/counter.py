"""How many runs match, in all and over time, counted by the index alone.

Most blocks lie within one bucket: neighbours of the same bucket are counted by one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from ....model.clock import Clock, moment_of
from ....model.filters import TraceFilter
from ....model.histogram import Tally, TraceHistogram, bounds_of, only_times
from ....runtime.gil import GilYielder
from ...queries.paging import PageRequest
from ...sql.ranges import is_decided_by_index
from ..reader import catch_up, matching, rows_found
from ..reader import count as count_by_reading
from ..transaction import one_moment
from .candidates import CandidateQuery
from .index_upkeep import BLOCK, first_open_id

_EVERYTHING = TraceFilter()
_ALL_TIME = (-(2**80), 2**80)  # microseconds
_ROWS_OF_SPAN = 16_384  # that one statement counts
_MOMENTS: dict[Clock, str] = {
    "created_at": "created_us", "started_at": "ifnull(started_us, created_us)",
}  # fmt: skip
_FEW = 1000  # so many are found one by one as quickly


class _Span(NamedTuple):
    """Blocks that follow each other, and their bucket; None if they are of several."""

    first: int
    last: int
    bucket: int | None


def histogram(
    connection: sqlite3.Connection, where: str, filters: TraceFilter, buckets: int, time: Clock
) -> TraceHistogram:
    """How many runs match, over time, read at one moment."""
    catch_up(connection, where)
    with one_moment(connection):
        bounds = span_of(connection, where, filters, time)
        if bounds is None:
            return TraceHistogram()
        tally = Tally(*bounds, buckets, time)
        if not is_decided_by_index(filters):
            for found in rows_found(connection, where, PageRequest(filters)):
                tally.add_summary(found.summary)
            return tally.result()
        if filters.run_ids is None:
            count_indexed = _count_indexed if time == "created_at" else _count_by_start
            count_indexed(connection, filters, tally)
        _count_read(connection, where, filters, tally)
        return tally.result()


def count(connection: sqlite3.Connection, where: str, filters: TraceFilter) -> int:
    """How many traces match."""
    limit = filters.limit
    asked = replace(filters, limit=None)
    if (
        asked == _EVERYTHING
        or asked.run_ids is not None
        or not is_decided_by_index(asked)
        or (limit is not None and limit <= _FEW)
    ):
        return count_by_reading(connection, where, filters)
    catch_up(connection, where)
    with one_moment(connection):
        tally = Tally(*_ALL_TIME, 1, "created_at")
        _count_indexed(connection, asked, tally)
        _count_read(connection, where, asked, tally)
        total = tally.total
    return total if limit is None else min(limit, total)


def span_of(
    connection: sqlite3.Connection, where: str, filters: TraceFilter, time: Clock
) -> tuple[int, int] | None:
    """The first and the last microsecond of a histogram; None if nothing tells them."""
    since, until = bounds_of(filters, time)
    if since is not None and until is not None:
        return since, until
    within = only_times(filters)
    query = CandidateQuery(connection, PageRequest(within))
    read = matching(connection, where, query.foreign_rows(), within)
    ends = [moment_of(found.summary, time) for found in read]
    for ascending in (True, False):
        ends += _outermost(connection, query, time, ascending=ascending)
    if not ends:
        return None
    return (min(ends) if since is None else since, max(ends) if until is None else until)


def _outermost(
    connection: sqlite3.Connection, query: CandidateQuery, time: Clock, *, ascending: bool
) -> list[int]:
    """The first or the last microsecond of an indexed row."""
    best, order = ("min", "ASC") if ascending else ("max", "DESC")
    edge = f"{best}_created_us"
    if time == "started_at":
        edge = f"{best}(ifnull({best}_started_us, {edge}), {edge})"
    first_open = first_open_id(connection)
    found = _edge(connection, query, best, time, (first_open, 2**63 - 1))
    condition, values = query.of_blocks()
    blocks = connection.execute(
        f"SELECT block, {edge} AS edge FROM trace_blocks "
        f"WHERE min_created_us IS NOT NULL AND {condition} ORDER BY edge {order}",
        values,
    )
    for block, bound in blocks:
        # A block's bounds may be those of rows that are gone: its rows have the last word.
        if found and (found[0] <= bound if ascending else found[0] >= bound):
            break
        span = block * BLOCK, (block + 1) * BLOCK - 1
        inside = _edge(connection, query, best, time, span)
        if inside and (not found or (inside < found) == ascending):
            found = inside
    blocks.close()
    return found


def _edge(
    connection: sqlite3.Connection,
    query: CandidateQuery,
    best: str,
    time: Clock,
    ids: tuple[int, int],
) -> list[int]:
    condition, values = query.of_facets()
    (value,) = connection.execute(
        f"SELECT {best}({_MOMENTS[time]}) FROM trace_facets "
        f"WHERE id BETWEEN ? AND ? AND {condition}",
        [*ids, *values],
    ).fetchone()
    return [] if value is None else [value]


def _count_by_start(connection: sqlite3.Connection, filters: TraceFilter, tally: Tally) -> None:
    """Count by SQL, some blocks that follow each other at a time."""
    query = CandidateQuery(connection, PageRequest(filters))
    condition, values = query.of_facets()
    first_open = first_open_id(connection)
    moment = _MOMENTS["started_at"]
    sql = (
        f"SELECT ({moment} - ?) / ? AS bucket, count(*), total(has_error) FROM trace_facets "
        f"WHERE id BETWEEN ? AND ? AND {moment} BETWEEN ? AND ? AND {condition} GROUP BY bucket"
    )
    spans = [(first_open, 2**63 - 1)]
    for block, _ in query.blocks_and_whole(first_open):  # newest first
        first, last = spans[-1]
        if first == (block + 1) * BLOCK and last - first < _ROWS_OF_SPAN and len(spans) > 1:
            spans[-1] = block * BLOCK, last
        else:
            spans.append((block * BLOCK, (block + 1) * BLOCK - 1))
    yielder = GilYielder()
    for span in spans:
        parameters = [tally.since, tally.width, *span, tally.since, tally.until, *values]
        for bucket, runs, errors in connection.execute(sql, parameters).fetchall():
            tally.add(bucket, runs, int(errors))
        yielder.maybe_yield()


def _count_indexed(connection: sqlite3.Connection, filters: TraceFilter, tally: Tally) -> None:
    narrowing = CandidateQuery(connection, PageRequest(filters))
    condition, values = narrowing.of_facets()
    first_open = first_open_id(connection)
    yielder = GilYielder()
    for span in _spans(narrowing.blocks_over_time(first_open), tally):
        ids = (span.first * BLOCK, span.last * BLOCK + BLOCK - 1)
        if span.bucket is None:
            _count_one_by_one(connection, ids, condition, values, tally)
        else:
            runs, errors = connection.execute(
                "SELECT count(*), total(has_error) FROM trace_facets "
                f"WHERE id BETWEEN ? AND ? AND {condition}",
                [*ids, *values],
            ).fetchone()
            tally.add(span.bucket, runs, int(errors))
        yielder.maybe_yield()
    _count_one_by_one(connection, (first_open, 2**63 - 1), condition, values, tally)


def _count_one_by_one(
    connection: sqlite3.Connection,
    ids: tuple[int, int],
    condition: str,
    values: list[Any],
    tally: Tally,
) -> None:
    rows = connection.execute(
        f"SELECT created_us, has_error FROM trace_facets WHERE id BETWEEN ? AND ? AND {condition}",
        [*ids, *values],
    ).fetchall()
    for created_us, has_error in rows:
        tally.add_run(created_us, has_error=has_error)


def _spans(blocks: list[tuple[int, int, int]], tally: Tally) -> Iterator[_Span]:
    """Blocks (number, first and last microsecond), those of one bucket together."""
    span: _Span | None = None
    for block, first, last in blocks:
        bucket = tally.bucket_of(first)
        if bucket != tally.bucket_of(last):
            bucket = None
        if span and bucket is not None and (span.last + 1, span.bucket) == (block, bucket):
            span = span._replace(last=block)
            continue
        if span:
            yield span
        span = _Span(block, block, bucket)
    if span:
        yield span


def _count_read(
    connection: sqlite3.Connection, where: str, filters: TraceFilter, tally: Tally
) -> None:
    """Count the rows that only reading can tell about."""
    rows: Any = None
    if filters.run_ids is None:
        rows = CandidateQuery(connection, PageRequest(filters)).foreign_rows()
    for found in matching(connection, where, rows, filters):
        tally.add_summary(found.summary)
