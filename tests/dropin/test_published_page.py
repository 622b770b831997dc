# ruff: noqa: ASYNC110
"""The snippets of selectools' page on trace stores, run with our stores and a real agent.

Changed are the import and what selectools 1.3.0 itself needs: tools and a provider for the agent,
observers in its configuration, `on_run_end` with two arguments, and the trace from the result where
the page reads an attribute that does not exist. Where the page's own snippet would save nothing and
say nothing, these save, and show it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sqlite3
import time
import typing
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import pytest

import selectools_observe
from selectools_observe import AgentTrace

pytest.importorskip("selectools", reason="selectools is not installed")

import selectools.observe
from scripted import TOOLS, ScriptedProvider, make_agent
from selectools import Agent, AgentConfig
from selectools.observer import AgentObserver, AsyncAgentObserver
from selectools.providers.stubs import LocalProvider


@pytest.fixture
def db(tmp_path):
    return str(tmp_path / "traces.db")


@pytest.fixture
def store(db):
    from selectools_observe import SQLiteTraceStore

    with SQLiteTraceStore(db) as store:
        yield store


@pytest.fixture
def traces(store):
    """A few runs of real agents, in the store."""
    saved = []
    for user, environment in (("alice", "production"), ("bob", "production"), ("alice", "test")):
        agent = make_agent(user_id=user, environment=environment)
        result = agent.run("What is the capital of France?")
        saved.append(result.trace)
        store.save(result.trace)
    return saved


@pytest.mark.parametrize("provider", [LocalProvider, ScriptedProvider])
def test_quick_start(db, capsys, provider):
    provider = provider()

    from selectools_observe import SQLiteTraceStore

    store = SQLiteTraceStore(db)
    agent = Agent(tools=TOOLS, provider=provider, config=AgentConfig(model="gpt-4o"))
    result = agent.run("What is the capital of France?")
    run_id = store.save(result.trace)
    print(f"Saved trace: {run_id}")
    trace = store.load(run_id)
    print(f"Steps: {len(trace.steps)}, Duration: {trace.total_duration_ms:.0f}ms")
    for summary in store.list(limit=10):
        print(f" {summary.run_id}: {summary.steps} steps, {summary.total_ms:.0f}ms")

    assert run_id == result.trace.run_id
    assert json.dumps(trace.to_dict()) == json.dumps(result.trace.to_dict())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Saved trace: {run_id}"
    assert lines[1].startswith(f"Steps: {len(result.trace.steps)}, Duration: ")
    assert lines[2].startswith(f" {run_id}: {len(result.trace.steps)} steps, ")
    assert len(lines) == 3
    assert len(trace.steps) > (1 if isinstance(provider, ScriptedProvider) else 0)
    store.close()


def test_the_protocol():
    from selectools_observe import InMemoryTraceStore, JSONLTraceStore, SQLiteTraceStore, TraceStore

    methods = {"save", "load", "list", "query", "delete"}
    for name in methods:
        assert callable(getattr(TraceStore, name))
        for kind in (InMemoryTraceStore, SQLiteTraceStore, JSONLTraceStore):
            ours = list(inspect.signature(getattr(kind, name)).parameters.items())
            theirs = inspect.signature(getattr(selectools.observe.TraceStore, name)).parameters
            for (our_name, ours_), (their_name, their) in zip(ours, theirs.items(), strict=False):
                assert (our_name, ours_.default) == (their_name, their.default)
            rest = ours[len(theirs) :]
            assert all(p.kind is p.KEYWORD_ONLY and not p.default for _, p in rest)
    with InMemoryTraceStore() as memory:
        assert isinstance(memory, TraceStore)
        assert isinstance(memory, selectools.observe.TraceStore)
    assert not isinstance(object(), TraceStore)

    class FiveMethods:
        def save(self, trace): ...
        def load(self, run_id): ...
        def list(self, limit=50, offset=0): ...
        def query(self, filters): ...
        def delete(self, run_id): ...

    assert isinstance(FiveMethods(), TraceStore)
    assert typing.runtime_checkable(TraceStore) is TraceStore


def test_in_memory_keeps_the_newest():
    from selectools_observe import InMemoryTraceStore

    with InMemoryTraceStore() as store:
        for number in range(1002):
            store.save(AgentTrace(run_id=f"{number}"))
        assert len(store.list(limit=5000)) == 1000
    with InMemoryTraceStore(max_size=2) as store:
        for run_id in ("old", "used", "new"):
            store.save(AgentTrace(run_id=run_id))
            if run_id == "used":
                store.load("old")
        assert {summary.run_id for summary in store.list()} == {"old", "new"}


def test_sqlite_has_the_schema_of_the_page(db, store):
    store.save(AgentTrace(run_id="a", metadata={"user_id": "alice"}))
    with closing(sqlite3.connect(db)) as raw:
        columns = [row[1:] for row in raw.execute("PRAGMA table_info(traces)")]
        assert columns == [
            ("run_id", "TEXT", 0, None, 1),
            ("steps", "INTEGER", 1, None, 0),
            ("total_ms", "REAL", 1, None, 0),
            ("created_at", "TEXT", 1, None, 0),
            ("metadata", "TEXT", 1, "'{}'", 0),
            ("trace_json", "TEXT", 1, None, 0),
        ]
        (index,) = raw.execute("SELECT sql FROM sqlite_schema WHERE name = 'idx_traces_created'")
        assert "traces(created_at DESC)" in index[0]
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        types = raw.execute("SELECT typeof(trace_json), typeof(metadata) FROM traces").fetchone()
        assert types == ("text", "text")
        found = raw.execute("SELECT trace_json ->> 'run_id', metadata ->> 'user_id' FROM traces")
        assert found.fetchall() == [("a", "alice")]


def test_jsonl_has_the_line_format_of_the_page(tmp_path):
    from selectools_observe import JSONLTraceStore

    path = tmp_path / "deep" / "folder" / "traces.jsonl"
    with JSONLTraceStore(str(path)) as store:
        store.save(AgentTrace(run_id="abc-123", metadata={"user_id": "alice"}))
    (line,) = path.read_text().splitlines()
    entry = json.loads(line)
    assert list(entry) == ["run_id", "steps", "total_ms", "created_at", "metadata", "trace"]
    assert entry["run_id"] == entry["trace"]["run_id"] == "abc-123"
    assert entry["metadata"] == {"user_id": "alice"}
    assert datetime.fromisoformat(entry["created_at"]).utcoffset() == timedelta(0)


def test_filters(store, traces):
    from selectools_observe import TraceFilter

    filters = TraceFilter(
        since=datetime.now(timezone.utc) - timedelta(hours=24),  # noqa: UP017 - as on the page
        min_steps=3,
    )
    results = store.query(filters)
    assert [summary.run_id for summary in results] == [t.run_id for t in reversed(traces)]

    filters = TraceFilter(metadata_match={"user_id": "alice"})
    results = store.query(filters)
    assert [summary.run_id for summary in results] == [traces[2].run_id, traces[0].run_id]

    filters = TraceFilter(
        metadata_match={"environment": "production"},
        min_steps=2,
        max_steps=20,
        since=datetime(2026, 3, 1, tzinfo=timezone.utc),  # noqa: UP017
        until=datetime.now(timezone.utc),  # noqa: UP017 - the runs are not of that March
    )
    results = store.query(filters)
    assert [summary.run_id for summary in results] == [traces[1].run_id, traces[0].run_id]

    filters = TraceFilter(
        since=datetime(2026, 3, 1, tzinfo=UTC), until=datetime(2026, 3, 31, tzinfo=UTC)
    )
    assert store.query(filters) == []


def test_summaries(store, traces, capsys):
    for summary in store.list(limit=10):
        print(f"Run: {summary.run_id}")
        print(f" Steps: {summary.steps}")
        print(f" Duration: {summary.total_ms:.0f}ms")
        print(f" Created: {summary.created_at}")
        print(f" Metadata: {summary.metadata}")

    lines = capsys.readouterr().out.splitlines()
    newest = traces[-1]
    assert len(lines) == 5 * len(traces)
    assert lines[0] == f"Run: {newest.run_id}"
    assert lines[1] == f" Steps: {len(newest.steps)}"
    assert lines[4] == f" Metadata: {newest.metadata}"
    assert summary.created_at.utcoffset() == timedelta(0)


def test_serve(store, capsys):
    """The page reads ``agent._last_trace``, which does not exist, and so saves nothing: an observer
    of the agent keeps the trace here. It also serves the agent without the router it changed."""
    from selectools.serve import AgentRouter, create_app

    class LastTrace(AgentObserver):
        trace = None

        def on_run_end(self, run_id, result):
            self.trace = result.trace

    last = LastTrace()
    agent = make_agent(last)
    router = AgentRouter(agent)
    original_invoke = router.handle_invoke

    def invoke_with_trace(body):
        result = original_invoke(body)
        if last.trace:
            store.save(last.trace)
        return result

    router.handle_invoke = invoke_with_trace
    app = create_app(agent)
    app.router = router

    answer = router.handle_invoke({"prompt": "What is the capital of France?"})
    assert answer["content"] == "Paris, with two million people."
    (summary,) = store.list()
    assert summary.run_id == answer["run_id"]
    assert store.load(summary.run_id).to_dict() == last.trace.to_dict()


def test_serve_over_http(store):
    """From the threads of a real server."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from selectools.serve import AgentRouter

    class Saving(AgentObserver):
        def on_run_end(self, run_id, result):
            store.save(result.trace)

    router = AgentRouter(make_agent(Saving()))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(router.handle_invoke(body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            answers = []
            for _ in range(3):
                request = urllib.request.Request(
                    f"http://127.0.0.1:{server.server_port}/invoke",
                    json.dumps({"prompt": "What is the capital of France?"}).encode(),
                )
                with urllib.request.urlopen(request, timeout=300) as response:
                    answers.append(json.load(response))
        finally:
            server.shutdown()
            thread.join()
    expected = [answer["run_id"] for answer in reversed(answers)]
    assert [summary.run_id for summary in store.list()] == expected


def test_querying(store, traces, capsys):
    from selectools_observe import StepType, TraceFilter, TraceStep

    slow_one = AgentTrace(run_id="slow")
    for number in range(10):
        slow_one.add(
            TraceStep(type=StepType.GRAPH_NODE_END, duration_ms=1000.0 * number, node_name="n")
        )
    store.save(slow_one)

    traces = store.list(limit=20)
    for t in traces:
        print(f"{t.run_id}: {t.steps} steps, {t.total_ms:.0f}ms")
    slow = store.query(TraceFilter(min_steps=10))
    for t in slow:
        trace = store.load(t.run_id)
        for step in trace.steps:
            if step.duration_ms and step.duration_ms > 5000:
                print(
                    f" Slow step: {step.type.value} at {step.node_name} ({step.duration_ms:.0f}ms)"
                )

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "slow: 10 steps, 45000ms"
    assert len(lines) == 4 + 4
    assert lines[4:] == [f" Slow step: graph_node_end at n ({n}000ms)" for n in (6, 7, 8, 9)]


class TestObserver:
    """The page's ``on_run_end`` takes a third argument that selectools never gives: the call fails,
    the failure is swallowed, and nothing is saved."""

    def test_saves_every_run(self, db):
        from selectools_observe import SQLiteTraceStore, TraceStore

        class TraceSavingObserver(AgentObserver):
            def __init__(self, store: TraceStore):
                self.store = store

            def on_run_end(self, run_id, result):
                if result.trace:
                    self.store.save(result.trace)

        store = SQLiteTraceStore(db)
        agent = Agent(
            tools=TOOLS,
            provider=ScriptedProvider(),
            config=AgentConfig(model="gpt-4o", observers=[TraceSavingObserver(store)]),
        )
        results = [agent.run("What is the capital of France?") for _ in range(3)]

        saved = [summary.run_id for summary in store.list()]
        assert saved == [result.trace.run_id for result in reversed(results)]
        loaded = store.load(saved[0])
        assert json.dumps(loaded.to_dict()) == json.dumps(results[-1].trace.to_dict())
        assert {step.tool_name for step in loaded.filter(type="tool_execution")} == {
            "capital_of",
            "population_of",
        }
        store.close()

    @pytest.mark.parametrize("blocking", [True, False])
    @pytest.mark.parametrize("store_kind", ["AsyncSQLiteTraceStore", "AsyncJSONLTraceStore"])
    def test_saves_from_async_agents(self, store_kind, blocking, tmp_path):
        class AsyncSaving(AsyncAgentObserver):
            def __init__(self, store):
                self.store = store
                self.blocking = blocking

            async def a_on_run_end(self, run_id, result):
                await self.store.save(result.trace)

        async def main():
            async with getattr(selectools_observe, store_kind)(tmp_path / "traces") as store:
                results = await asyncio.gather(
                    *(make_agent(AsyncSaving(store), user=n).arun("And France?") for n in range(8))
                )
                deadline = time.monotonic() + 60
                while await store.count() < 8 and time.monotonic() < deadline:
                    await asyncio.sleep(0.01)  # those that do not block save in their own time
                for number, result in enumerate(results):
                    loaded = await store.load(result.trace.run_id)
                    assert loaded.to_dict() == result.trace.to_dict()
                    found = await store.query(
                        selectools_observe.TraceFilter(metadata_match={"user": number})
                    )
                    assert [summary.run_id for summary in found] == [result.trace.run_id]

        asyncio.run(main())

    def test_saves_from_a_blocking_agent_through_an_async_store(self, tmp_path):
        """selectools runs blocking asynchronous observers with ``asyncio.run``: a loop each."""

        class AsyncSaving(AsyncAgentObserver):
            blocking = True

            async def a_on_run_end(self, run_id, result):
                await store.save(result.trace)

        store = selectools_observe.AsyncSQLiteTraceStore(tmp_path / "traces.db")
        agent = make_agent(AsyncSaving())
        results = [asyncio.run(agent.arun("And France?")) for _ in range(5)]

        async def check():
            assert {summary.run_id for summary in await store.list()} == {
                result.trace.run_id for result in results
            }
            await store.aclose()

        asyncio.run(check())


def test_cost_analytics(db, store, traces, capsys):
    from selectools_observe import SQLiteTraceStore, TraceFilter

    saved = traces
    store = SQLiteTraceStore(db)
    week_ago = datetime.now(timezone.utc) - timedelta(days=7)  # noqa: UP017
    traces = store.query(TraceFilter(since=week_ago))
    total_ms = sum(t.total_ms for t in traces)
    avg_steps = sum(t.steps for t in traces) / max(len(traces), 1)
    print(f"Runs: {len(traces)}")
    print(f"Total duration: {total_ms / 1000:.1f}s")
    print(f"Avg steps per run: {avg_steps:.1f}")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Runs: 3"
    assert lines[2] == f"Avg steps per run: {sum(map(len, saved)) / 3:.1f}"
    assert total_ms == pytest.approx(sum(trace.total_duration_ms for trace in saved))
    store.close()


def test_export(db, store, traces, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    from selectools_observe import JSONLTraceStore, SQLiteTraceStore, TraceFilter

    with closing(sqlite3.connect(db)) as raw, raw:  # so that they are of March
        raw.execute("UPDATE traces SET created_at = '2026-03-15T00:00:00.000000+00:00'")

    sqlite_store = SQLiteTraceStore("traces.db")
    export_store = JSONLTraceStore("export/traces_2026_03.jsonl")
    filters = TraceFilter(
        since=datetime(2026, 3, 1, tzinfo=timezone.utc),  # noqa: UP017
        until=datetime(2026, 3, 31, tzinfo=timezone.utc),  # noqa: UP017
    )
    for summary in sqlite_store.query(filters):
        trace = sqlite_store.load(summary.run_id)
        export_store.save(trace)
    print(f"Exported {len(sqlite_store.query(filters))} traces")

    assert capsys.readouterr().out == "Exported 3 traces\n"
    for trace in traces:
        assert export_store.load(trace.run_id).to_dict() == trace.to_dict()
    lines = (tmp_path / "export" / "traces_2026_03.jsonl").read_text().splitlines()
    assert [json.loads(line)["run_id"] for line in lines] == [t.run_id for t in reversed(traces)]
    sqlite_store.close()
    export_store.close()


class OneHash:
    """So much of a Redis client as the page's backend calls."""

    def __init__(self):
        self.values, self.scores = {}, {}

    def set(self, key, value):
        self.values[key] = value.encode()

    def get(self, key):
        return self.values.get(key)

    def delete(self, key):
        return int(self.values.pop(key, None) is not None)

    def zadd(self, key, scores):
        self.scores.update(scores)

    def zrem(self, key, member):
        self.scores.pop(member, None)

    def zrevrange(self, key, first, last):
        order = sorted(self.scores, key=self.scores.get, reverse=True)
        return [member.encode() for member in order[first : last + 1]]


def test_custom_backend(traces):
    """The page's own class, with what it leaves open filled in; its whole contract is kept by the
    example in this repository."""
    from selectools_observe import TraceFilter, TraceStore, TraceSummary

    class RedisTraceStore:
        def __init__(self, redis_client, prefix="trace:"):
            self.redis = redis_client
            self.prefix = prefix

        def save(self, trace: AgentTrace) -> str:
            run_id = trace.run_id
            data = json.dumps(trace.to_dict(), default=str)
            self.redis.set(f"{self.prefix}{run_id}", data)
            self.redis.zadd(f"{self.prefix}index", {run_id: time.time()})
            return run_id

        def load(self, run_id: str) -> AgentTrace:
            data = self.redis.get(f"{self.prefix}{run_id}")
            if data is None:
                raise ValueError(f"Trace {run_id!r} not found")
            return AgentTrace.from_dict(json.loads(data))

        def list(self, limit=50, offset=0):
            ids = self.redis.zrevrange(f"{self.prefix}index", offset, offset + limit - 1)
            return [self._to_summary(rid.decode()) for rid in ids]

        def query(self, filters: TraceFilter):
            return [s for s in self.list(10_000) if s.steps >= (filters.min_steps or 0)]

        def delete(self, run_id: str) -> bool:
            result = self.redis.delete(f"{self.prefix}{run_id}")
            self.redis.zrem(f"{self.prefix}index", run_id)
            return result > 0

        def _to_summary(self, run_id):
            trace = self.load(run_id)
            return TraceSummary(
                run_id,
                len(trace),
                trace.total_duration_ms,
                datetime.fromtimestamp(trace.start_time, UTC),
                trace.metadata,
            )

    store = RedisTraceStore(OneHash())
    assert isinstance(store, TraceStore)
    for trace in traces:
        assert store.save(trace) == trace.run_id
    assert [s.run_id for s in store.list(2)] == [t.run_id for t in traces[:0:-1]]
    assert store.load(traces[0].run_id).to_dict() == traces[0].to_dict()
    assert len(store.query(TraceFilter(min_steps=1))) == 3
    assert store.delete(traces[0].run_id)
    with pytest.raises(ValueError, match="not found"):
        store.load(traces[0].run_id)


def test_reference_of_filters_and_summaries():
    import dataclasses

    from selectools_observe import TraceFilter, TraceSummary

    theirs = dataclasses.fields(selectools.observe.TraceFilter)
    ours = dataclasses.fields(TraceFilter)
    assert [field.name for field in ours[: len(theirs)]] == [field.name for field in theirs]
    assert all(field.default is None for field in ours)
    names = [field.name for field in dataclasses.fields(selectools.observe.TraceSummary)]
    assert list(TraceSummary.__struct_fields__[: len(names)]) == names
    assert TraceSummary("a", 1, 2.0, datetime.now(UTC)).metadata == {}


def test_the_import_is_all_that_changes():
    for name in [
        "InMemoryTraceStore",
        "JSONLTraceStore",
        "SQLiteTraceStore",
        "TraceFilter",
        "TraceStore",
        "TraceSummary",
    ]:
        assert hasattr(selectools.observe, name)
        assert hasattr(selectools_observe, name)
