"""What the runs of a store add up to: statistics, orders and groups; SQLite, blocking.

``by_reading`` adds up each trace in turn, as statistics would if nothing were kept of runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.probes.ask import built_texts
from benchmarks.probes.base import Bench, Metrics, Sampler, median_ms
from benchmarks.probes.built import our_store

_BY = ("day", "model", "tool")
_ORDERS = ("-cost_usd", "-total_ms", "-started_at", "-tokens")
_FILTER = "-model:none steps>0"  # the index does not decide it, and it leaves all runs
_FIRST = 50
_CALLS = 3


@contextmanager
def statistics(bench: Bench, size: int, kind: str) -> Iterator[Sampler]:
    """Milliseconds of statistics by day, model and tool, of all runs, and the first time, when what
    is kept is made; of a filter that the index does not decide, and of counting its runs.
    """
    from selectools_observe import SQLiteTraceStore, TraceFilter

    path = our_store(bench, size) if kind == "small" else built_texts(bench, kind, size)
    with SQLiteTraceStore(path) as store:

        def ask(filters: TraceFilter | None) -> None:
            if store.statistics(filters, by=_BY).total.runs != size:
                raise AssertionError("some runs are missing")

        def count(filters: TraceFilter) -> None:
            if store.count(filters) != size:
                raise AssertionError("some runs are missing")

        first = median_ms(ask, [None])
        filtered = [TraceFilter(where=_FILTER)] * _CALLS
        yield lambda: {
            "statistics_ms": median_ms(ask, [None] * _CALLS),
            "filtered_ms": median_ms(ask, filtered),
            "count_ms": median_ms(count, filtered),
            "first_ms": first,
        }


@contextmanager
def by_reading(bench: Bench, size: int, kind: str) -> Iterator[Sampler]:
    """Milliseconds of the same, reading each trace."""
    from selectools_observe import SQLiteTraceStore
    from selectools_observe.analytics import Collector

    path = our_store(bench, size) if kind == "small" else built_texts(bench, kind, size)
    with SQLiteTraceStore(path) as store:

        def read(_: object) -> None:
            collector = Collector(_BY)
            for summary in store.iter_summaries():
                collector.add_summary(summary)
            for trace in store.iter_traces():
                collector.add_trace(trace)
            if collector.result().total.runs != size:
                raise AssertionError("some runs are missing")

        yield lambda: {"statistics_ms": median_ms(read, range(1))}


@contextmanager
def orders(bench: Bench, size: int) -> Iterator[Sampler]:
    """Milliseconds of ``list(50)``, of the slowest order's first fifty, and of a page of groups."""
    from selectools_observe import SQLiteTraceStore, TraceFilter

    with SQLiteTraceStore(our_store(bench, size)) as store:

        def first(order_by: str) -> None:
            store.query(TraceFilter(order_by=order_by, limit=_FIRST))

        def page(_: object) -> None:
            if len(store.groups("user", limit=_FIRST)) != _FIRST:
                raise AssertionError("there are fewer groups")

        page(None)

        def sample() -> Metrics:
            return {
                "list_ms": median_ms(lambda _: store.list(_FIRST), range(9)),
                "order_ms": max(median_ms(first, [order] * _CALLS) for order in _ORDERS),
                "groups_ms": median_ms(page, range(_CALLS)),
            }

        yield sample
