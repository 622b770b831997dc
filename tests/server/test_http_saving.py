"""Runs that are sent over HTTP: stored as they are, or refused by name."""

from __future__ import annotations

import gzip
import json
import re

import pytest
from served import run_of, serving

from selectools_observe import InMemoryTraceStore, JSONLTraceStore, TraceFilter
from selectools_observe.testing.samples import full_trace, various_traces

NDJSON = {"Content-Type": "application/x-ndjson"}


def post(service, value):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return service.client.post("/api/traces", content=content, headers=headers)


def report(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


class TestOneRun:
    def test_it_is_stored(self, store, service):
        response = post(service, full_trace().to_dict())
        assert (response.status_code, response.json()) == (201, {"run_id": "full"})
        assert store.load("full") == full_trace()

    def test_fields_of_a_newer_version_are_kept(self, store, service):
        data = {**run_of("new").to_dict(), "verdict": {"score": 1}}
        data["steps"][0]["temperature"] = 0.5
        assert post(service, data).status_code == 201
        assert store.load("new").to_dict() == data

    def test_without_a_run_id_it_gets_one(self, store, service):
        run_id = post(service, {"steps": []}).json()["run_id"]
        assert store.load(run_id).steps == []

    def test_a_stored_line_is_understood(self, store, service):
        line = {
            "run_id": "x",
            "created_at": "2026-03-01T00:00:00+00:00",
            "trace": run_of("x").to_dict(),
        }
        assert post(service, line).status_code == 201
        assert store.load("x") == run_of("x")

    @pytest.mark.parametrize(
        ("change", "place"),
        [
            ({"run_id": ""}, "run_id"), ({"run_id": 5}, "run_id"), ({"run_id": None}, "run_id"),
            ({"run_id": "\ud800"}, "run_id"), ({"steps": None}, "steps"), ({"steps": {}}, "steps"),
            ({"steps": [1]}, "steps[0]"), ({"steps": [{}]}, "steps[0]"),
            ({"steps": [{"type": None}]}, "steps[0].type"),
            ({"steps": [{"type": "a"}, {"type": "a", "cost_usd": "a lot"}]}, "steps[1].cost_usd"),
            ({"steps": [{"type": "a", "tool_args": []}]}, "steps[0].tool_args"),
            ({"steps": [{"type": "a", "prompt_tokens": 1.5}]}, "steps[0].prompt_tokens"),
            ({"steps": [{"type": "a", "children": ["a", 1]}]}, "steps[0].children[1]"),
            ({"steps": [{"type": "a", "error": True}]}, "steps[0].error"),
            ({"metadata": []}, "metadata"), ({"start_time": "now"}, "start_time"),
            ({"parent_run_id": 1}, "parent_run_id"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_named(self, shared, change, place):
        response = post(shared, {**run_of("bad").to_dict(), **change})
        assert response.status_code == 422
        error = response.json()["error"]
        assert error["type"] == "invalid_trace"
        assert re.search(rf"cannot be stored: {re.escape(place)} ", error["message"]), error
        assert shared.get("/api/traces/bad").status_code == 404

    @pytest.mark.parametrize("body", [b"", b"{", b"[", b"\xff", b"nul", b'{"a":1}x', b"'", b"\x00"])
    def test_what_is_no_json(self, shared, body):
        response = post(shared, body)
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request"

    @pytest.mark.parametrize("value", [None, 1, "text", True])
    def test_what_is_no_object(self, shared, value):
        assert post(shared, value).status_code == 422

    @pytest.mark.parametrize("kind", ["text/csv", "application/xml", "application/jsonx", ""])
    def test_other_types(self, shared, kind):
        response = shared.client.post("/api/traces", content=b"{}", headers={"Content-Type": kind})
        assert response.status_code == 415
        assert "application/x-ndjson" in response.json()["error"]["hint"]

    def test_parameters_are_refused(self, shared):
        assert shared.client.post("/api/traces?x=1", json={"steps": []}).status_code == 400

    @pytest.mark.slow
    def test_a_large_run(self, store, service):
        trace = run_of("large", steps=30_000)
        trace.steps[5].tool_result = "x" * 12_000_000
        assert post(service, trace.to_dict()).status_code == 201
        assert store.load("large") == trace


class TestManyRuns:
    def test_an_array(self, store, service):
        sent = [run_of("a").to_dict(), {"steps": 1}, 5, run_of("b").to_dict()]
        first, second, third, fourth, last = report(post(service, sent))
        assert first == {"line": 1, "run_id": "a", "saved": True}
        assert (second["saved"], second["error"]["type"]) == (False, "invalid_trace")
        assert (third["saved"], third["line"]) == (False, 3)
        assert fourth == {"line": 4, "run_id": "b", "saved": True}
        assert last == {"saved": 2, "refused": 2, "is_complete": True}
        assert [summary.run_id for summary in store.list()] == ["b", "a"]

    def test_lines(self, store, service):
        traces = list(various_traces(500))
        lines = [json.dumps(trace.to_dict()).encode() for trace in traces]
        lines[7:7] = [b"", b"{", b'{"steps": 1}', b"   "]
        body = (part for part in [b"\n".join(lines[:100]), b"\n", b"\n".join(lines[100:])])
        *told, last = report(service.client.post("/api/traces", content=body, headers=NDJSON))
        assert [line["line"] for line in told if not line["saved"]] == [9, 10]
        assert last == {"saved": 500, "refused": 2, "is_complete": True}
        assert {line["line"] for line in told} == {*range(1, 505)} - {8, 11}
        newest_first = [summary.run_id for summary in store.list(1000)]
        assert newest_first == [trace.run_id for trace in reversed(traces)]

    def test_nothing_at_all(self, service):
        assert report(service.client.post("/api/traces", content=b"", headers=NDJSON)) == [
            {"saved": 0, "refused": 0, "is_complete": True}
        ]
        assert report(post(service, []))[-1]["saved"] == 0

    def test_gzip(self, store, service):
        lines = b"\n".join(json.dumps(run_of(f"r{n}").to_dict()).encode() for n in range(50))
        headers = {**NDJSON, "Content-Encoding": "gzip"}
        answer = service.client.post("/api/traces", content=gzip.compress(lines), headers=headers)
        assert report(answer)[-1]["saved"] == 50
        assert store.count() == 50

    def test_gzip_that_ends_early_says_where(self, store, service):
        lines = b"\n".join(json.dumps(run_of(f"r{n}").to_dict()).encode() for n in range(2000))
        headers = {**NDJSON, "Content-Encoding": "gzip"}
        packed = gzip.compress(lines)[:-3000]
        *_, stopped, last = report(
            service.client.post("/api/traces", content=packed, headers=headers)
        )
        assert stopped["error"]["message"] == "The gzip body is truncated"
        assert (last["is_complete"], last["saved"]) == (False, store.count())
        assert 0 < last["saved"] < 2000

    def test_the_file_of_a_jsonl_store(self, airline_jsonl, store, service):
        body = airline_jsonl.read_bytes()
        *_, last = report(service.client.post("/api/traces", content=body, headers=NDJSON))
        assert last == {"saved": 200, "refused": 0, "is_complete": True}
        with JSONLTraceStore(airline_jsonl) as theirs:
            for summary in theirs.list(20):
                assert store.load(summary.run_id) == theirs.load(summary.run_id)

    def test_what_is_answered_can_be_sent_back(self, store, service):
        store.save_many(various_traces(40))
        with serving(InMemoryTraceStore()) as other:
            for summary in store.list(40):
                run = service.get(f"/api/traces/{summary.run_id}").content
                assert post(other, run).status_code == 201
            assert other.json("/api/about")["runs"] == 40
            assert other.json("/api/traces/various-007") == store.load("various-007").to_dict()

    @pytest.mark.slow
    def test_thirty_thousand_lines_do_not_wait_for_a_reader(self, service):
        """A client reads nothing before all is sent: the report must not fill the connection."""
        line = json.dumps({"run_id": "same", "steps": []}).encode() + b"\n"
        body = (line * 1000 for _ in range(30))
        response = service.client.post("/api/traces", content=body, headers=NDJSON, timeout=300)
        assert report(response)[-1] == {"saved": 30_000, "refused": 0, "is_complete": True}


@pytest.fixture(scope="module")
def shared():
    """A service for tests that leave nothing behind."""
    with serving(InMemoryTraceStore()) as service:
        yield service


def test_runs_saved_again_are_replaced(store, service):
    assert post(service, run_of("a", steps=1).to_dict()).status_code == 201
    assert post(service, run_of("a", steps=3).to_dict()).status_code == 201
    assert [(found.run_id, found.steps) for found in store.query(TraceFilter())] == [("a", 3)]
