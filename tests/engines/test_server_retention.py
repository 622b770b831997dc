"""Stores on a server keep to a rule by themselves, and tell their size."""

from __future__ import annotations

import pytest

from selectools_observe import Retention
from selectools_observe.testing.samples import make_trace

pytestmark = pytest.mark.engines


@pytest.fixture(params=["postgres", "clickhouse"])
def open_store(request):
    """Opens a blocking store on a server."""
    if request.param == "postgres":
        pytest.importorskip("psycopg", reason="the package psycopg is not installed")
        from selectools_observe.stores.postgres import PostgresTraceStore as Store
    else:
        pytest.importorskip("clickhouse_connect", reason="clickhouse-connect is not installed")
        from selectools_observe.stores.clickhouse import ClickHouseTraceStore as Store
    url = request.getfixturevalue(f"{request.param}_url")
    return lambda **options: Store(url, **options)


def runs(first, number):
    return [
        make_trace(f"run-{n:05}", metadata={"n": n, "text": "x" * 500})
        for n in range(first, first + number)
    ]


def test_the_newest_are_kept_and_what_is_to_stay(open_store):
    rule = Retention(keep_runs=200, keep="n=7", keep_annotated=True)
    with open_store(retention=rule) as store:
        store.save_many(runs(0, 50))
        store.annotate("run-00011", "a", note="keep")
        for first in range(50, 1050, 100):
            store.save_many(runs(first, 100))
        assert 200 <= store.count() <= 400
        oldest = list(store.iter_summaries(oldest_first=True))[:2]
        assert [summary.run_id for summary in oldest] == ["run-00007", "run-00011"]
        assert store.list(1)[0].run_id == "run-01049"


def test_a_bound_of_bytes(open_store):
    with open_store() as store:
        store.save_many(runs(0, 100))
        bound = store.prune(keep_runs=100).size_before
    assert 100 * 500 < bound < 100 * 5000
    with open_store(retention=Retention(keep_bytes=bound)) as store:
        for first in range(100, 900, 100):
            store.save_many(runs(first, 100))
        left = store.count()
        assert 50 <= left <= 220
        assert [s.run_id for s in store.list(3)] == ["run-00899", "run-00898", "run-00897"]
