"""Statistics of a database, by what is kept of its runs."""

from __future__ import annotations

import sqlite3

from ....model.filters import TraceFilter
from ....model.groups import stored_key
from ....model.statistics import Collector, RunSums
from ..reader import catch_up
from ..transaction import one_moment
from .aggregation import Aggregation, add_part, can_aggregate


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
    with one_moment(connection):
        aggregation = Aggregation(connection, where, filters)
        if not aggregation.can_be_told:
            return False
        for row in aggregation.read_rows():
            rollup = aggregation.rollup_of_row(row) if collector.needs_traces else None
            collector.add_summary(row.summary)
            if rollup is not None:
                collector.add_rollup(rollup)
            collector.add_annotations(row.summary, rollup)
        for part in aggregation.parts_and_sums(collector):
            if isinstance(part, RunSums):
                collector.add_sums(part)
            else:
                add_part(collector, aggregation, part, keys)
        for summary, rollup in aggregation.annotated():
            collector.add_annotations(summary, rollup)
    return True
