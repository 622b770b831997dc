"""What the service shows is what the store holds."""

from __future__ import annotations

import contextlib
import itertools
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from served import run_of, serving
from store_kinds import STORE_KINDS, file_of, make

from selectools_observe import (
    AgentTrace,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    SQLiteTraceStore,
    TraceFilter,
    TraceStep,
)
from selectools_observe.testing.samples import full_trace, various_filters, various_traces


class FiveMethods:
    """A blocking store of a third party, with nothing beyond the five methods."""

    def __init__(self):
        self._kept = InMemoryTraceStore()

    def save(self, trace):
        return self._kept.save(trace)

    def load(self, run_id):
        return self._kept.load(run_id)

    def list(self, limit=50, offset=0):
        return [*self._kept.list(limit, offset)]

    def query(self, filters):
        return [*self._kept.query(filters)]

    def delete(self, run_id):
        return self._kept.delete(run_id)


class AsyncFiveMethods(FiveMethods):
    """The same, async."""

    async def save(self, trace):
        return super().save(trace)

    async def load(self, run_id):
        return super().load(run_id)

    async def list(self, limit=50, offset=0):
        return super().list(limit, offset)

    async def query(self, filters):
        return super().query(filters)

    async def delete(self, run_id):
        return super().delete(run_id)


# The default asks one face of each kind of store.
KINDS = ["memory-blocking", "sqlite-async", "jsonl-blocking", "five-methods-async"]
OTHER_KINDS = {*STORE_KINDS, "five-methods"}.difference(KINDS)


@pytest.fixture(
    params=[*KINDS, *(pytest.param(k, marks=pytest.mark.slow) for k in sorted(OTHER_KINDS))]
)
def any_service(request, tmp_path):
    """A service of an empty store, of each kind in turn."""
    if request.param.startswith("five"):
        store = AsyncFiveMethods() if request.param.endswith("async") else FiveMethods()
    else:
        on_disk = not request.param.startswith("memory")
        store = make(request.param, file_of(request.param, tmp_path) if on_disk else None)
    with serving(store) as service:
        yield service


@pytest.fixture(scope="module")
def shared():
    """A service for tests that do not mind each other's runs."""
    with serving(InMemoryTraceStore()) as service:
        yield service


@pytest.fixture(scope="module")
def empty():
    """A service of nothing."""
    with serving(AsyncSQLiteTraceStore(":memory:")) as service:
        yield service


def save(service, *traces):
    for trace in traces:
        response = service.client.post("/api/traces", json=trace.to_dict())
        assert response.status_code == 201, response.text


def ids(answer):
    return [summary["run_id"] for summary in answer["traces"]]


def all_pages(service, **params):
    cursor = {}
    while True:
        answer = service.json("/api/traces", **params, **cursor)
        yield answer
        if answer["next_cursor"] is None:
            return
        cursor = {"cursor": answer["next_cursor"]}


class TestEveryKindOfStore:
    def test_an_empty_store(self, any_service):
        assert any_service.json("/api/traces") == {"traces": [], "next_cursor": None}
        assert any_service.json("/api/count") == {"count": 0, "is_complete": True}
        assert any_service.json("/api/about")["runs"] == 0
        assert any_service.json("/api/histogram")["runs"] == []
        assert any_service.json("/api/stats")["runs"] == 0
        assert any_service.json("/health")["status"] == "ok"

    def test_pages_lead_through_all(self, any_service):
        save(any_service, *[run_of(f"run-{n:02}") for n in range(25)])
        pages = list(all_pages(any_service, limit=10))
        assert [len(page["traces"]) for page in pages] == [10, 10, 5]
        assert [*itertools.chain(*map(ids, pages))] == [f"run-{n:02}" for n in range(24, -1, -1)]

    def test_pages_of_a_filter(self, any_service):
        save(any_service, *[run_of(f"run-{n:02}", even=n % 2 == 0) for n in range(15)])
        pages = list(all_pages(any_service, limit=3, metadata='{"even": true}'))
        assert [*itertools.chain(*map(ids, pages))] == [f"run-{n:02}" for n in range(14, -1, -2)]

    def test_a_run_comes_back_as_it_was_sent(self, any_service):
        save(any_service, full_trace())
        assert any_service.json("/api/traces/full") == json.loads(
            json.dumps(full_trace().to_dict())
        )

    def test_a_run_is_deleted_once(self, any_service):
        save(any_service, run_of("gone"))
        assert any_service.client.delete("/api/traces/gone").status_code == 204
        assert any_service.client.delete("/api/traces/gone").status_code == 404
        assert any_service.get("/api/traces/gone").status_code == 404

    def test_counts_over_time(self, any_service):
        save(any_service, *[run_of(f"run-{n}", n=n) for n in range(7)])
        counted = any_service.json("/api/histogram", buckets=4)
        assert (len(counted["runs"]), sum(counted["runs"]), counted["total"]) == (4, 7, 7)
        assert any_service.json("/api/histogram", **{"metadata.n": 3})["total"] == 1

    def test_statistics(self, any_service):
        save(any_service, run_of("one", steps=3), run_of("two", steps=1))
        told = any_service.json("/api/stats")
        assert (told["runs"], told["matching_runs"], told["total"]["calls"]) == (2, 2, 4)
        assert [(m["key"], m["calls"], m["prompt_tokens"]) for m in told["models"]] == [
            ("gpt-4o", 3, 30)
        ]
        assert [(tool["key"], tool["calls"]) for tool in told["tools"]] == [("search", 1)]
        assert [day["runs"] for day in told["days"]] == [2]


class TestFilters:
    def test_they_mean_what_they_mean_to_the_store(self, store, service):
        store.save_many(various_traces(300))
        now = datetime.now(UTC)
        for fields in various_filters(120):
            filters = TraceFilter(**{**fields, "limit": None})
            params = [
                (name, _as_text(value))
                for name, given in fields.items()
                if name not in {"limit", "metadata_match"}
                for value in (given if name in {"run_ids", "tags"} else [given])
            ]
            if "metadata_match" in fields:
                params.append(("metadata", json.dumps(fields["metadata_match"])))
            answer = service.get("/api/traces", params=[*params, ("limit", 1000)])
            if fields.get("run_ids") and len(fields["run_ids"]) > 190:
                continue
            assert answer.status_code == 200, answer.text
            assert ids(answer.json()) == [found.run_id for found in store.query(filters)], fields
            counted = service.get("/api/count", params=params).json()
            assert counted["count"] == store.count(filters)
        assert service.json("/api/count", since=(now + timedelta(days=1)).isoformat())["count"] == 0

    @pytest.mark.parametrize(
        ("typed", "stored"),
        [
            ("alice", "alice"), ("3", 3), ('"3"', "3"), ("true", True), ("null", None),
            ("[1,2]", [1, 2]), ('{"a":1}', {"a": 1}), ("", ""), ("NaN", "NaN"), ("3x", "3x"),
        ],
    )  # fmt: skip
    def test_pairs_of_metadata_as_they_are_typed(self, shared, typed, stored):
        name = f"it-{typed}"
        key = "a.key with = & signs"
        save(shared, run_of(name, **{key: stored}), run_of(f"{name}-not", **{key: ["other"]}))
        answer = shared.json("/api/traces", **{f"metadata.{key}": typed})
        assert ids(answer) == [name]

    def test_both_forms_of_metadata_add_up(self, store, service):
        store.save_many([run_of("both", a=1, b=2), run_of("one", a=1)])
        answer = service.json("/api/traces", metadata='{"a": 1}', **{"metadata.b": "2"})
        assert ids(answer) == ["both"]
        twice = service.get("/api/traces", params={"metadata": '{"a": 1}', "metadata.a": "2"})
        assert twice.status_code == 400

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            ("min_step=1", "unknown parameter 'min_step'"),
            ("min_steps=x", "min_steps must be an integer, not 'x'"),
            ("min_steps=", "min_steps must be an integer, not ''"),
            ("min_steps=1.0", "min_steps must be an integer"),
            ("min_steps=1&min_steps=2", "min_steps is given twice"),
            ("min_ms=NaN", "min_ms must be a number"),
            ("min_ms=0x10", "min_ms must be a number"),
            ("limit=0", "limit must be from 1 to 1000"),
            ("limit=1001", "limit must be from 1 to 1000"),
            ("limit=-1", "limit must be from 1 to 1000"),
            ("limit=" + "9" * 5000, "limit must be an integer"),
            ("has_error=yes", "has_error must be true or false"),
            ("since=yesterday", "since must be an RFC 3339 time"),
            ("since=2026-03-01", "since must be an RFC 3339 time"),
            ("since=2026-03-01T00:00:00", "since must be an RFC 3339 time"),
            ("since=2026-03-01T00:00:00+00:00", "since must be an RFC 3339 time"),  # a space
            ("since=2026-13-01T00:00:00Z", "since must be an RFC 3339 time"),
            ("metadata=[]", "metadata must be a JSON object"),
            ("metadata={", "metadata must be a JSON object"),
            ("metadata.a=1&metadata.a=2", "the metadata key 'a' is given twice"),
            ("tool_name=%ff", "invalid query string"),
            ("&".join(["run_ids=a"] * 300), "invalid query string"),
        ],
    )
    def test_bad_parameters_are_named(self, empty, query, told):
        response = empty.get(f"/api/traces?{query}")
        assert response.status_code == 400
        error = response.json()["error"]
        assert error["type"] == "invalid_parameter"
        assert error["message"].startswith(told)

    def test_a_cursor_of_another_kind_of_store(self, service):
        with serving(InMemoryTraceStore()) as other:
            save(other, run_of("a"), run_of("b"))
            cursor = other.json("/api/traces", limit=1)["next_cursor"]
        for unknown in (cursor, "nonsense", ""):
            for address in ("/api/traces", "/api/traces/a/children"):
                response = service.get(address, params={"cursor": unknown})
                assert response.status_code == 404
                assert response.json()["error"]["type"] == "unknown_cursor"

    @pytest.mark.parametrize("limit", [0, 5, 6, 7, 100])
    def test_counting_stops_where_it_is_told(self, store, service, limit):
        store.save_many([run_of(f"run-{n}") for n in range(6)])
        counted = service.json("/api/count", limit=limit)
        assert counted == {"count": min(limit, 6), "is_complete": limit >= 6}


def _as_text(value):
    return str(value).lower() if isinstance(value, bool) else str(getattr(value, "value", value))


class TestRuns:
    @pytest.mark.parametrize(
        "run_id",
        ["plain", "a/b", "/", "a b", "é\u202e", "a%2Fb", "%", "?x=1#y", "x" * 2000, "..a", "\x00",
         "a\\b", "children", "steps/1", "+", "<script>", "~"],
    )  # fmt: skip
    def test_any_run_id_has_an_address(self, shared, run_id):
        service = shared
        save(service, run_of(run_id, steps=3))
        address = f"/api/traces/{quote(run_id, safe='')}"
        assert service.json(address)["run_id"] == run_id
        assert service.json(f"{address}/steps/1")["tool_name"] == "search"
        assert service.json(f"{address}/children")["traces"] == []
        assert service.client.delete(address).status_code == 204

    def test_unknown_runs(self, service):
        for address in ("/api/traces/x", "/api/traces/x/steps/0", "/api/compare?one=x&other=x"):
            response = service.get(address)
            assert response.status_code == 404
            error = response.json()["error"]
            assert error == {"type": "trace_not_found", "message": "Run 'x' not found"}

    @pytest.mark.parametrize("index", ["3", "-1", "x", "1.0", "", "٣", "9" * 50])
    def test_unknown_steps(self, shared, index):
        save(shared, run_of("run", steps=3))
        response = shared.get(f"/api/traces/run/steps/{index}")
        assert response.status_code == 404
        assert response.json()["error"]["type"] in {"step_not_found", "not_found"}

    def test_children(self, store, service):
        store.save(run_of("parent"))
        for n in range(3):
            child = run_of(f"child-{n}")
            child.parent_run_id = "parent"
            store.save(child)
        first = service.json("/api/traces/parent/children", limit=2)
        assert ids(first) == ["child-2", "child-1"]
        cursor = first["next_cursor"]
        assert ids(service.json("/api/traces/parent/children", limit=2, cursor=cursor)) == [
            "child-0"
        ]

    def test_a_window_of_steps(self, store, service):
        store.save(run_of("run", steps=10))
        shown = service.json("/api/traces/run", step_offset=4, step_limit=3)
        assert [step["timestamp"] for step in shown["steps"]] == [
            1_770_000_004.0 + n for n in range(3)
        ]
        assert (shown["step_count"], shown["step_offset"]) == (10, 4)
        assert service.json("/api/traces/run", step_offset=10)["steps"] == []
        assert service.json("/api/traces/run", step_limit=0)["steps"] == []
        assert len(service.json("/api/traces/run", step_offset=8)["steps"]) == 2

    def test_long_texts_next_to_the_steps_are_cut_and_flagged(self, store, service):
        said = {"messages": [{"role": "user", "content": "z" * 5000}]}
        trace = AgentTrace(
            run_id="long",
            input=said,
            output="a",
            metadata={"k": ["m" * 3000]},
            extra={"runs": said},
        )
        store.save(trace)
        shown = service.json("/api/traces/long", text_limit=2000)
        assert shown["input"]["messages"][0]["content"] == "z" * 2000
        assert (shown["output"], shown["metadata"]) == ("a", {"k": ["m" * 2000]})
        assert shown["runs"] == shown["input"]
        assert shown["cut"].keys() == {"input", "metadata", "runs"}
        assert "cut" not in service.json("/api/traces/long")

    def test_long_texts_are_cut_and_flagged(self, store, service):
        trace = AgentTrace(run_id="long")
        trace.add(
            TraceStep("tool_execution", 1.0, tool_result="é" * 5000, tool_name="t", summary="s")
        )
        trace.add(
            TraceStep("tool_execution", 1.0, tool_args={"a": "x" * 3000}, reasoning="r" * 2048)
        )
        trace.add(TraceStep("llm_call", 1.0, tool_args={"a": 1}, extra={"new": "y" * 9000}))
        store.save(trace)
        first, second, third = service.json("/api/traces/long", text_limit=2048)["steps"]
        assert (first["tool_result"], first["cut"]) == ("é" * 2048, {"tool_result": 5000})
        assert (first["tool_name"], first["summary"]) == ("t", "s")
        assert (second["tool_args"], second["cut"]) == (None, {"tool_args": 3008})
        assert second["reasoning"] == "r" * 2048
        assert (third["tool_args"], third["new"], third["cut"]) == (
            {"a": 1}, "y" * 2048, {"new": 9000},
        )  # fmt: skip
        assert service.json("/api/traces/long/steps/0")["tool_result"] == "é" * 5000
        assert service.json("/api/traces/long/steps/1")["tool_args"] == {"a": "x" * 3000}

    @pytest.mark.parametrize("limit", [{}, {"text_limit": 3}])
    def test_only_the_fields_that_are_asked_for(self, store, service, limit):
        said = [{"role": "user", "content": "x" * 1_000}]
        step = TraceStep("llm_call", model="gpt", input=said, extra={"otel": {"name": "call"}})
        store.save(AgentTrace(run_id="r", steps=[step]))
        found = service.json("/api/traces/r", step_fields="type,model, otel,nothing", **limit)
        (shown,) = found["steps"]
        assert shown.keys() - {"cut"} == {"type", "model", "otel"}
        assert shown["model"] == "gpt"
        assert (shown["otel"], shown.get("cut")) == (
            ({"name": "cal"}, {"otel": 15}) if limit else ({"name": "call"}, None)
        )

    def test_what_each_step_is_inside_of(self, store, service):
        steps = [
            TraceStep("graph_node_start", node_name="n"), TraceStep("llm_call", node_name="n"),
            TraceStep("graph_node_end", node_name="n"), TraceStep("llm_call"),
        ]  # fmt: skip
        store.save(AgentTrace(run_id="r", steps=steps))
        found = service.json("/api/traces/r", with_parents=True, step_limit=1)
        assert (found["parents"], len(found["steps"])) == ([None, 0, 0, None], 1)
        assert "parents" not in service.json("/api/traces/r", step_limit=1)

    def test_a_conversation_is_searched_whole(self, store, service):
        texts = ["Straße", "x" * 9_000 + " NEEDLE", "none"]
        steps = [TraceStep("llm_call", output=text) for text in texts]
        tool = {"tool_name": "f", "tool_args": {"q": "needle"}, "error": "no needle"}
        store.save(AgentTrace(run_id="r", steps=[*steps, TraceStep("tool_execution", **tool)]))
        path = "/api/traces/r/conversation"
        answer = service.json(path, limit=1, text_limit=10, find="Needle", with_index=True)
        assert (answer["total"], len(answer["turns"]), answer["found"]) == (4, 1, [1, 3])
        assert (answer["steps"], answer["errors"]) == ([0, 1, 2, 3], [3])
        assert service.json(path, find="straße", limit=0)["found"] == [0]
        assert service.json(path, find="nobody", limit=0)["found"] == []
        assert service.json(path, limit=0).keys() == {"run_id", "total", "offset", "turns"}

    def test_odd_values_are_shown(self, store, service):
        trace = AgentTrace(
            run_id="odd", metadata={"big": 10**400, "lone": "\ud800", "nan": float("nan")}
        )
        trace.add(TraceStep("hologram", 1.0, tool_result="\ud800\x1b[31m", tool_args={"n": 2**70}))
        store.save(trace)
        shown = json.loads(service.get("/api/traces/odd").content)
        assert shown["metadata"] == {"big": 10**400, "lone": "\ud800", "nan": None}
        assert shown["steps"][0]["tool_result"] == "\ud800\x1b[31m"
        assert shown["steps"][0]["tool_args"] == {"n": 2**70}
        listed = json.loads(service.get("/api/traces").content)
        assert listed["traces"][0]["metadata"]["lone"] == "\ud800"

    def test_an_unchanged_run_is_not_sent_again(self, store, service):
        store.save(run_of("run"))
        first = service.get("/api/traces/run")
        etag = first.headers["etag"]
        again = service.get("/api/traces/run", headers={"If-None-Match": f'"x", {etag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        store.save(run_of("run", steps=5))
        changed = service.get("/api/traces/run", headers={"If-None-Match": etag})
        assert (changed.status_code, changed.json()["step_count"]) == (200, 5)

    def test_a_large_run_is_shown_anew_when_it_was_saved_anew(self, store, service):
        store.save(run_of("large", steps=600))
        assert service.json("/api/traces/large/steps/599")["type"] == "tool_execution"
        store.save(run_of("large", steps=601))
        assert service.json("/api/traces/large/steps/600")["type"] == "llm_call"
        store.delete("large")
        assert service.get("/api/traces/large/steps/0").status_code == 404

    def test_a_run_of_30_000_steps_and_12_mb(self, store, service):
        trace = run_of("large", steps=30_000)
        trace.steps[-1].tool_result = "long text, " * 1_100_000
        store.save(trace)
        whole = service.json("/api/traces/large")
        assert whole == json.loads(json.dumps(trace.to_dict()))
        light = service.get("/api/traces/large", params={"text_limit": 100})
        assert len(light.content) < 6_000_000
        assert light.json()["steps"][-1]["cut"] == {"tool_result": 12_100_000}
        last = service.json("/api/traces/large/steps/29999")
        assert len(last["tool_result"]) == 12_100_000

    def test_head_is_get_without_a_body(self, store, service):
        store.save(run_of("run"))
        for address in ("/api/traces", "/api/traces/run", "/api/live", "/health", "/"):
            response = service.client.head(address)
            assert (response.status_code, response.content) == (200, b"")

    def test_real_runs(self, airline_db):
        with serving(AsyncSQLiteTraceStore(airline_db)) as service:
            everything = [*itertools.chain(*(ids(page) for page in all_pages(service, limit=77)))]
            assert len(everything) == len(set(everything)) == 200
            with SQLiteTraceStore(airline_db) as store:
                for run_id in everything[::40]:
                    assert service.json(f"/api/traces/{run_id}") == store.load(run_id).to_dict()
            told = service.json("/api/stats")
            assert (told["runs"], told["total"]["calls"]) == (200, 4782)
            assert told["tools"][0]["calls"] > 100


class TestComparing:
    def test_two_runs_side_by_side(self, store, service):
        one, other = run_of("one", steps=4, trial=1), run_of("other", steps=3, trial=2)
        other.steps[1].tool_args = {"n": "another"}
        store.save_many([one, other])
        store.annotate("one", "quality", score=1)
        told = service.json("/api/compare", one="one", other="other")
        assert (told["one"]["run_id"], told["other"]["steps"]) == ("one", 3)
        assert (told["first_difference"], told["metadata"]) == (1, ["trial"])
        assert told["pairs"] == [
            {"one": 0, "other": 0, "change": "same", "fields": []},
            {"one": 1, "other": 1, "change": "changed", "fields": ["tool_args"]},
            {"one": 2, "other": 2, "change": "same", "fields": []},
            {"one": 3, "other": None, "change": "removed", "fields": []},
        ]
        assert service.json("/api/compare", one="one", other="one")["first_difference"] is None
        (steps,) = [delta for delta in told["deltas"] if delta["name"] == "steps"]
        assert (steps["left"], steps["right"], steps["change"], steps["ratio"]) == (4, 3, -1, -0.25)
        (score,) = [delta for delta in told["deltas"] if delta["name"] == "score.quality"]
        assert (score["left"], score["right"]) == (1, None)

    def test_in_what_two_steps_differ(self, store, service):
        one, other = run_of("one", steps=2), run_of("other", steps=2)
        one.steps[0].output = {"role": "assistant", "content": "x" * 100, "id": "a"}
        other.steps[0].output = {"role": "assistant", "content": "y", "id": "b"}
        store.save_many([one, other])
        query = {"one": "one", "other": "other", "left": 0, "right": 0, "text_limit": 10}
        told = service.json("/api/compare/steps", **query)
        assert told["differences"] == [
            {"field": "output", "path": "[0].text", "left": "x" * 10, "right": "y"}
        ]
        response = service.get("/api/compare/steps", params={**query, "right": 2})
        assert response.status_code == 404
        assert response.json()["error"]["type"] == "step_not_found"

    def test_many_runs_in_a_table(self, store, service):
        store.save_many([run_of(f"run-{n}", steps=n, trial=n) for n in (1, 2, 3)])
        told = service.json("/api/compare/runs", run_ids=["run-2", "run-1", "run-3"])
        assert [row["run_id"] for row in told["rows"]] == ["run-2", "run-1", "run-3"]
        assert [row["metrics"]["steps"] for row in told["rows"]] == [2, 1, 3]
        assert [row["differing_steps"] for row in told["rows"]] == [0, 1, 1]
        assert [row["first_difference"] for row in told["rows"]] == [None, 1, 2]
        assert told["metadata"] == ["trial"]
        response = service.get("/api/compare/runs", params={"run_ids": ["run-1"] * 51})
        assert response.status_code == 400

    def test_runs_worth_comparing(self, store, service):
        for n in range(4):
            run = run_of(f"run-{n}", task_id=n % 2)
            run.input = f"Please, refund order {n // 2}"
            run.user_id = "ada" if n else None
            store.save(run)
        told = service.json("/api/traces/run-3/candidates")["groups"]
        assert [(one["reason"], one["key"], one["value"]) for one in told] == [
            ("task", "task_id", 1), ("input", None, "Please, refund order 1"),
            ("user", None, "ada"),
        ]  # fmt: skip
        found = [[run["run_id"] for run in one["traces"]] for one in told]
        assert found == [["run-1"], ["run-2"], ["run-2", "run-1"]]
        told = service.json("/api/traces/run-3/candidates", limit=1)["groups"]
        assert [len(one["traces"]) for one in told] == [1, 1, 1]

    def test_both_runs_are_asked_for(self, service):
        response = service.get("/api/compare", params={"one": "x"})
        assert response.status_code == 400
        assert response.json()["error"]["message"] == "other is missing"


class TestSums:
    def test_they_are_made_anew_when_the_store_changes(self, store, service):
        store.save_many([run_of(f"run-{n}") for n in range(5)])
        assert service.json("/api/stats")["runs"] == 5
        assert service.json("/api/histogram")["total"] == 5
        store.save(run_of("new"))
        assert service.json("/api/stats")["runs"] == 6
        store.delete("run-0")
        assert service.json("/api/stats")["runs"] == 5
        assert service.json("/api/histogram")["total"] == 5

    def test_statistics_say_over_how_many_runs_they_are(self, store, service):
        store.save_many([run_of(f"run-{n}") for n in range(9)])
        told = service.json("/api/stats", max_runs=4)
        assert (told["runs"], told["matching_runs"], told["total"]["runs"]) == (4, 9, 4)

    def test_a_histogram_between_bounds(self, store, service):
        store.save(run_of("run"))
        told = service.json(
            "/api/histogram",
            started_since="2026-01-01T00:00:00Z",
            started_until="2026-01-02T00:00:00Z",
            buckets=24,
        )
        assert told["runs"] == told["errors"] == [0] * 24
        assert (told["since"], told["total"]) == ("2026-01-01T00:00:00.000000Z", 0)
        assert told["bucket_ms"] == pytest.approx(3_600_000, abs=0.01)


def test_the_store_stays_open(path):
    store = SQLiteTraceStore(path)
    with contextlib.closing(store):
        with serving(FiveMethods()) as service:
            assert service.get("/health").status_code == 200
        store.save(run_of("afterwards"))


def test_what_is_no_store_is_refused():
    from selectools_observe.server import create_app

    with pytest.raises(
        TypeError, match="is not a trace store, it has no save, load, list, query, delete"
    ):
        create_app(object())
    with pytest.raises(ValueError, match="a token must be of printable ASCII"):
        create_app(InMemoryTraceStore(), token="")
