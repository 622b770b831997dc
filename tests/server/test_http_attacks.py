"""Small bodies that would become much: refused by name, without harm to others."""

from __future__ import annotations

import json

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
)
from served import run_of, serving

from selectools_observe import AsyncSQLiteTraceStore, InMemoryTraceStore
from selectools_observe.model.limits import Limits


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

        with sqlite3.connect(tmp_path / "runs.db") as connection:
            connection.execute("UPDATE traces SET metadata = x'ff', trace_json = x'ff'")
        connection.close()
        assert service.json("/health")["status"] == "ok"
