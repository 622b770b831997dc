"""OpenTelemetry spans over HTTP, sent by OpenTelemetry's own exporter."""

from __future__ import annotations

import gzip
import json
import signal
import sys

import httpx
import pytest
from served import TOKEN, serving
from service_program import program

from selectools_observe import AsyncSQLiteTraceStore, SQLiteTraceStore

pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")

SPAN = {
    "traceId": "0af7651916cd43dd8448eb211c80319c",
    "spanId": "b7ad6b7169203331",
    "name": "chat gpt-4o",
    "kind": 3,
    "startTimeUnixNano": "1770000000000000000",
    "endTimeUnixNano": "1770000001500000000",
    "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
    ],
}
BODY = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [SPAN]}]}]}


def check(run):
    assert run["run_id"] == SPAN["traceId"]
    (step,) = [step for step in run["steps"] if step["type"] == "llm_call"]
    assert (step["model"], step["prompt_tokens"], step["duration_ms"]) == ("gpt-4o", 12, 1500.0)


@pytest.mark.parametrize("packed", [False, True])
def test_json(service, packed):
    body = json.dumps(BODY).encode()
    headers = {"Content-Type": "application/json"}
    if packed:
        body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
    response = service.client.post("/v1/traces", content=body, headers=headers)
    assert (response.status_code, response.json()) == (200, {})
    check(service.json(f"/api/traces/{SPAN['traceId']}"))


@pytest.mark.parametrize("packed", [False, True])
def test_protobuf(service, packed):
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )

    # The JSON form writes ids as bytes in base64; OTLP writes them in hexadecimal.
    request = ParseDict({"resourceSpans": [{"scopeSpans": [{"spans": [
        {**SPAN, "traceId": "CvdlGRbNQ92ESOshHIAxnA==", "spanId": "t61rcWkgMzE="}
    ]}]}]}, ExportTraceServiceRequest())  # fmt: skip
    body, headers = request.SerializeToString(), {"Content-Type": "application/x-protobuf"}
    if packed:
        body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
    response = service.client.post("/v1/traces", content=body, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-protobuf"
    assert not ExportTraceServiceResponse.FromString(response.content).HasField("partial_success")
    check(service.json(f"/api/traces/{SPAN['traceId']}"))


def test_the_exporter_of_opentelemetry(path):
    exporter = pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        reason="opentelemetry-exporter-otlp-proto-http is not installed",
    )
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    with serving(AsyncSQLiteTraceStore(path), token=TOKEN) as service:
        endpoint = f"{service.client.base_url}/v1/traces"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        provider = TracerProvider()
        provider.add_span_processor(
            SimpleSpanProcessor(exporter.OTLPSpanExporter(endpoint=endpoint, headers=headers))
        )
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("invoke_agent helper") as root:
            root.set_attribute("gen_ai.operation.name", "invoke_agent")
            with tracer.start_as_current_span("chat gpt-4o") as child:
                child.set_attribute("gen_ai.operation.name", "chat")
                child.set_attribute("gen_ai.request.model", "gpt-4o")
        provider.shutdown()
    with SQLiteTraceStore(path) as store:
        (summary,) = store.list()
        assert [step.model for step in store.load(summary.run_id).filter(type="llm_call")] == [
            "gpt-4o"
        ]


def test_spans_whose_root_does_not_come_are_saved_when_it_stops(path):
    span = {**SPAN, "parentSpanId": "0000000000000001"}
    body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}
    with serving(AsyncSQLiteTraceStore(path)) as service:
        assert service.client.post("/v1/traces", json=body).status_code == 200
    with SQLiteTraceStore(path) as store:
        assert store.count() == 1


def test_a_service_that_took_spans_ends(path):
    with (
        program(path) as (process, url),
        httpx.Client(verify=False, base_url=url, timeout=60) as client,
    ):
        assert client.post("/v1/traces", json=BODY).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{", 400), ("application/json", b"[]", 400),
        ("application/json", b"", 400), ("application/x-protobuf", b"\xff\xff\xff", 400),
        ("text/plain", b"{}", 415), ("", b"{}", 415),
    ],
)  # fmt: skip
def test_what_is_no_request(service, kind, body, status):
    response = service.client.post("/v1/traces", content=body, headers={"Content-Type": kind})
    assert response.status_code == status
    assert set(response.json()["error"]) >= {"type", "message"}


def test_a_large_request(path):
    with serving(AsyncSQLiteTraceStore(path), max_body=1000) as service:
        bomb = gzip.compress(b'{"a": "' + b"x" * 10_000_000)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        response = service.client.post("/v1/traces", content=bomb, headers=headers)
        assert response.status_code == 413


def test_without_the_package_it_says_what_to_install(service, monkeypatch):
    name = "selectools_observe.integrations.opentelemetry"
    monkeypatch.setitem(sys.modules, name, None)
    response = service.client.post("/v1/traces", json=BODY)
    assert response.status_code == 501
    error = response.json()["error"]
    assert error["type"] == "not_installed"
    assert error["hint"] == 'pip install "selectools-observe[otel]"'


def test_logs_and_metrics(service):
    record = {
        "traceId": SPAN["traceId"],
        "spanId": SPAN["spanId"],
        "eventName": "gen_ai.user.message",
        "body": {
            "kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "hello"}}]}
        },
    }
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    for path, body in (("traces", BODY), ("logs", logs), ("metrics", {"resourceMetrics": []})):
        response = service.client.post(f"/v1/{path}", json=body)
        assert (response.status_code, response.json()) == (200, {})
    run = service.json(f"/api/traces/{SPAN['traceId']}")
    assert "hello" in json.dumps(run["steps"])


def test_spans_that_cannot_be_written_down_are_not_acknowledged(tmp_path, caplog):
    """A link where the journal is to be would lead to a stranger's folder."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs.db.spans").symlink_to(tmp_path / "elsewhere")
    pair = {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}
    child = {"traceId": "a" * 32, "spanId": "b" * 16, "parentSpanId": "c" * 16, "name": "chat"}
    with serving(AsyncSQLiteTraceStore(tmp_path / "runs.db")) as service:
        for span, status in ((child, 503), (child | {"parentSpanId": ""}, 200)):
            spans = [{**span, "attributes": [pair]}]
            body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
            response = service.client.post("/v1/traces", json=body)
            assert response.status_code == status
            assert status == 200 or "written down; the receiver's log says why" in response.text
        assert service.json("/api/count")["count"] == 1
    assert "runs.db.spans" in caplog.text
    assert "link" in caplog.text
    assert list((tmp_path / "elsewhere").iterdir()) == []
