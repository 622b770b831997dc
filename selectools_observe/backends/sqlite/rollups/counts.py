"""How many runs match, in all and over time, by what is kept of them."""

from __future__ import annotations

import sqlite3
from itertools import compress

from ....model.clock import Clock
from ....model.filters import TraceFilter
from ....model.histogram import Tally, TraceHistogram
from ..index import counter
from ..reader import catch_up
from ..transaction import reading
from .aggregation import Aggregation, can_aggregate
from .columns import BlockRuns, Selection
from .packed import unpack_integers

_FEW = 1000  # so many are found one by one as quickly
_ENOUGH = """
    SELECT (SELECT count(*) FROM trace_rollups) * 2 >= (SELECT count(*) FROM trace_blocks)
"""


def count(connection: sqlite3.Connection, where: str, filters: TraceFilter) -> int:
    """How many traces match."""
    limit = filters.limit
    if filters != TraceFilter(limit=limit) and (limit is None or limit > _FEW):
        catch_up(connection, where)
        with reading(connection):
            aggregation = _aggregation(connection, where, filters)
            if aggregation is not None:
                return _count(aggregation, limit)
    return counter.count(connection, where, filters)


def _aggregation(
    connection: sqlite3.Connection, where: str, filters: TraceFilter
) -> Aggregation | None:
    """The runs that match; None if that is not told by what is kept, or sooner in another way."""
    try:
        (is_kept,) = connection.execute(_ENOUGH).fetchone()
    except sqlite3.DatabaseError:  # a table is damaged: rows tell
        return None
    if not is_kept or not can_aggregate(filters):
        return None
    found = Aggregation(connection, where, filters)
    return None if found.is_sooner_counted else found


def _count(aggregation: Aggregation, limit: int | None) -> int:
    total = sum(1 for _ in aggregation.read_rows())
    for part in aggregation.kept_or_read(count_only=True):
        if isinstance(part, int):
            total += part
        else:
            total += len(part[1] if isinstance(part, tuple) else part)
        if limit is not None and total >= limit:
            return limit
    return total


def histogram(
    connection: sqlite3.Connection, where: str, filters: TraceFilter, buckets: int, time: Clock
) -> TraceHistogram:
    """How many runs match, over time."""
    catch_up(connection, where)
    with reading(connection):
        aggregation = _aggregation(connection, where, filters)
        if aggregation is not None:
            bounds = counter.span_of(connection, where, filters, time)
            if bounds is None:
                return TraceHistogram()
            return _tally(aggregation, Tally(*bounds, buckets, time))
    return counter.histogram(connection, where, filters, buckets, time)


def _tally(aggregation: Aggregation, tally: Tally) -> TraceHistogram:
    for row in aggregation.read_rows():
        tally.add_summary(row.summary)
    for part in aggregation.kept_or_read():
        if isinstance(part, tuple):
            _add_block(tally, *part)
        elif not isinstance(part, int):
            for row in part:
                tally.add_summary(row.summary)
    return tally.result()


def _add_block(tally: Tally, runs: BlockRuns, places: bytes) -> None:
    if not places:
        return
    packed = runs.created_us if tally.time == "created_at" else runs.began_us
    moments, errors = unpack_integers(packed) or [0] * len(runs.places), runs.errors
    if len(places) < len(runs.places):
        marks = Selection(places).of(runs.places) or b""
        moments, errors = list(compress(moments, marks)), bytes(compress(errors, marks))
    bucket = tally.bucket_of(min(moments))
    if bucket is not None and bucket == tally.bucket_of(max(moments)):
        tally.add(bucket, len(moments), sum(errors))
        return
    for moment, has_error in zip(moments, errors, strict=True):
        tally.add_run(moment, has_error=bool(has_error))
