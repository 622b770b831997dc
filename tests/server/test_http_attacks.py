"""Small bodies that would become much: refused by name, without harm to others."""

from __future__ import annotations

import gzip
import json

import pytest
from served import run_of, serving

from selectools_observe import AsyncSQLiteTraceStore, InMemoryTraceStore
from selectools_observe.model.limits import Limits

JSON = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
NDJSON = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}


def packed(text: str | bytes) -> bytes:
    return gzip.compress(text if isinstance(text, bytes) else text.encode(), 1)


def run_with(metadata: str, steps: str = "[]") -> str:
    return '{"run_id": "r", "steps": ' + steps + ', "metadata": ' + metadata + "}"


def otlp(value: str) -> str:
    span = (
        '{"traceId": "' + "a" * 32 + '", "spanId": "' + "b" * 16 + '", "name": "chat", '
        '"attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}, '
        '{"key": "gen_ai.input.messages", "value": ' + value + "}]}"
    )
    return '{"resourceSpans": [{"scopeSpans": [{"spans": [' + span + "]}]}]}"


def field(number: int, content: bytes) -> bytes:
    size, length = b"", len(content)
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def protobuf(any_value: bytes) -> bytes:
    pair = field(1, b"x") + field(2, any_value)
    span = field(1, b"a" * 16) + field(2, b"b" * 8) + field(9, pair)
    return field(1, field(2, field(2, span)))


MANY = 600_000
BODIES = {
    "digits": (run_with('{"n": ' + "9" * 200_000 + "}"), "digits"),
    "digits of a fraction": (run_with('{"n": 0.' + "9" * 200_000 + "}"), "digits"),
    "digits of a token count": (
        run_with("{}", '[{"type": "llm_call", "prompt_tokens": ' + "9" * 5000 + "}]"),
        "digits",
    ),
    "lists": (run_with('{"a": [[]' + ",[]" * MANY + "]}"), "values"),
    "objects": (run_with('{"a": [{"a":{}}' + ',{"a":{}}' * MANY + "]}"), "values"),
    "keys": (run_with("{" + ",".join(f'"{n}":0' for n in range(MANY)) + "}"), "values"),
    "steps of nothing": (run_with("{}", "[{}" + ",{}" * MANY + "]"), "values"),
    "an array of runs": ("[0" + ",0" * MANY + "]", "values"),
    "nesting": (run_with('{"a": ' + "[" * 100_000), "depth"),
    "nesting of objects": (run_with('{"a":' * 100_000), "depth"),
    "metadata": (run_with('{"a": "' + "x" * 70_000 + '"}'), "metadata"),
}
LINES = {
    "empty lines": ("\n" * 1_100_000, "lines"),
    "lines of blanks": (" \n" * 1_100_000, "lines"),
}
SPANS = {
    "digits": (otlp('{"intValue": ' + "9" * 200_000 + "}"), "digits"),
    "lists": (otlp('{"arrayValue": {"values": [{}' + ",{}" * MANY + "]}}"), "values"),
    "lists in a text": (otlp('{"stringValue": "[[]' + ",[]" * 4 * MANY + ']"}'), "values"),
    "nesting": (otlp('{"arrayValue": {"values": [' * 1000), "depth"),
}


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
        assert service.json("/health") == {"status": "ok"}
