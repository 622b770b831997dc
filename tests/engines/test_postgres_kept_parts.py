"""Statistics of PostgreSQL by what parts of the table add up to, which stays right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from noted_reads import noted

pytest.importorskip("psycopg", reason="the package psycopg is not installed")

import psycopg

from selectools_observe import AgentTrace, Annotation, InMemoryTraceStore, TraceFilter
from selectools_observe.backends.postgres import kept_parts, latest_groups
from selectools_observe.backends.postgres.address import parse_address
from selectools_observe.backends.postgres.direct import DirectConnection
from selectools_observe.backends.postgres.store import PostgresStore
from selectools_observe.stores.postgres import PostgresTraceStore
from selectools_observe.testing.samples import various_traces

RUNS = list(various_traces(300))
BY = ("day", "model", "tool")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(kept_parts, "BLOCK_BITS", 3)
    monkeypatch.setattr(kept_parts, "_FEW_BLOCKS", 1)


@pytest.fixture
def stores(postgres_url):
    with PostgresTraceStore(postgres_url) as store, InMemoryTraceStore() as told:
        for one in (store, told):
            one.save_many(RUNS)
        yield store, told


@pytest.fixture
def execute(postgres_url):
    url, _, schema = postgres_url.partition("?schema=")

    def execute(sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(sql.format(schema=schema))
            return cursor.fetchall() if cursor.description else []

    return execute


@pytest.fixture
def read(monkeypatch):
    """The places from which on rows were read."""
    places: list[int] = []
    rows_between = PostgresStore._rows_between

    async def noted(self, kind, filters, first, end):
        rows = await rows_between(self, kind, filters, first, end)
        places.extend(row[0] for row in rows)
        return rows

    monkeypatch.setattr(PostgresStore, "_rows_between", noted)
    return places


def check(stores, filters=None) -> None:
    """Statistics are those of memory, percentiles within the error that they state."""
    store, told = stores
    for by in (BY, ("hour", "model"), ()):
        found, wanted = (one.statistics(filters, by=by) for one in (store, told))
        for mine, theirs in (
            ((found.total,), (wanted.total,)),
            (found.days, wanted.days),
            (found.hours, wanted.hours),
            (found.models, wanted.models),
            (found.tools, wanted.tools),
        ):
            assert list(map(counts, mine)) == list(map(counts, theirs))
            for one, other in zip(mine, theirs, strict=True):
                assert spreads(one) == pytest.approx(spreads(other), rel=0.0101)
    assert store.facets(filters) == told.facets(filters)


def counts(group) -> tuple[object, ...]:
    return (group.key, group.runs, group.calls, group.errors, group.prompt_tokens)


def spreads(group) -> list[float]:
    quantities = (group.duration_ms, group.tokens, group.cost_usd)
    names = ("count", "total", "min", "p50", "p99", "max")
    return [getattr(one, name) for one in quantities for name in names]


def test_what_was_added_up_is_not_read_again(stores, read):
    check(stores)
    assert len(read) >= len(RUNS)
    read.clear()
    check(stores)
    assert len(read) < 8 * 3  # the part that the newest row is in, three times


def test_sums_are_right_after_runs_were_saved_again_and_deleted(stores):
    check(stores)
    for one in stores:
        one.save_many(RUNS[40:60:3])
        one.delete_many([run.run_id for run in RUNS[100:130]])
        one.save(AgentTrace(run_id="one more"))
    check(stores)


@pytest.mark.parametrize(
    ("filters", "most"),
    [
        (TraceFilter(limit=150), 24),
        (TraceFilter(limit=1), 8),
        (TraceFilter.parse("steps>=0", limit=150), 24),
        (TraceFilter.parse("status:error OR meta.user:alice"), len(RUNS)),
        (TraceFilter(model="gpt-4o", limit=40), len(RUNS)),
        (TraceFilter(limit=20, order_by="-steps"), None),
        (TraceFilter.parse("tool:bo*", limit=20), None),
    ],
    ids=str,
)
def test_facets_of_some_runs_are_counted_by_whole_parts(stores, monkeypatch, filters, most):
    store, told = stores
    for one in stores:
        one.annotate_many(Annotation(run.run_id, "tone", label="curt") for run in RUNS[::40])
    store.facets()
    read = noted(monkeypatch, PostgresStore, "_kept", asked=True)
    assert store.facets(filters) == told.facets(filters)
    assert (len(read) <= most) if most is not None else not read


def test_parts_are_made_in_idle_time(stores, postgres_url, read, monkeypatch):
    monkeypatch.setattr(kept_parts, "_MOMENT", 0)
    store, _ = stores
    connection = DirectConnection(parse_address(postgres_url))
    while store._core._make_parts(connection):
        pass
    connection.close()
    check(stores)
    assert len(read) < 8 * 9  # the part that the newest row is in, of each question


@pytest.mark.slow
@pytest.mark.parametrize("name", ["since", "until", "started_since", "started_until"])
def test_times_cut_parts(stores, name, read):
    store, _ = stores
    check(stores)
    read.clear()
    summaries = sorted(store.list(1000), key=lambda one: one.started_at or one.created_at)
    middle = summaries[len(summaries) // 2]
    moment = middle.created_at if name in {"since", "until"} else middle.started_at
    filters = TraceFilter(**{name: moment})
    if name in {"since", "until"}:  # memory has saved its own at other times
        assert store.statistics(filters, by=BY).total.runs == store.count(filters)
    else:
        check(stores, filters)
    assert store.statistics(TraceFilter(started_since=moment + timedelta(days=900))).total.runs == 0


@pytest.mark.parametrize(
    "filters",
    [TraceFilter(min_steps=0), TraceFilter(agent="agent-7"), TraceFilter(has_error=True)],
    ids=["all", "some blocks whole", "most cut"],
)
def test_blocks_that_match_whole_are_not_read(stores, filters, monkeypatch):
    named = [
        AgentTrace([], run_id=f"run-{number}", agent=f"agent-{number // 50}")
        for number in range(600)
    ]
    for one in stores:
        one.save_many(named)
    check(stores, filters)  # parts that are missing are made
    read = noted(monkeypatch, PostgresStore, "_kept", asked=True)
    for store in stores:
        store.delete("run-370")  # its block is cut no more than before: the rest is all there is
    check(stores, filters)
    matching = stores[1].count(filters)
    assert 0 < len(read) / 3 < matching if filters.has_error is None else read


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE {schema}.kept_parts SET data = 'x'",
        "UPDATE {schema}.kept_parts SET data = substr(data, 1, 20)",
        "DELETE FROM {schema}.kept_parts WHERE part > 3",
        "DROP TABLE {schema}.kept_parts",
    ],
)
def test_damaged_sums_are_made_again(stores, execute, damage):
    check(stores)
    execute(damage)
    check(stores)


def test_a_user_who_may_only_read_is_answered(stores, execute, postgres_url, caplog):
    execute("CREATE ROLE reader LOGIN")
    execute("GRANT USAGE ON SCHEMA {schema} TO reader")
    execute("GRANT SELECT ON {schema}.traces, {schema}.annotations, {schema}.store TO reader")
    try:
        with PostgresTraceStore(postgres_url.replace("tester@", "reader@")) as store:
            check((store, stores[1]))
        assert "added up each time" in caplog.text
    finally:
        execute("DROP OWNED BY reader")
        execute("DROP ROLE reader")


def sessions(number: int) -> list[AgentTrace]:
    """Runs of sessions that began in another order than that in which they are saved."""
    return [
        AgentTrace(
            run_id=f"s{place}",
            start_time=1_700_000_000.0 + (place * 37) % number * 60,
            session_id=f"session {place % 23}",
            user_id=None if place % 5 == 0 else f"user {place % 7}",
        )
        for place in range(number)
    ]


@pytest.mark.parametrize("by", ["session", "user"])
def test_the_latest_sessions_are_found_by_few_blocks(stores, monkeypatch, by):
    monkeypatch.setattr(latest_groups, "_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(latest_groups, "_MOST_LOOKS", 200)
    store, told = stores
    for one in stores:
        one.delete_many([run.run_id for run in RUNS])  # some began when they were saved
        one.save_many(sessions(200))
        one.annotate("s3", "quality", score=1.0)
    monkeypatch.setattr(PostgresStore, "_stream", None)  # not all runs are looked at
    cursor = None
    while True:
        page = store.groups(by, limit=4, cursor=cursor)
        wanted = told.groups(by, limit=4, cursor=cursor)
        assert page == wanted
        cursor = page.next_cursor
        if cursor is None:
            break
        assert cursor == wanted.next_cursor


def test_sessions_of_many_runs_are_added_up_by_all(stores, monkeypatch):
    monkeypatch.setattr(latest_groups, "MOST_RUNS", 3)
    store, told = stores
    for one in stores:
        one.delete_many([run.run_id for run in RUNS])
        one.save_many(sessions(200))
    assert store.groups("session", limit=4) == told.groups("session", limit=4)


def groups_of(store, by: str, order: str, filters=None) -> tuple[list[object], list[float]]:
    """All groups: what is to be equal, and what may differ in the last bit."""
    found, cursor = [], None
    while True:
        page = store.groups(by, filters, order_by=order, limit=7, cursor=cursor)
        found += page
        cursor = page.next_cursor
        if cursor is None:
            break
    told = [
        (
            one.key, one.runs, one.errors, one.first_at, one.last_at, one.prompt_tokens,
            one.completion_tokens, one.first_input, one.last_output, one.annotations,
        )
        for one in found
    ]  # fmt: skip
    return told, [n for g in found for n in (g.cost_usd, g.total_ms.total, g.total_ms.p50)]


def check_groups(stores, *asked) -> None:
    (found, about), (wanted, wanted_about) = (groups_of(one, *asked) for one in stores)
    assert found == wanted, asked
    assert about == pytest.approx(wanted_about, rel=0.0101), asked


@pytest.mark.parametrize("by", ["session", "user", "outcome", "tag", "metadata.key"])
def test_groups_are_added_up_by_parts(stores, read, by):
    store, _ = stores
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=place) for place in range(300)]
    for one in stores:
        one.save_many(RUNS, created_at=times)  # when some began
        one.save_many(sessions(200))
        one.annotate("s3", "quality", score=1.0)
        one.annotate("s9", "quality", score=0.5)
    some = TraceFilter(started_since=times[0], started_until=times[150])
    for order in ("-runs", "first", "-errors", "score.quality", "key"):
        for filters in (None, some, TraceFilter(has_error=True), TraceFilter(limit=40)):
            check_groups(stores, by, order, filters)
    for one in stores:
        one.delete_many([f"s{place}" for place in range(30, 90, 7)])
        one.save_many(sessions(20))
    check_groups(stores, by, "-runs")
    read.clear()
    store.groups(by, order_by="-runs")
    assert len(read) < 8  # the part that the newest row is in
