"""What a reader's connection does: loads, pages and counts."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

import msgspec

from ...errors import CorruptTraceError
from ...model.checksum import checksum
from ...model.codec import LARGE
from ...model.filters import (
    TraceFilter,
    are_within_bounds,
    asks_for_facts,
    needed_annotations,
    order_of,
    rest_of_verdict,
    summary_test,
)
from ...model.ordering import Order, SortKey
from ...model.trace import TraceSummary
from ...model.validation import is_storable_id
from ...runtime.gil import GilYielder
from ..queries.paging import PageRequest, PageRow, PlacedSummaries
from ..queries.row_queries import EVERYTHING, Loaded
from ..sql.ranges import Ranges, is_told_by_ranges
from ..sql.row import Row
from . import annotation_rows
from .index.candidates import CandidateQuery, bounds_of, check_order
from .index.index_upkeep import index_everything
from .index.ordered import first_ids
from .kept_summary import WRONG_CHECKSUM, summaries_of_page
from .rows import SUMMARIES, column, facets_from_json, stored_bytes, summaries_of_rows
from .transaction import one_moment, undo

ItemT = TypeVar("ItemT")

# Counting keys is faster than counting facets; what nobody can read stays pending for ever.
_COUNT_INDEXED = "SELECT (SELECT count(*) FROM traces) - (SELECT count(*) FROM trace_pending)"

# Rows of other programs that a query reads rather than indexing them.
_FOREIGN_ROWS_READ = 64
_COUNT_FOREIGN = """
    SELECT count(*) FROM (SELECT 1 FROM trace_pending WHERE NOT unreadable LIMIT ? + 1)
"""

# Rows read at once, between two moments in which other threads may run.
ROWS_AT_ONCE = 256
_FEWEST_AT_ONCE = 8


_LOAD = """
    SELECT t.run_id, t.trace_json, f.trace_crc
    FROM traces t LEFT JOIN trace_facets f ON f.id = t.rowid WHERE t.run_id
"""
_BY_FACETS = """
    SELECT id, summary, summary_crc
    FROM (SELECT * FROM trace_facets f WHERE EXISTS (SELECT 1 FROM traces WHERE rowid = f.id))
"""
_NEWEST = f"""
    {SUMMARIES} WHERE t.rowid < ? AND NOT EXISTS (SELECT 1 FROM trace_annotations)
    ORDER BY t.rowid DESC LIMIT ?
"""
# Of the newest rows alone: where few match, blocks are to be left out first.
_NEWEST_IN_RANGES = """
    SELECT id, summary, summary_crc
    FROM trace_facets CROSS JOIN (SELECT rowid AS there FROM traces) ON there = id
    WHERE id < ? AND id > ifnull(?, (SELECT max(id) FROM trace_facets)) - ? AND {condition}
    AND NOT EXISTS (SELECT 1 FROM trace_annotations)
    AND NOT EXISTS (SELECT 1 FROM trace_pending WHERE NOT unreadable)
    ORDER BY id DESC LIMIT ?
"""
LOAD_ONE = f"{_LOAD} = ?"
NEWEST_ID = "SELECT max(rowid) FROM traces"


def load_one(connection: sqlite3.Connection, where: str, run_id: str) -> bytes | None:
    """The JSON of a trace.

    Raises:
        CorruptTraceError: It is not what was saved.
    """
    return loaded_one(where, run_id, connection.execute(LOAD_ONE, (run_id,)).fetchall())


def loaded_one(where: str, run_id: str, rows: Sequence[Row]) -> bytes | None:
    """The same, of the rows of `LOAD_ONE`."""
    return _checked(where, run_id, *rows[0][1:]) if rows else None


def select(run_ids: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The statement that reads traces, for `loaded`, and its parameters."""
    return f"{_LOAD} IN ({','.join('?' * len(run_ids))})", run_ids


def loaded(where: str, run_ids: Sequence[str], rows: Sequence[Row]) -> list[Loaded]:
    """The JSON of traces; None for each that is not there."""
    found: dict[str, Loaded] = {}
    for stored_id, *stored in rows:
        run_id = stored_bytes(stored_id).decode(errors="replace")
        try:
            found[run_id] = _checked(where, run_id, *stored)
        except CorruptTraceError as error:
            found[run_id] = error
    return [found.get(run_id) for run_id in run_ids]


def is_large(rows: Sequence[Row]) -> bool:
    """Whether it takes long to compute the checksums of what was read."""
    return sum(len(row[1]) for row in rows if isinstance(row[1], bytes)) > LARGE


def _checked(where: str, run_id: str, stored: object, trace_crc: int | None) -> bytes:
    trace_json = stored_bytes(stored)
    if trace_crc is not None and checksum(trace_json) != trace_crc:
        raise CorruptTraceError(run_id, place_of(where, run_id), WRONG_CHECKSUM)
    return trace_json


def place_of(where: str, run_id: str) -> str:
    """Where a trace stands, for people."""
    return f"{where}, table traces, run_id {run_id!r}"


def page(connection: sqlite3.Connection, where: str, ask: PageRequest) -> Sequence[PageRow]:
    """The summaries of a page, read at one moment; unreadable rows are skipped."""
    if ask.limit == 0:
        return []
    if (found := _newest(connection, ask)) is not None:
        return found
    catch_up(connection, where)
    order = None if ask.filters.order_by is None else order_of(ask.filters)
    if order is not None:
        with one_moment(connection):
            return _ordered(connection, where, ask, order)
    with one_moment(connection), closing(rows_found(connection, where, ask)) as matches:
        stop = None if ask.limit is None else min(ask.offset + ask.limit, sys.maxsize)
        return list(islice(matches, min(ask.offset, sys.maxsize), stop))


def _newest(connection: sqlite3.Connection, ask: PageRequest) -> Sequence[PageRow] | None:
    """A small page of all runs, or of a range of them, by one statement, as most are asked for.

    None if it takes more: where runs have annotations, some are of another program or damaged, or
    few of the newest are in the range.
    """
    limit = ROWS_AT_ONCE + 1 if ask.limit is None else ask.limit
    if ask.offset or ask.oldest_first or ask.newest is not None or limit > ROWS_AT_ONCE:
        return None
    is_every = ask.filters is EVERYTHING
    if not is_every and not is_told_by_ranges(ask.filters):
        return None
    undo(connection)
    last = () if ask.after is None else (ask.after.key,)
    before = last[0] if last else sys.maxsize
    if is_every:
        rows = connection.execute(_NEWEST, (before, limit)).fetchall()
    else:
        condition, values = Ranges(ask.filters).of_facets()
        question = _newest_in_ranges(condition)
        among = [before, ask.after and before, ROWS_AT_ONCE, *values, limit]
        rows = connection.execute(question, among).fetchall()
    if len(rows) < (1 if is_every else limit):
        return None
    ids, stored, checksums = zip(*rows, strict=True)
    check_order((*last, *ids), ask)
    try:
        summaries = summaries_of_page(stored, checksums)
        if not is_every and not are_within_bounds(ask.filters, summaries):
            return None  # the index is damaged
    except (TypeError, ValueError, msgspec.MsgspecError):
        return None
    return PlacedSummaries(ids, summaries)


@lru_cache(maxsize=64)
def _newest_in_ranges(condition: str) -> str:
    return _NEWEST_IN_RANGES.format(condition=condition)


def _ordered(
    connection: sqlite3.Connection, where: str, ask: PageRequest, order: Order
) -> list[PageRow]:
    """The rows of a page in another order than that of saving."""
    unordered = replace(ask.filters, order_by=None)
    foreign = CandidateQuery(connection, PageRequest(unordered, newest=ask.newest)).foreign_rows()
    after = None if ask.after is None else order.key(ask.after.value, (ask.after.key,))

    def key_of(row: PageRow) -> SortKey:
        return order.key(order.value_of(row.summary), (row.key,))

    read = list(matching(connection, where, foreign, unordered))
    rows = [row for row in read if after is None or order.is_after(key_of(row), after)]
    wanted = None if ask.limit is None else ask.offset + ask.limit
    more = wanted
    while True:
        ids = first_ids(connection, ask, order, more)
        found = list(rows)
        for some in chunks(ids, ROWS_AT_ONCE):
            candidates = [(row_id, True) for row_id in some]
            found += _summaries(connection, where, candidates, unordered)
        # Rows that are damaged are left out: others take their place.
        if wanted is None or more is None or len(ids) < more or len(found) >= wanted:
            break
        more *= 2
    found.sort(key=key_of, reverse=order.descending)
    return found[ask.offset : wanted]


def count(connection: sqlite3.Connection, where: str, filters: TraceFilter) -> int:
    """How many traces match."""
    catch_up(connection, where)
    with one_moment(connection):
        if filters == TraceFilter(limit=filters.limit):
            (number,) = connection.execute(_COUNT_INDEXED).fetchone()
            foreign = CandidateQuery(connection, PageRequest(filters)).foreign_rows()
            number += sum(1 for _ in matching(connection, where, foreign, filters))
            return min(int(number), _most(filters.limit))
        with closing(_matching_ids(connection, where, filters)) as ids:
            return sum(1 for _ in islice(ids, _most(filters.limit)))


def catch_up(connection: sqlite3.Connection, where: str) -> None:
    """Index what other programs wrote, if it is so much that reading it each time would be slow."""
    (foreign,) = connection.execute(_COUNT_FOREIGN, (_FOREIGN_ROWS_READ,)).fetchone()
    if foreign > _FOREIGN_ROWS_READ:
        with suppress(sqlite3.Error):  # it cannot be written now: then it is slow
            index_everything(connection, where)


def _matching_ids(
    connection: sqlite3.Connection, where: str, filters: TraceFilter
) -> Generator[int, None, None]:
    if filters.run_ids is not None or needed_annotations(filters):
        for found in rows_found(connection, where, PageRequest(filters)):
            yield found.key
        return
    yielder = GilYielder()
    narrowing = CandidateQuery(connection, PageRequest(filters))
    for some in chunks(narrowing.candidates(), min(ROWS_AT_ONCE, _most(filters.limit))):
        unsure = [candidate for candidate in some if not candidate[1]]
        read: set[int] = set()
        for found in _summaries(connection, where, unsure, filters) if unsure else ():
            yielder.maybe_yield()
            read.add(found.key)
        yielder.maybe_yield()
        yield from [row_id for row_id, sure in some if sure or row_id in read]


def matching(
    connection: sqlite3.Connection,
    where: str,
    row_ids: Sequence[int] | None,
    filters: TraceFilter,
) -> Iterator[PageRow]:
    """Those rows that match, told by reading them; if None is given, those of its run ids."""
    if row_ids is None:
        ask = PageRequest(filters)
        yield from _at_places(connection, where, ask, _of_run_ids(connection, ask))
        return
    for some in chunks(row_ids, ROWS_AT_ONCE):
        yield from _summaries(connection, where, [(row_id, False) for row_id in some], filters)


def rows_found(
    connection: sqlite3.Connection, where: str, ask: PageRequest
) -> Generator[PageRow, None, None]:
    """All rows that match from the page's beginning on, in its order."""
    places = places_named(connection, ask)
    if places is not None:
        return _at_places(connection, where, ask, places)
    narrowing = CandidateQuery(connection, ask)
    if narrowing.is_everything:
        return _in_order(connection, where, ask, SUMMARIES, [bounds_of(ask, "t.rowid")])
    parts = narrowing.parts_by_ranges()
    if parts is not None:
        return _in_order(connection, where, ask, _BY_FACETS, parts)
    return _matching(connection, where, ask, narrowing)


def _in_order(
    connection: sqlite3.Connection,
    where: str,
    ask: PageRequest,
    select: str,
    parts: Iterable[tuple[str, list[Any]]],
) -> Generator[PageRow, None, None]:
    """The rows that fulfil one condition after another, which say all that the filter asks."""
    order = "ASC" if ask.oldest_first else "DESC"
    yielder, may_match = GilYielder(), summary_test(ask.filters)
    last = () if ask.after is None else (ask.after.key,)
    given = 0
    for condition, values in parts:
        rows = connection.execute(f"{select} WHERE {condition} ORDER BY 1 {order}", values)
        while some := rows.fetchmany(_at_once(ask, given)):
            ids = [row[0] for row in some]
            check_order((*last, *ids), ask)
            last = (ids[-1],)
            summaries = zip(ids, _summaries_of(connection, where, some), strict=True)
            found = [PageRow(key, s) for key, s in summaries if s is not None and may_match(s)]
            given += len(found)
            yield from found
            yielder.maybe_yield()


def _matching(
    connection: sqlite3.Connection, where: str, ask: PageRequest, narrowing: CandidateQuery
) -> Generator[PageRow, None, None]:
    yielder = GilYielder()
    for candidates in chunks(narrowing.candidates(), _at_once(ask)):
        for found in _summaries(connection, where, candidates, ask.filters):
            yielder.maybe_yield()
            yield found


def _at_once(ask: PageRequest, given: int = 0) -> int:
    """A small page should not read many rows to give few; a large one should not ask often."""
    if ask.limit is None:
        return ROWS_AT_ONCE
    return min(max(ask.offset + ask.limit - given, _FEWEST_AT_ONCE), ROWS_AT_ONCE)


def _summaries(
    connection: sqlite3.Connection,
    where: str,
    candidates: Sequence[tuple[int, bool]],
    filters: TraceFilter,
) -> Iterator[PageRow]:
    """The summaries of those candidates that match, in the candidates' order."""
    found = summaries_at(connection, where, [row_id for row_id, _ in candidates])
    asks_steps, may_match = asks_for_facts(filters), summary_test(filters)
    for row_id, sure in candidates:
        summary = found.get(row_id)
        if (
            summary is not None
            and may_match(summary)
            and (not asks_steps or _facts_match(connection, row_id, summary, filters, sure=sure))
        ):
            yield PageRow(row_id, summary)


def summaries_at(
    connection: sqlite3.Connection, where: str, ids: Sequence[int]
) -> dict[int, TraceSummary]:
    """The summaries of rows, by id; of those that are there and not damaged."""
    marks = ",".join("?" * len(ids))
    rows = connection.execute(f"{SUMMARIES} WHERE t.rowid IN ({marks})", ids).fetchall()
    found = zip(rows, _summaries_of(connection, where, rows), strict=True)
    return {row[0]: summary for row, summary in found if summary is not None}


def _summaries_of(
    connection: sqlite3.Connection, where: str, rows: Sequence[Row]
) -> Sequence[TraceSummary | None]:
    """The summaries of rows of `SUMMARIES`, with their annotations."""
    found = summaries_of_rows(connection, where, rows)
    if rows and annotation_rows.has_some(connection):
        run_ids = [summary.run_id for summary in found if summary is not None]
        latest = annotation_rows.latest(connection, where, run_ids)
        for summary in found:
            if summary is not None:
                summary.annotations = latest.get(summary.run_id, {})
    return found


def places_named(connection: sqlite3.Connection, ask: PageRequest) -> list[int] | None:
    """The ids of all rows that can be in the page, in its order, if the filter names them.

    It does by run ids, and by annotations that every run which matches has.
    """
    if ask.filters.run_ids is not None:
        places = _of_run_ids(connection, ask)
    elif needed_annotations(ask.filters):
        places = _annotated(connection, ask)
    else:
        return None
    return sorted(set(places), reverse=not ask.oldest_first)


def _of_run_ids(connection: sqlite3.Connection, ask: PageRequest) -> list[int]:
    places: list[int] = []
    storable = filter(is_storable_id, ask.filters.run_ids or ())
    for chunk in chunks(sorted(storable), ROWS_AT_ONCE):
        marks = ",".join("?" * len(chunk))
        condition, values = bounds_of(ask, "rowid")
        rows = connection.execute(
            f"SELECT rowid FROM traces WHERE run_id IN ({marks}) AND {condition}",
            [*chunk, *values],
        ).fetchall()
        places += [row[0] for row in rows]
    return sorted(places, reverse=not ask.oldest_first)


def _annotated(connection: sqlite3.Connection, ask: PageRequest) -> list[int]:
    condition, values = bounds_of(ask, "rowid")
    annotated, names = annotation_rows.annotated_runs(needed_annotations(ask.filters))
    rows = connection.execute(
        f"SELECT rowid FROM traces WHERE {condition} AND {annotated}", [*values, *names]
    ).fetchall()
    return [row[0] for row in rows]


def _at_places(
    connection: sqlite3.Connection, where: str, ask: PageRequest, places: Iterable[int]
) -> Generator[PageRow, None, None]:
    for some in chunks(places, ROWS_AT_ONCE):
        candidates = [(row_id, False) for row_id in some]
        yield from _summaries(connection, where, candidates, ask.filters)


def _facts_match(
    connection: sqlite3.Connection,
    row_id: int,
    summary: TraceSummary,
    filters: TraceFilter,
    *,
    sure: bool,
) -> bool:
    if sure and filters.where is None:
        return True
    facts = facets_from_json(_trace_json(connection, row_id)).facts
    return rest_of_verdict(filters, summary, facts) is not False


def _trace_json(connection: sqlite3.Connection, row_id: int) -> bytes:
    return column(connection, "trace_json", row_id) or b""


def _most(limit: int | None) -> int:
    return sys.maxsize if limit is None else min(limit, sys.maxsize)


def fetch_all(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> Sequence[Row]:
    """The rows of one statement."""
    return connection.execute(sql, parameters).fetchall()


def chunks(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
