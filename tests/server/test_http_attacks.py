"""Small bodies that would become much: refused by name, without harm to others."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import closing

import httpx
import pytest
from attack_bodies import (
    BODIES,
    JSON,
    LINES,
    MANY,
    NDJSON,
    PROTOBUF,
    SPANS,
    field,
    packed,
    protobuf,
    run_with,
)
from served import run_of, serving

from selectools_observe import (
    AsyncInMemoryTraceStore,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
)
from selectools_observe.capture import AsyncProcessingTraceStore
from selectools_observe.integrations.opentelemetry import runs_of_otlp
from selectools_observe.integrations.opentelemetry.joined_run import Join
from selectools_observe.model.limits import Limits
from selectools_observe.server import create_app, request_body
from selectools_observe.server.otlp_ingest import Telemetry
from selectools_observe.server.routes import ingest


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def service(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacks")
    store = (
        InMemoryTraceStore()
        if request.param == "memory"
        else AsyncSQLiteTraceStore(folder / "runs.db")
    )
    with serving(store) as served:
        yield served


def refused(response, limit: str) -> None:
    assert response.status_code == 422, response.text[:300]
    assert response.json()["error"]["message"].endswith(f"(limit: {limit})")


class TestRefused:
    @pytest.mark.parametrize("name", BODIES)
    def test_a_body(self, service, name):
        text, limit = BODIES[name]
        refused(service.client.post("/api/traces", content=packed(text), headers=JSON), limit)
        assert service.json("/api/count")["count"] == 0

    @pytest.mark.parametrize("name", LINES)
    def test_lines(self, service, name):
        text, limit = LINES[name]
        refused(service.client.post("/api/traces", content=packed(text), headers=NDJSON), limit)

    @pytest.mark.parametrize("name", SPANS)
    def test_spans(self, service, name):
        text, limit = SPANS[name]
        refused(service.client.post("/v1/traces", content=packed(text), headers=JSON), limit)

    def test_spans_in_protobuf(self, service):
        array = field(5, field(1, b"") * MANY)
        nested = b""
        for _ in range(300):
            nested = field(5, field(1, nested))
        for body, limit in ((array, "values"), (nested, "depth")):
            content = packed(protobuf(body))
            response = service.client.post("/v1/traces", content=content, headers=PROTOBUF)
            refused(response, limit)

    @pytest.mark.parametrize(
        "body", [b"\x0b\x0c", b"\x0f", b"\x0a\xff", b"\xff" * 20, b"\x0a\x05a"]
    )
    def test_what_is_not_protobuf(self, service, body):
        response = service.client.post("/v1/traces", content=packed(body), headers=PROTOBUF)
        assert response.status_code == 400

    @pytest.mark.parametrize("name", ["digits", "lists", "nesting", "metadata"])
    @pytest.mark.parametrize("is_last", [False, True])
    def test_a_line_among_others(self, service, name, is_last):
        runs = [json.dumps(run_of(f"r{n}").to_dict()) for n in range(3)]
        text, limit = BODIES[name]
        lines = [runs[0], "", runs[1], *([] if is_last else [runs[2]]), text]
        lines += [runs[2]] if not is_last else []
        body = "\n".join(lines)
        response = service.client.post("/api/traces", content=packed(body), headers=NDJSON)
        told = [json.loads(line) for line in response.text.splitlines()]
        refusals = [line for line in told if not line.get("saved", True)]
        assert [line["line"] for line in refusals] == [lines.index(text) + 1]
        assert refusals[0]["error"]["message"].endswith(f"(limit: {limit})")
        saved = len([line for line in lines if line and line != text])
        assert told[-1] == {"saved": saved, "refused": 1, "is_complete": True}
        for n in range(3):
            service.client.delete(f"/api/traces/r{n}")


@pytest.mark.parametrize("layout", ["array", "lines"])
async def test_a_body_of_lines_that_are_no_run(layout, monkeypatch):
    """The first 10,000 are answered, the loop comes round meanwhile, and no more is read."""
    texts = [json.dumps(run_of("first").to_dict()), *["1"] * 450_000]
    text = f"[{','.join(texts)}]" if layout == "array" else "\n".join(texts)
    kind = "application/json" if layout == "array" else "application/x-ndjson"
    rounds, seen, refuse = 0, set(), ingest._Report.refused

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    def refusing(*arguments) -> None:
        seen.add(rounds)
        refuse(*arguments)

    monkeypatch.setattr(ingest._Report, "refused", refusing)
    app = create_app(InMemoryTraceStore())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        beside = asyncio.create_task(others())
        response = await client.post("/api/traces", content=text, headers={"Content-Type": kind})
        beside.cancel()
    first, *refusals, stopped, last = map(json.loads, response.text.splitlines())
    assert first == {"line": 1, "run_id": "first", "saved": True}
    assert {line["error"]["type"] for line in refusals} == {"invalid_trace"}
    assert 10_000 < len(refusals) < 10_100
    assert stopped["line"] == len(refusals) + 2
    assert stopped["error"]["message"].endswith("10000 runs of it are refused (limit: refused)")
    assert last == {"saved": 1, "refused": len(refusals) + 1, "is_complete": False}
    assert len(seen) > len(refusals) // 64


@pytest.mark.parametrize(("empty", "status"), [(9_999, 201), (10_001, 422), (200_000, 422)])
def test_gzip_members(service, empty, status):
    body = gzip.compress(b" ") * empty + gzip.compress(b'{"run_id": "m", "steps": []}')
    response = service.client.post("/api/traces", content=body, headers=JSON)
    assert response.status_code == status
    if status == 422:
        refused(response, "members")
    else:
        service.client.delete("/api/traces/m")


def test_limits_are_the_callers_to_set():
    with serving(InMemoryTraceStore(), limits=Limits(steps=3, values=100, metadata=20)) as service:
        for steps, metadata, status in ((3, "x", 201), (4, "x", 422), (3, "x" * 20, 422)):
            run = run_of("r", steps=steps, a=metadata).to_dict()
            assert service.client.post("/api/traces", json=run).status_code == status
        assert service.client.post("/api/traces", json=[0] * 101).status_code == 422


def test_health_touches_no_run(tmp_path):
    # A run that a program saved, as large as it likes.
    with serving(AsyncSQLiteTraceStore(tmp_path / "runs.db")) as service:
        service.client.post("/api/traces", json=run_of("r").to_dict())
        import sqlite3

        with closing(sqlite3.connect(tmp_path / "runs.db")) as connection, connection:
            connection.execute("UPDATE traces SET metadata = x'ff', trace_json = x'ff'")
        connection.close()
        assert service.json("/health")["status"] == "ok"


class TestTogether:
    """Bounds on what is small one by one."""

    def test_long_numbers(self):
        with serving(InMemoryTraceStore()) as service:
            numbers = '[{"type": "error", "tool_args": {"a": [' + ",".join(["9" * 3_990] * 260)
            text = run_with("{}", numbers + "]}}]")
            refused(
                service.client.post("/api/traces", content=packed(text), headers=JSON),
                "long_digits",
            )

    @pytest.mark.parametrize("field", ["name", "tags", "session_id", "agent", "parent_run_id"])
    def test_what_lists_say_of_a_run(self, field):
        value = ["x" * 100] * 700 if field == "tags" else "x" * 70_000
        with serving(InMemoryTraceStore()) as service:
            response = service.client.post("/api/traces", json={"steps": [], field: value})
            refused(response, "metadata")
            assert field in response.json()["error"]["message"]

    def test_an_id_that_is_too_long_is_not_said_again(self):
        with serving(InMemoryTraceStore()) as service:
            response = service.client.post(
                "/api/traces", json={"steps": [], "run_id": "x" * 70_000}
            )
            refused(response, "metadata")
            assert len(response.text) < 500


class TestInAProcess:
    """Bodies that are too large to be decoded where requests are answered."""

    @pytest.fixture(params=["memory", "sqlite", "another"])
    def taker(self, request, tmp_path):
        if request.param == "sqlite":
            return AsyncSQLiteTraceStore(tmp_path / "runs.db")
        memory = AsyncInMemoryTraceStore()
        # What is not a store of ours gets runs, not their encoded form.
        return AsyncProcessingTraceStore(memory) if request.param == "another" else memory

    @pytest.mark.slow
    @pytest.mark.parametrize("layout", ["one", "array", "lines"])
    def test_what_is_saved_is_what_was_sent(self, taker, layout):
        runs = [run_of(f"{layout}-{n}", steps=3_000).to_dict() for n in range(3)]
        runs[1]["from a newer version"] = {"n": 2**70, "text": "\ud800"}
        if layout == "one":
            runs = runs[1:2]
        texts = [json.dumps(run) for run in runs]
        text = {"one": texts[0], "array": f"[{', '.join(texts)}]", "lines": "\n".join(texts)}[
            layout
        ]
        kind = NDJSON if layout == "lines" else JSON
        with serving(taker) as service:
            response = service.client.post("/api/traces", content=packed(text), headers=kind)
            assert response.status_code in {200, 201}
            for run in runs:
                kept = service.json(f"/api/traces/{run['run_id']}")
                assert {name: kept[name] for name in run} == run

    @pytest.mark.slow
    def test_runs_of_spans_are_put_together_elsewhere(self, taker, monkeypatch):
        """Of two requests; somebody changes the run just when the second is put together."""
        here: list[str] = []
        monkeypatch.setattr(Join, "joined", _noting(here, Join.joined))
        spans = [_span(n) for n in range(1, 1_001)]
        spans[-1]["events"] = [_evaluation()]
        requests = [_request(spans[:500]), _request(spans[500:])]
        join, run_id, changed = Telemetry._join, "a" * 32, []

        def joined(self, packed, stored):
            result = join(self, packed, stored)
            if stored is not None and not changed:
                address = f"http://127.0.0.1:{service.port}/api/traces"
                run = httpx.get(f"{address}/{run_id}", verify=False).json() | {"name": "renamed"}
                changed.append(httpx.post(address, json=run, verify=False).json())
            return result

        monkeypatch.setattr(Telemetry, "_join", joined)
        with serving(taker) as service:
            for request in requests:
                assert service.client.post("/v1/traces", json=request).json() == {}
            kept = service.json(f"/api/traces/{run_id}")
            told = service.json(f"/api/traces/{run_id}/annotations")
        is_ours = not isinstance(taker, AsyncProcessingTraceStore)
        assert bool(here) != is_ours
        assert bool(changed) == is_ours
        (whole,) = runs_of_otlp(_request(spans))
        wanted = whole.to_dict() | ({"name": "renamed"} if is_ours else {})
        assert {name: kept[name] for name in wanted} == wanted
        assert [each["name"] for each in told["annotations"]] == ["good"]

    def test_what_is_not_json(self, taker):
        with serving(taker) as service:
            for text in (
                "{" + " " * 300_000,
                "[" + " " * 300_000 + "0",
                "[1] " + " " * 300_000 + "1",
            ):
                response = service.client.post("/api/traces", content=packed(text), headers=JSON)
                assert response.status_code == 400
                assert response.json()["error"]["message"].startswith("The body is not JSON")

    def test_items_are_judged_one_by_one(self, taker):
        good = json.dumps(run_of("good").to_dict())
        text = (
            "[" + ", ".join([good, "1", " " * 300_000 + "{}", good.replace("good", "other")]) + "]"
        )
        with serving(taker) as service:
            response = service.client.post("/api/traces", content=packed(text), headers=JSON)
            told = [json.loads(line) for line in response.text.splitlines()]
            assert [line.get("saved") for line in told] == [True, False, False, True, 2]

    def test_a_body_that_takes_too_much_is_refused_and_others_are_taken(self, monkeypatch):
        monkeypatch.setattr(request_body, "WORK", "process_work:endless")
        text = run_with("{}", "[" + ",".join(['{"type": "error", "a": []}'] * 90_000) + "]")
        with serving(InMemoryTraceStore(), limits=Limits(seconds=0)) as service:
            refused(
                service.client.post("/api/traces", content=packed(text), headers=JSON), "seconds"
            )
            assert service.client.post("/api/traces", json=run_of("r").to_dict()).status_code == 201


def _span(number: int) -> dict[str, object]:
    told = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": f"{number} " + "word " * 120}
    parent = {"parentSpanId": f"{1:016x}"} if number > 1 else {}
    attributes = [{"key": key, "value": {"stringValue": said}} for key, said in told.items()]
    ids = {"traceId": "a" * 32, "spanId": f"{number:016x}", **parent}
    return ids | {"name": "chat", "startTimeUnixNano": str(number), "attributes": attributes}


def _evaluation() -> dict[str, object]:
    said = {"gen_ai.evaluation.name": "good", "gen_ai.evaluation.score.label": "yes"}
    attributes = [{"key": key, "value": {"stringValue": text}} for key, text in said.items()]
    return {"name": "gen_ai.evaluation.result", "attributes": attributes}


def _request(spans: list[dict[str, object]]) -> dict[str, object]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


def _noting(calls: list[str], joined):
    def noting(self, stored):
        calls.append(self.run_id)
        return joined(self, stored)

    return noting


@pytest.mark.slow
@pytest.mark.parametrize("number", [9, 11, 13])
def test_a_span_of_too_many_parts_is_left_out_and_others_are_kept(number):
    parts = {
        9: lambda n: field(1, b"%d" % n) + field(2, field(1, b"v")),
        11: lambda n: field(2, b"%d" % n),
        13: lambda n: field(1, b"l" * 16) + field(2, b"%08d" % n),
    }
    pair = field(1, b"gen_ai.operation.name") + field(2, field(1, b"chat"))
    spans = [field(1, b"t" * 16) + field(2, b"%08d" % n) + field(9, pair) for n in range(1, 3)]
    spans[1] += b"".join(field(number, parts[number](n)) for n in range(11_000))
    body = field(1, field(2, b"".join(field(2, span) for span in spans)))
    with serving(InMemoryTraceStore()) as service:
        response = service.client.post("/v1/traces", content=packed(body), headers=PROTOBUF)
        assert response.status_code == 200
        assert b"has more than 10000 attributes, events or links" in response.content
        (run,) = service.json("/api/traces")["traces"]
        assert run["steps"] == 1
