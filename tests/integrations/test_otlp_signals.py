"""OTLP beyond spans: messages that come as log events, metrics, and what is said of the unused."""

from __future__ import annotations

import json

import pytest
from span_records import AGENT, MODEL, TRACE, ident, root, span

from selectools_observe import InMemoryTraceStore
from selectools_observe.integrations.opentelemetry import OtlpReceiver, runs_of_spans
from selectools_observe.integrations.opentelemetry.otlp_logs import read_logs
from selectools_observe.integrations.opentelemetry.otlp_proto import protobuf_of_spans
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run
from selectools_observe.model.limits import LimitError, Limits
from selectools_observe.model.messages import messages_of

JSON = "application/json"


def log(name, body, span_name="m", *, form="field", trace_id=TRACE):
    record = {
        "timeUnixNano": "1000000000",
        "traceId": trace_id,
        "spanId": ident(span_name),
        "body": any_value(body),
        "attributes": [{"key": "gen_ai.system", "value": {"stringValue": "openai"}}],
    }
    if form == "field":
        record["eventName"] = name
    else:
        record["attributes"].append({"key": "event.name", "value": {"stringValue": name}})
    return record


def any_value(value):
    if isinstance(value, dict):
        pairs = [{"key": key, "value": any_value(item)} for key, item in value.items()]
        return {"kvlistValue": {"values": pairs}}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"stringValue": value}


def logs(*records):
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}


QUESTION = log("gen_ai.user.message", {"content": "hello"})
ANSWER = log("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "hi"}})


@pytest.fixture
def store():
    return InMemoryTraceStore()


@pytest.fixture
def receiver(store):
    receiver = OtlpReceiver(store, max_wait=60)
    yield receiver
    receiver.close()


def as_body(kind, request):
    if kind == JSON:
        return json.dumps(request).encode()
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    def in_base64(record):
        import base64

        ids = {
            name: base64.b64encode(bytes.fromhex(record[name])).decode()
            for name in ("traceId", "spanId")
            if name in record
        }
        return record | ids

    records = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    return ParseDict(logs(*map(in_base64, records)), ExportLogsServiceRequest()).SerializeToString()


def send_logs(receiver, *records, kind=JSON):
    return receiver.receive(as_body(kind, logs(*records)), kind, signal="logs")


def send_spans(receiver, *records):
    return receiver.receive(protobuf_of_spans(records))


@pytest.mark.parametrize("kind", [JSON, "application/x-protobuf"])
@pytest.mark.parametrize("order", ["logs first", "spans first", "logs between"])
def test_messages_are_joined_to_their_spans(store, receiver, kind, order):
    call = span("m", 1, 2, MODEL)
    if order == "logs first":
        assert send_logs(receiver, QUESTION, ANSWER, kind=kind).status == 200
        send_spans(receiver, root(), call)
    elif order == "spans first":
        send_spans(receiver, root(), call)
        assert send_logs(receiver, QUESTION, ANSWER, kind=kind).status == 200
    else:
        send_spans(receiver, call)
        assert send_logs(receiver, QUESTION, kind=kind).status == 200
        send_spans(receiver, root())
        assert send_logs(receiver, ANSWER, QUESTION, kind=kind).status == 200
        send_spans(receiver, call)  # once more
    (step,) = store.load(TRACE).steps
    asked, answered = messages_of(step)
    assert [(each.role, each.text) for each in asked] == [("user", "hello")]
    assert [(each.role, each.text) for each in answered] == [("assistant", "hi")]
    assert step.extra["finish_reason"] == "stop"


@pytest.mark.parametrize("form", ["field", "attribute"])
def test_a_details_event(store, receiver, form):
    said = {"gen_ai.input.messages": '[{"role":"user","parts":[]}]'}
    record = log("gen_ai.client.inference.operation.details", "", form=form)
    record["attributes"] += [{"key": k, "value": {"stringValue": v}} for k, v in said.items()]
    send_logs(receiver, record)
    send_spans(receiver, root(), span("m", 1, 2, MODEL))
    (step,) = store.load(TRACE).steps
    assert step.input == [{"role": "user", "parts": []}]


def test_messages_whose_span_never_comes_are_kept(store):
    receiver = OtlpReceiver(store, max_wait=60)
    send_logs(receiver, QUESTION)
    receiver.close()
    other = OtlpReceiver(store, max_wait=60)
    assert store.load(TRACE).metadata["unfinished"] is True
    send_spans(other, root(), span("m", 1, 2, MODEL))
    run = store.load(TRACE)
    assert messages_of(run.steps[0]).input[0].text == "hello"
    assert "unfinished" not in run.metadata
    assert runs_of_spans(spans_of_run(run)) == [run]
    other.close()


def test_other_log_records_are_counted_and_told(receiver):
    reply = send_logs(
        receiver, log("http.request", {"a": 1}), {"body": {"stringValue": "hello"}}, QUESTION
    )
    told = json.loads(reply.body)["partialSuccess"]
    assert (told["rejectedLogRecords"], told["errorMessage"].split()[0]) == ("0", "2")
    assert receiver.unused == {"spans": 0, "log_records": 2, "metrics": 0}


@pytest.mark.parametrize("body", [b"[]", b'{"resourceLogs": 7}', b"{", b"\xff\xff"])
def test_what_is_no_request(receiver, body):
    for signal in ("logs", "metrics"):
        kind = "application/x-protobuf" if body[0] == 0xFF else JSON
        text = body.replace(b"resourceLogs", b"resourceMetrics") if signal == "metrics" else body
        assert receiver.receive(text, kind, signal=signal).status == 400


def test_a_log_body_that_protobuf_cannot_decode_says_its_limit():
    body = b""
    for number in (1, 5) * 200 + (5, 2, 2, 1):  # arrays in values, in a record, in a request
        size = len(body)
        length = bytes([size]) if size < 128 else bytes([size % 128 + 128, size // 128])
        body = bytes([number << 3 | 2]) + length + body
    with pytest.raises(LimitError, match=r"\(limit: depth\)"):
        read_logs(body)
    with pytest.raises(LimitError, match=r"\(limit: values\)"):
        read_logs(body, limits=Limits(values=100))


def test_a_log_record_that_cannot_be_read_fails_alone(store, receiver):
    bad = QUESTION | {"timeUnixNano": "soon"}
    reply = send_logs(receiver, bad, ANSWER)
    assert json.loads(reply.body)["partialSuccess"]["rejectedLogRecords"] == "1"
    send_spans(receiver, root(), span("m", 1, 2, MODEL))
    assert store.load(TRACE).steps[0].output is not None


def test_metrics_are_accepted_and_counted(receiver):
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    metrics = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "a"}, {"name": "b"}]}]}]}
    reply = receiver.receive(json.dumps(metrics).encode(), JSON, signal="metrics")
    assert (reply.status, json.loads(reply.body)) == (200, {})
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.add().name = "c"
    assert receiver.receive(request.SerializeToString(), signal="metrics").status == 200
    assert receiver.unused["metrics"] == 3


@pytest.mark.parametrize("kind", [JSON, "application/x-protobuf"])
def test_traces_without_any_genai_name_are_told(store, receiver, kind):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    attributes = [{"key": "http.method", "value": {"stringValue": "GET"}}]
    sent = {"traceId": TRACE, "spanId": ident("a"), "name": "GET /", "attributes": attributes}
    if kind == JSON:
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]}).encode()
        told = json.loads(receiver.receive(body, kind).body)["partialSuccess"]["errorMessage"]
    else:
        record = span("GET /", 0, 1, {"http.method": "GET"}, None)
        partial = ExportTraceServiceResponse.FromString(send_spans(receiver, record).body)
        assert partial.partial_success.rejected_spans == 0
        told = partial.partial_success.error_message
    assert "1 spans of 1 traces" in told
    assert "gen_ai.*" in told
    receiver.close()
    assert (list(store.list()), receiver.unused["spans"]) == ([], 1)


def test_a_trace_with_a_genai_name_is_not_told_of(receiver):
    http = span("GET /", 0, 1, {"http.method": "GET"})
    assert send_spans(receiver, span("m", 0, 1, MODEL), http).body == b""
    assert send_spans(receiver, span("root", 0, 9, AGENT, None)).body == b""
