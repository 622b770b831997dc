"""Filters and pages as SQL that narrows; `matches` decides about each row that is read.

All values are numbers or UUIDs, written into the SQL as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from ...model.amounts import Number
from ...model.clock import Clock
from ...model.conditions import (
    Bound,
    Condition,
    IsAnnotated,
    LabelIs,
    NumberField,
    Operator,
    ScoreBound,
    TimeField,
    conjuncts,
)
from ...model.filters import TraceFilter, condition_of, needed_text
from ...model.histogram import Tally
from ...model.ordering import Order
from ...model.pagination import Position
from ...model.text_query import FOLDABLE_CHARACTERS, HIDING, JSONSieve
from ..queries.paging import PageRequest
from ..sql.exact_conditions import SQL, exactly, terms_in_doubt
from ..sql.ranges import Ranges
from ..sql.terms import (
    alternatives_of_condition,
    terms_of_condition,
    terms_of_leaf,
    wanted_terms,
)
from . import native
from .rows import packed_key

_MOMENTS: dict[Clock, str] = {
    "created_at": "created_us",
    "started_at": "ifNull(started_us, created_us)",
}


ORDERED = {
    "created_at": "created_us",
    "started_at": "started_us",
    "total_ms": "total_ms",
    "wall_ms": "wall_ms",
    "cost_usd": "cost_usd",
    "steps": "steps",
    "tokens": "(toInt128(prompt_tokens) + toInt128(completion_tokens))",
}
"""What runs are ordered by, as SQL."""

_LARGEST = 2**100  # numbers beyond it are left to Python
_MAY_BE_NULL = ("started_at", "wall_ms")


class ClickHouseColumns:
    """What the columns of a row can be asked."""

    has_error: SQL = ("has_error", [])

    @staticmethod
    def compares(field: NumberField | TimeField, sign: Operator, bound: Number) -> SQL:
        sql = f"{ORDERED.get(field, field)} {sign} {_literal(bound)}"
        return (f"ifNull({sql}, 0)" if field in _MAY_BE_NULL else sql), []

    @staticmethod
    def has_one(terms: list[int]) -> SQL:
        return f"hasAny(terms, {terms})", []

    @staticmethod
    def is_run(run_id: str) -> SQL:
        return f"key IN {literal_keys([packed_key(run_id)])}", []


COLUMNS = ClickHouseColumns()


def literal_place(place: int) -> str:
    """A place as SQL: as a plain number, one of this size would be a float."""
    return f"toUInt128('{place}')"


def literal_keys(keys: Iterable[bytes]) -> str:
    """Keys as SQL, to be asked for with ``IN``."""
    every = (UUID(bytes=native.uuid(key)) for key in keys)
    return "(" + (", ".join(f"'{key}'" for key in every) or "generateUUIDv4()") + ")"


def rows_of_keys(database: str, columns: str, wanted: str) -> str:
    """SQL for the rows of those runs, newest first: one each, unless a run is being saved again.

    Only rows of ``traces`` count. In ``keys`` there may be a place of a row that never came.
    """
    return (
        f"SELECT {columns} FROM {database}.traces WHERE place IN "
        f"(SELECT place FROM {database}.keys WHERE key IN {wanted}) "
        f"AND key IN {wanted} ORDER BY place DESC"
    )


def known_keys(database: str, wanted: str) -> str:
    """SQL for those of the keys that may be there."""
    return f"SELECT DISTINCT key FROM {database}.keys WHERE key IN {wanted}"


def keys_of_others(database: str, since: int, writer: int, wanted: str) -> str:
    """SQL for those of the keys whose runs another writer saved from that place on."""
    places = f"place >= {literal_place(since)} AND toUInt64(place) != {writer}"
    return (
        f"SELECT DISTINCT key FROM {database}.traces WHERE {places} AND place IN "
        f"(SELECT place FROM {database}.keys WHERE key IN {wanted} AND {places})"
    )


def row_of_others(database: str, since: int, writer: int) -> str:
    """SQL that gives a row if another writer saved one from that place on."""
    return (
        f"SELECT 1 FROM {database}.traces WHERE place >= {literal_place(since)} "
        f"AND toUInt64(place) != {writer} LIMIT 1"
    )


def row_at(database: str, place: int) -> str:
    """SQL that gives a row if there is one at that place."""
    return f"SELECT 1 FROM {database}.traces WHERE place = {literal_place(place)}"


def rows_at(database: str, columns: str, places: Iterable[int]) -> str:
    """SQL for the rows at those places."""
    wanted = ", ".join(map(literal_place, places))
    return f"SELECT {columns} FROM {database}.traces WHERE place IN ({wanted})"


def deletion(table: str, places: Iterable[int]) -> str:
    """SQL that removes the rows at those places."""
    return f"DELETE FROM {table} WHERE place IN ({', '.join(map(literal_place, places))})"


def newest(database: str) -> str:
    """SQL for the newest place."""
    return f"SELECT place FROM {database}.traces ORDER BY place DESC LIMIT 1"


def ends_of_newest(database: str, where: str, most: int) -> str:
    """SQL for the places between which the newest so many runs of a condition are."""
    places = f"SELECT place FROM {database}.traces WHERE {where} ORDER BY place DESC"
    return f"SELECT min(place), max(place) FROM ({places} LIMIT {min(most, 2**62)})"


def between(first: int, last: int) -> str:
    """A condition for the rows from one place to another."""
    return f"place BETWEEN {literal_place(first)} AND {literal_place(last)}"


def told(filters: TraceFilter) -> list[str]:
    """Conditions that hold of the rows that match a filter of which SQL tells exactly."""
    asked = None if filters.where is None else exactly(condition_of(filters), COLUMNS)
    return [*_of_fields(filters, wanted_terms(filters)), *([asked[0]] if asked else [])]


def matching(database: str, filters: TraceFilter) -> list[str]:
    """Conditions for what the filter asks for, as far as columns and terms tell."""
    terms = [*wanted_terms(filters), *terms_of_condition(filters)]
    conditions = _of_fields(filters, list(dict.fromkeys(terms)))
    conditions += [f"hasAny(terms, {some})" for some in alternatives_of_condition(filters)]
    needed = (_needed(database, part) for part in conjuncts(condition_of(filters)))
    conditions += dict.fromkeys(sql for sql in needed if sql)
    text = needed_text(filters)
    words = [] if text is None else JSONSieve(text).words
    if words:
        conditions.append(_may_have(words))
    return conditions


def _of_fields(filters: TraceFilter, terms: list[int]) -> list[str]:
    """Conditions for the filter's ranges and ids, and for these terms."""
    sql, values = Ranges(filters).of_facets()
    for value in values:
        sql = sql.replace("?", repr(value), 1)
    conditions = [sql]
    if filters.run_ids is not None:
        conditions.append(f"key IN {literal_keys(map(packed_key, filters.run_ids))}")
    return [*conditions, f"hasAll(terms, {terms})"] if terms else conditions


def has_one_of(database: str, terms: list[int]) -> str:
    """SQL that gives a row if a run has one of these terms."""
    asked, _ = COLUMNS.has_one(terms)
    return f"SELECT 1 FROM {database}.traces WHERE {asked} LIMIT 1"


def _may_have(words: Iterable[str]) -> str:
    """SQL that holds wherever a `JSONSieve` for these words lets a run pass."""
    stand = " AND ".join(
        f"positionCaseInsensitive(trace, unhex('{word.encode().hex()}')) > 0" for word in words
    )
    hidden = " OR ".join(f"position(trace, unhex('{mark.hex()}')) > 0" for mark in HIDING)
    return f"(({stand}) OR {hidden} OR match(trace, '[{FOLDABLE_CHARACTERS}]'))"


def _needed(database: str, condition: Condition) -> str:
    """SQL that holds wherever a condition does, if there is such SQL; it may ask less."""
    if isinstance(condition, ScoreBound | LabelIs | IsAnnotated):
        return is_annotated(database)
    if isinstance(condition, Bound) and abs(condition.value) < _LARGEST:
        return COLUMNS.compares(condition.field, condition.operator, condition.value)[0]
    if terms_of_leaf(condition)[0] or terms_in_doubt(condition):
        return ""
    known = exactly(condition, COLUMNS)
    return "" if known is None else known[0]


def _literal(number: Number) -> str:
    kind = "toInt128" if isinstance(number, int) else "toFloat64"
    return f"{kind}('{number!r}')"


def is_annotated(database: str) -> str:
    """A condition that rows of ``traces`` meet whose runs have annotations."""
    return f"key IN (SELECT key FROM {database}.annotations FINAL)"


def page(
    database: str,
    request: PageRequest,
    limit: int | None,
    *,
    columns: str = "place, created_us, summary",
) -> str:
    """SQL for the rows of a page, whatever its offset.

    Args:
        database: The store's.
        request: The page.
        limit: How many rows at most.
        columns: What of them is wanted.
    """
    conditions = matching(database, request.filters)
    if request.after is not None:
        sign = ">" if request.oldest_first else "<"
        conditions.append(f"place {sign} {literal_place(request.after.key)}")
    if request.newest is not None:
        conditions.append(f"place <= {literal_place(request.newest.key)}")
    order = "ASC" if request.oldest_first else "DESC"
    most = "" if limit is None else f" LIMIT {limit}"
    return (
        f"SELECT {columns} FROM {database}.traces "
        f"WHERE {' AND '.join(conditions)} ORDER BY place {order}{most}"
    )


def place_before(database: str, request: PageRequest) -> str:
    """SQL for the place of the last row that a page's offset leaves out."""
    return f"{page(database, request, 1, columns='place')} OFFSET {request.offset - 1}"


def ordered_page(database: str, request: PageRequest, order: Order, offset: int) -> str:
    """SQL for the summaries of a page in another order than that of saving, as `SortKey` has it."""
    value = ORDERED[order.field]
    conditions = told(request.filters)
    if request.newest is not None:
        conditions.append(f"place <= {literal_place(request.newest.key)}")
    if request.after is not None:
        conditions.append(_is_after(request.after, value, descending=order.descending))
    direction = "DESC" if order.descending else "ASC"
    most = "" if request.limit is None else f" LIMIT {min(request.limit, 2**62)}"
    return (
        f"SELECT place, created_us, summary FROM {database}.traces "
        f"WHERE {' AND '.join(conditions)} "
        f"ORDER BY isNull({value}), {value} {direction}, place {direction}{most} OFFSET {offset}"
    )


def _is_after(last: Position, value: str, *, descending: bool) -> str:
    """A condition for what comes after that place; what has no value comes last."""
    sign = "<" if descending else ">"
    later = f"place {sign} {literal_place(last.key)}"
    if last.value is None:
        return f"(isNull({value}) AND {later})"
    known = _literal(last.value)
    return f"(isNull({value}) OR {value} {sign} {known} OR ({value} = {known} AND {later}))"


def count(database: str, where: str, limit: int | None = None) -> str:
    """SQL for how many rows a condition holds of, up to a limit."""
    rows = f"FROM {database}.traces WHERE {where}"
    if limit is None:
        return f"SELECT count() {rows}"
    return f"SELECT count() FROM (SELECT 1 {rows} LIMIT {min(limit, 2**62)})"


def how_many_annotations(database: str) -> str:
    """SQL for how many annotations there are, with those that were replaced or removed."""
    return f"SELECT count() FROM {database}.annotations"


def annotated(database: str, where: str, *, are_few: bool) -> str:
    """SQL for the summaries of the runs that a condition holds of and that have annotations."""
    chosen = is_annotated(database)
    if are_few:  # their places say which parts of the table to read; else all keys are read
        chosen = f"place IN (SELECT place FROM {database}.keys WHERE {chosen})"
    return (
        f"SELECT place, created_us, summary FROM {database}.traces "
        f"WHERE {where} AND {chosen} ORDER BY place DESC"
    )


def over_time(database: str, filters: TraceFilter, tally: Tally) -> str:
    """SQL for how many match, and have an error, by the tally's buckets."""
    moment = _MOMENTS[tally.time]
    conditions: Sequence[str] = [
        *told(filters),
        f"{moment} BETWEEN {tally.since} AND {tally.until}",
    ]
    return (
        f"SELECT intDiv({moment} - {tally.since}, {tally.width}) AS bucket, count(), "
        f"countIf(has_error = 1) FROM {database}.traces "
        f"WHERE {' AND '.join(conditions)} GROUP BY bucket"
    )


def first_and_last(database: str, filters: TraceFilter, time: Clock) -> str:
    """SQL for how many match, and the first and the last time of these."""
    moment = _MOMENTS[time]
    conditions = " AND ".join(matching(database, filters)) or "1"
    return f"SELECT count(), min({moment}), max({moment}) FROM {database}.traces WHERE {conditions}"
