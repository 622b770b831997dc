"""Filters and pages as SQL that narrows; `matches` decides about each row that is read.

Nothing is left to the planner that it gets wrong: asked for the newest rows with a rare term it
walks the whole table backwards, so the nearest rows are looked through first, and then the index of
terms is asked by itself, or that of numbers, which has all that ranges and orders ask of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import structs

from ...model import conditions
from ...model.clock import Clock
from ...model.conditions import (
    AllOf,
    AnyOf,
    Bound,
    HasError,
    Moment,
    RunIs,
    StepHas,
    conjuncts,
    leaves,
)
from ...model.filters import TraceFilter, condition_of, fields_set, needed_annotations
from ...model.histogram import Tally
from ...model.ordering import Order
from ...model.pagination import Position
from ..queries.paging import PageRequest
from ..queries.row_queries import unordered
from ..sql.exact_conditions import exactly, lets_through_unknown
from ..sql.ranges import Ranges, decided_by_costs
from ..sql.terms import alternatives_of_condition, terms_of_condition, wanted_terms
from .rows import keys_of, numbers
from .session import Values
from .where_sql import COLUMNS, HAS_COST, MOMENTS, ORDERED, needed

NEAREST = 2000
"""Rows that are looked through before an index is asked."""

_LARGEST = 2**62  # what LIMIT takes
_OF_NUMBERS = (Bound, Moment, HasError)  # what the index of numbers has
_SUMMARIES = "SELECT seq, created_us, summary FROM {traces}"


class Condition(msgspec.Struct, frozen=True):
    """A condition on rows of ``traces``, and its values."""

    sql: str
    values: list[Any]

    def and_(self, other: Condition) -> Condition:
        return Condition(f"{self.sql} AND {other.sql}", [*self.values, *other.values])


def ranges_of(filters: TraceFilter) -> Condition:
    """The filter's ranges, and what its ``where`` needs, but for what the index of terms finds."""
    condition = _of_columns(Ranges(filters, of_condition=True))
    if not decided_by_costs(filters):
        condition = condition.and_(Condition(HAS_COST, []))
    for part in conjuncts(condition_of(filters)):
        asked = None if _is_told_otherwise(part) else needed(part)
        condition = condition if asked is None else condition.and_(Condition(*asked))
    return condition


def _of_columns(ranges: Ranges) -> Condition:
    sql, values = ranges.of_facets()
    # Two counts of 64 bits may add up to more.
    sql = sql.replace("prompt_tokens + ", "prompt_tokens::numeric + ")
    sql = sql.replace("has_error = ?", "has_error = (? = 1)")
    if sql.startswith("1"):
        sql = f"true{sql[1:]}"
    return Condition(sql.replace("?", "%s"), values)


def _is_told_otherwise(part: conditions.Condition) -> bool:
    """Whether ranges narrow by a condition, or the index of terms."""
    match part:
        case Bound() | Moment() | HasError():
            return not lets_through_unknown(part)
        case StepHas(field, name) | RunIs(field, name):
            return "*" not in name and field != "run_id"
    return False


def runs_of(filters: TraceFilter) -> Condition:
    """The filter's run ids."""
    if filters.run_ids is None:
        return Condition("true", [])
    return Condition("key = ANY(%s::bytea[])", [keys_of(filters.run_ids)])


def terms_wanted(filters: TraceFilter) -> Condition | None:
    """The filter's terms, and lists of which a run has one each; None if it has neither."""
    terms = [*wanted_terms(filters), *terms_of_condition(filters)]
    alternatives = alternatives_of_condition(filters)
    parts = ["terms @> %s::bigint[]"] if terms else []
    parts += ["terms && %s::bigint[]"] * len(alternatives)
    values = [terms, *alternatives] if terms else alternatives
    return Condition(" AND ".join(parts), values) if parts else None


def narrowing(annotations: str, filters: TraceFilter) -> Condition | None:
    """What leaves few rows of many: the filter's terms and annotations; None if it has neither."""
    terms, said = terms_wanted(filters), said_of(annotations, filters)
    if terms is None or said is None:
        return terms or said
    return terms.and_(said)


def said_of(annotations: str, filters: TraceFilter) -> Condition | None:
    """The annotations that the filter's runs have; None if it asks for none."""
    names = needed_annotations(filters)
    if not names:
        return None
    if not all(map(_is_text, names)):
        return Condition("false", [])
    parts = [
        f"key IN (SELECT key FROM {annotations})"
        if name is None
        else f"key IN (SELECT key FROM {annotations} WHERE name = %s)"
        for name in names
    ]
    return Condition(" AND ".join(parts), [name for name in names if name is not None])


def _is_text(name: str | None) -> bool:
    """Whether a column of text can hold a name; no annotation has another."""
    if name is None:
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def place_of(request: PageRequest) -> Condition:
    """The places in the order of saving that a page may hold."""
    condition = Condition("true", [])
    if request.after is not None:
        sign = ">" if request.oldest_first else "<"
        condition = condition.and_(Condition(f"seq {sign} %s", [request.after.key]))
    if request.newest is not None:
        condition = condition.and_(Condition("seq <= %s", [request.newest.key]))
    return condition


def direction(request: PageRequest) -> str:
    return "ASC" if request.oldest_first else "DESC"


def nearest(traces: str, request: PageRequest, limit: int | None) -> tuple[str, Values]:
    """SQL for the rows that match, by walking from the page's beginning."""
    filters = request.filters
    asked = place_of(request).and_(ranges_of(filters)).and_(runs_of(filters))
    order = direction(request)
    sql = f"{_SUMMARIES} WHERE {asked.sql} ORDER BY seq {order} LIMIT %s"
    return sql.format(traces=traces), [*asked.values, limit]


def place_before(traces: str, request: PageRequest) -> tuple[str, Values]:
    """SQL for the place of the last row that the page's offset leaves out, without terms."""
    filters = request.filters
    asked = place_of(request).and_(_told(filters))
    sql = f"SELECT seq FROM {traces} WHERE {asked.sql} ORDER BY seq {direction(request)}"
    return f"{sql} OFFSET %s LIMIT 1", [*asked.values, request.offset - 1]


def are_numbers_enough(filters: TraceFilter) -> bool:
    """Whether the index of numbers has all that narrows, of which there is something."""
    asked = [part for part in conjuncts(condition_of(filters)) if needed(part) is not None]
    return (
        bool(asked or Ranges(filters))
        and filters.run_ids is None
        and decided_by_costs(filters)
        and all(map(_is_of_numbers, asked))
    )


def _is_of_numbers(part: conditions.Condition) -> bool:
    return all(
        isinstance(leaf, _OF_NUMBERS) and not lets_through_unknown(leaf) for leaf in leaves(part)
    )


def by_index(
    traces: str, request: PageRequest, terms: Condition | None, limit: int | None
) -> tuple[str, Values] | None:
    """SQL for the rows that match, by terms, numbers or both; None if no index finds them."""
    if terms is not None:
        return by_terms(traces, request, terms, limit)
    if limit is None or limit > NEAREST:
        return None
    if are_numbers_enough(request.filters):
        return by_numbers(traces, request, limit)
    either = _either_of(request.filters)
    if either is None:
        return None
    first, second = (structs.replace(request, filters=one) for one in either[:2])
    sql, values = by_numbers(traces, first, limit)
    others, their_values = by_terms(traces, second, either[2], limit)
    sql = (
        f"SELECT * FROM (({sql}) UNION ({others})) found ORDER BY seq {direction(request)} LIMIT %s"
    )
    return sql, [*values, *their_values, limit]


def _either_of(filters: TraceFilter) -> tuple[TraceFilter, TraceFilter, Condition] | None:
    """Two filters of which a run that matches this one matches one, and the second's terms.

    The index of numbers tells of the first.
    """
    parts = tuple(conjuncts(condition_of(filters)))
    for place, part in enumerate(parts):
        if not isinstance(part, AnyOf):
            continue
        rest = parts[:place] + parts[place + 1 :]
        ours = tuple(one for one in part.parts if _is_of_numbers(one))
        others = tuple(one for one in part.parts if not _is_of_numbers(one))
        first, second = (
            replace(filters, where=AllOf((*rest, AnyOf(some)))) for some in (ours, others)
        )
        if ours and others and are_numbers_enough(first) and (terms := terms_wanted(second)):
            return first, second, terms
    return None


def by_numbers(traces: str, request: PageRequest, limit: int) -> tuple[str, Values]:
    """SQL for the rows that match, by the index of numbers."""
    order, asked = direction(request), place_of(request).and_(ranges_of(request.filters))
    chosen = f"SELECT seq FROM {{traces}} WHERE {asked.sql} ORDER BY seq + 0 {order} LIMIT %s"
    sql = f"{_SUMMARIES} WHERE seq = ANY(ARRAY({chosen})) ORDER BY seq {order}"
    return sql.format(traces=traces), [*asked.values, limit]


def among_nearest(
    traces: str, request: PageRequest, terms: Condition | None, limit: int | None
) -> tuple[str, Values]:
    """SQL for the rows that match and have those terms, among the `NEAREST` ones."""
    place, rest = place_of(request), ranges_of(request.filters)
    rest = rest if terms is None else rest.and_(terms)
    order = direction(request)
    near = f"SELECT * FROM {{traces}} WHERE {place.sql} ORDER BY seq {order} LIMIT {NEAREST}"
    sql = (
        f"SELECT seq, created_us, summary FROM ({near}) near WHERE {rest.sql} "
        f"ORDER BY seq {order} LIMIT %s"
    )
    return sql.format(traces=traces), [*place.values, *rest.values, limit]


def at(traces: str, request: PageRequest, places: Sequence[int]) -> tuple[str, Values]:
    """SQL for the rows that match, at these places."""
    condition = _matching(request.filters)
    sql = (
        f"{_SUMMARIES} WHERE seq = ANY(%s::bigint[]) AND {condition.sql} ORDER BY seq + 0 "
        f"{direction(request)}"
    )
    return sql.format(traces=traces), [numbers(places), *condition.values]


def ordered(traces: str, request: PageRequest, order: Order, offset: int) -> tuple[str, Values]:
    """SQL for a page in another order than that of saving, as `SortKey` has it."""
    value, may_be_null = ORDERED[order.field]
    filters, after = unordered(request.filters), request.after
    asked = place_of(structs.replace(request, after=None)).and_(_told(filters))
    if after is not None:
        asked = asked.and_(_is_after(after, order))
    if order.field == "created_at" and terms_wanted(filters) is not None:
        value = f"{value} + 0"  # no column of an index, which may have to be walked to its end
    direction = "DESC" if order.descending else "ASC"
    nulls = " NULLS LAST" if may_be_null else ""
    by = f"ORDER BY {value} {direction}{nulls}, seq {direction}"
    limit = None if request.limit is None else min(request.limit, _LARGEST)
    chosen = f"FROM {{traces}} WHERE {asked.sql} {by} LIMIT %s OFFSET %s"
    sql = f"SELECT seq, created_us, summary {chosen}"
    if limit is not None and limit <= NEAREST:  # of no other rows more than an index has
        sql = f"{_SUMMARIES} WHERE seq = ANY(ARRAY(SELECT seq {chosen})) {by}"
    return sql.format(traces=traces), [*asked.values, limit, min(offset, _LARGEST)]


def _is_after(after: Position, order: Order) -> Condition:
    """The rows after one, where the page begins."""
    value, may_be_null = ORDERED[order.field]
    sign = "<" if order.descending else ">"
    if after.value is None:
        return Condition(f"{value} IS NULL AND seq {sign} %s", [after.key])
    unknown = f"{value} IS NULL OR " if may_be_null else ""
    return Condition(f"({unknown}({value}, seq) {sign} (%s, %s))", [after.value, after.key])


def by_terms(
    traces: str, request: PageRequest, terms: Condition, limit: int | None
) -> tuple[str, Values]:
    """SQL for the rows with those terms, by the index of terms.

    ``seq + 0`` is not a column of an index, so the planner cannot walk the order of saving.
    """
    filters = request.filters
    asked = place_of(request).and_(ranges_of(filters)).and_(runs_of(filters)).and_(terms)
    order = direction(request)
    sql = f"{_SUMMARIES} WHERE {asked.sql} ORDER BY seq + 0 {order} LIMIT %s"
    return sql.format(traces=traces), [*asked.values, limit]


def _told(filters: TraceFilter) -> Condition:
    """What holds of the rows that match a filter of which SQL tells exactly."""
    condition, terms = _of_columns(Ranges(filters)).and_(runs_of(filters)), wanted_terms(filters)
    if terms:
        condition = condition.and_(Condition("terms @> %s::bigint[]", [terms]))
    asked = None if filters.where is None else exactly(condition_of(filters), COLUMNS)
    return condition if asked is None else condition.and_(Condition(*asked))


def _matching(filters: TraceFilter) -> Condition:
    condition = ranges_of(filters).and_(runs_of(filters))
    terms = terms_wanted(filters)
    return condition if terms is None else condition.and_(terms)


def has_one_of(traces: str, terms: list[int]) -> tuple[str, Values]:
    """SQL that gives a row if a run has one of these terms."""
    asked, values = COLUMNS.has_one(terms)
    # Ordered, so that the planner asks the index: none has such a term, mostly.
    return f"SELECT 1 FROM {traces} WHERE {asked} ORDER BY seq + 0 LIMIT 1", values


def count(traces: str, filters: TraceFilter) -> tuple[str, Values]:
    """SQL for how many match, up to the filter's limit."""
    rows = _rows_told(traces, "1", filters)
    if filters.limit is not None:  # without, several processes of the server count
        rows = Condition(f"{rows.sql} LIMIT %s", [*rows.values, min(filters.limit, _LARGEST)])
    return f"SELECT count(*) FROM ({rows.sql}) found", rows.values


def over_time(traces: str, filters: TraceFilter, tally: Tally) -> tuple[str, Values]:
    """SQL for how many match, and have an error, by the tally's buckets."""
    rows = _rows_told(traces, f"{MOMENTS[tally.time]} AS moment, has_error", filters)
    sql = (
        "SELECT (moment - %s) / %s AS bucket, count(*), count(*) FILTER (WHERE has_error) "
        f"FROM ({rows.sql}) found WHERE moment BETWEEN %s AND %s GROUP BY 1"
    )
    return sql, [tally.since, tally.width, *rows.values, tally.since, tally.until]


def _rows_told(traces: str, columns: str, filters: TraceFilter) -> Condition:
    """SQL for the rows that match a filter of which SQL tells exactly, by the indexes it has."""
    either = _either_of(filters)
    if either is None:
        told = _told(filters)
    else:
        first, second = map(_told, either[:2])
        told = Condition(
            f"{first.sql} UNION ALL SELECT {columns} FROM {traces} "
            f"WHERE {second.sql} AND NOT ({first.sql})",
            [*first.values, *second.values, *first.values],
        )
    return Condition(f"SELECT {columns} FROM {traces} WHERE {told.sql}", told.values)


def places(traces: str, filters: TraceFilter, only: str = "true") -> tuple[str, Values]:
    """SQL for the places of runs that match, and a condition, in any order: the newest, if some."""
    condition = _told(filters)
    sql = f"SELECT seq FROM {traces} WHERE {condition.sql} AND {only}"
    if filters.limit is None:
        return sql, condition.values
    by = "seq" if fields_set(filters) == ("limit",) else "seq + 0"
    return f"{sql} ORDER BY {by} DESC LIMIT %s", [*condition.values, min(filters.limit, _LARGEST)]


def between(
    traces: str, columns: str, filters: TraceFilter, first: int, end: int
) -> tuple[str, Values]:
    """SQL for the rows that match, of places from one to before another, newest first."""
    condition = _told(filters)
    sql = (
        f"SELECT {columns} FROM {traces} WHERE seq >= %s AND seq < %s AND {condition.sql} "
        "ORDER BY seq DESC"
    )
    return sql, [first, end, *condition.values]


def first_and_last(traces: str, filters: TraceFilter, time: Clock) -> tuple[str, Values]:
    """SQL for the first and the last time of the runs that match."""
    condition, moment = _told(filters), MOMENTS[time]
    sql = f"SELECT min({moment}), max({moment}) FROM {traces} WHERE {condition.sql}"
    return sql, condition.values
