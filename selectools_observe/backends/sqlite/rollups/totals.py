"""Statistics, groups and facets of a database, by what is kept of its runs."""

from __future__ import annotations

import sqlite3

import msgspec

from ....model.clock import time_of
from ....model.filters import TraceFilter
from ....model.groups import FacetCollector, GroupCollector, GroupPage, stored_key
from ....model.statistics import Collector, RunSums
from ....model.trace import TraceSummary
from ..index.index_upkeep import BLOCK
from ..reader import catch_up
from ..transaction import reading
from .aggregation import Aggregation, add_part, can_aggregate
from .columns import chosen_runs, facet_counts, values_of
from .ranked_groups import ranked_page


def can_add_up(filters: TraceFilter, collector: Collector) -> bool:
    """Whether `add_up` gives the collector what it asks for."""
    told = all(stored_key(key) is not None for key in collector.other_keys)
    return told and can_aggregate(filters)


def add_up(
    connection: sqlite3.Connection, where: str, filters: TraceFilter, collector: Collector
) -> bool:
    """Hand all runs that match, and what their calls add up to, to the collector.

    Returns:
        Whether it did: not if the first so many are to be found among rows of other programs too.
    """
    catch_up(connection, where)
    keys = [key for name in collector.other_keys if (key := stored_key(name)) is not None]
    with reading(connection):
        aggregation = Aggregation(connection, where, filters, calls=collector.needs_traces)
        if not aggregation.can_be_told:
            return False
        for row in aggregation.read_rows():
            rollup = aggregation.rollup_of_row(row) if collector.needs_traces else None
            collector.add_summary(row.summary)
            if rollup is not None:
                collector.add_rollup(rollup, time_of(row.summary, collector.time))
            collector.add_annotations(row.summary, rollup)
        for part in aggregation.parts_and_sums(collector):
            if isinstance(part, RunSums):
                collector.add_sums(part)
            else:
                add_part(collector, aggregation, part, keys)
        for summary, rollup in aggregation.annotated():
            collector.add_annotations(summary, rollup)
    return True


def group_page(  # noqa: PLR0917 - a method's arguments, handed on
    connection: sqlite3.Connection,
    where: str,
    filters: TraceFilter,
    collector: GroupCollector,
    order_by: str,
    limit: int,
    cursor: str | None,
) -> GroupPage | None:
    """A page of the groups of all runs that match; None as in `add_up`."""
    catch_up(connection, where)
    key = stored_key(collector.by)
    assert key is not None  # noqa: S101 - who asks has looked
    with reading(connection):
        aggregation = Aggregation(connection, where, filters)
        if not aggregation.can_be_told:
            return None
        ranked = ranked_page(aggregation, collector.by, order_by, limit, cursor)
        if ranked is not None:
            return ranked
        for row in aggregation.read_rows():
            collector.add(row.summary, row.key)
        for part in aggregation.parts():
            runs = part.told.runs
            if not runs.is_told:
                for row in aggregation.rows_of(part.ids):
                    collector.add(msgspec.structs.replace(row.summary, annotations={}), row.key)
                continue
            chosen = chosen_runs(runs, part.selection)
            first = part.ids[0] // BLOCK * BLOCK
            ids = [first + place for place in chosen.places]
            values = values_of(runs, chosen, key)
            collector.add_runs(chosen.columns, chosen.began_us, ids, values)
        for summary, _ in aggregation.annotated():
            collector.add_annotations(summary)

        def summaries_of(ids: list[int]) -> dict[int, TraceSummary]:
            return {row.key: row.summary for row in aggregation.rows_of(ids)}

        return collector.page(order_by, limit, cursor, summaries_of)


def add_facets(
    connection: sqlite3.Connection, where: str, filters: TraceFilter, collector: FacetCollector
) -> bool:
    """Hand all runs that match to the collector; whether it did, as `add_up`."""
    catch_up(connection, where)
    with reading(connection):
        aggregation = Aggregation(connection, where, filters)
        if not aggregation.can_be_told:
            return False
        for row in aggregation.read_rows():
            collector.add(row.summary, aggregation.facts_of_row(row))
        for part in aggregation.parts():
            runs = part.told.runs
            if not runs.is_told:
                for row in aggregation.rows_of(part.ids):
                    bare = msgspec.structs.replace(row.summary, annotations={})
                    collector.add(bare, aggregation.facts_of_row(row))
            else:
                count = len(part.selection.places)
                collector.add_counts(count, facet_counts(runs, part.selection))
        for summary, _ in aggregation.annotated():
            collector.add_labels(summary)
    return True
