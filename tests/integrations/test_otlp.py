"""OTLP request bodies, both forms, whole and broken; what is answered; what is sent where."""

from __future__ import annotations

import base64
import contextlib
import copy
import functools
import gzip
import json
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from google.protobuf import json_format
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from otel_spans import Spans

from selectools_observe import AgentTrace, AsyncInMemoryTraceStore, InMemoryTraceStore, TraceStep
from selectools_observe.integrations.opentelemetry import (
    OtlpExportError,
    OtlpReceiver,
    aexport_otlp,
    export_otlp,
    read_otlp,
    runs_of_otlp,
    runs_of_spans,
)
from selectools_observe.integrations.opentelemetry.otlp_proto import protobuf_of_spans
from selectools_observe.integrations.opentelemetry.otlp_values import sendable
from selectools_observe.integrations.opentelemetry.span_exporter import record_of
from selectools_observe.integrations.opentelemetry.spans import SpanRecord
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run


def example(run_id: str = "run") -> AgentTrace:
    step = TraceStep("llm_call", 1.5, 2.5, model="m", prompt_tokens=3, cost_usd=0.25)
    return AgentTrace([step], 1.0, run_id, metadata={"user": "u"})


def as_json(body: bytes) -> dict:
    """The JSON form of a request, made by protobuf itself but for the ids."""
    request = json_format.MessageToDict(ExportTraceServiceRequest.FromString(body))
    for resource_spans in request["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                for holder in (span, *span.get("links", ())):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = base64.b64decode(holder[name]).hex()
    return request


def in_base64(told: dict) -> dict:
    """The request with its ids as protobuf's own library takes them."""
    told = copy.deepcopy(told)
    for span in told["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId"):
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return told


class TestBodies:
    def test_both_forms_say_the_same(self):
        spans = Spans()
        root = spans.start("root", {"a": [1, 2.5, True, "x"], "gen_ai.agent.name": "a"})
        root.add_event("happened", {"k": "v"})
        spans.start("chat", {"gen_ai.request.model": "m"}, root).end()
        root.end()
        records = [record_of(span) for span in spans.finished()]
        body = protobuf_of_spans(records)
        from_protobuf, from_json = read_otlp(body), read_otlp(json.dumps(as_json(body)))
        by_id = {record.span_id: record for record in records}
        assert {record.span_id: record for record in from_protobuf.spans} == by_id
        assert {record.span_id: record for record in from_json.spans} == by_id
        assert runs_of_otlp(as_json(body)) == runs_of_otlp(body) == runs_of_spans(records)

    def test_every_kind_of_value(self):
        values = {
            "text": {"stringValue": "x"},
            "whole": {"intValue": "-9007199254740993"},
            "small": {"intValue": 3},
            "part": {"doubleValue": 0.5},
            "yes": {"boolValue": True},
            "raw": {"bytesValue": base64.b64encode(b"\0\1").decode()},
            "list": {"arrayValue": {"values": [{"stringValue": "a"}, {}]}},
            "map": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}},
            "none": {},
        }
        attributes = [{"key": name, "value": value} for name, value in values.items()]
        span = {"traceId": "A" * 32, "spanId": "b" * 16, "attributes": attributes}
        request = read_otlp({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
        (record,) = request.spans
        assert record.trace_id == "a" * 32
        assert record.attributes == {
            "text": "x",
            "whole": -9007199254740993,
            "small": 3,
            "part": 0.5,
            "yes": True,
            "raw": "AAE=",
            "list": ["a", None],
            "map": {"k": 1},
            "none": None,
        }

    @given(st.recursive(
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ))  # fmt: skip
    @profile(100)
    def test_json_is_read_as_protobufs_own_library_reads_it(self, value):
        """On what both read; docs/architecture.md says why it is not what reads it here."""
        record = SpanRecord("a" * 32, "b" * 16, "chat", attributes={"value": value})
        body = protobuf_of_spans([sendable(record)])
        told = as_json(body)
        again = json_format.ParseDict(in_base64(told), ExportTraceServiceRequest())
        assert read_otlp(told).spans == read_otlp(again.SerializeToString()).spans

    @pytest.mark.parametrize(
        "value",
        [
            {"stringValue": "\ud800"},
            {"intValue": str(2**70)},
            functools.reduce(
                lambda inner, _: {"arrayValue": {"values": [inner]}}, range(60), {"intValue": 1}
            ),
        ],
        ids=["surrogate", "digits", "depth"],
    )
    def test_what_protobufs_own_library_refuses_is_kept(self, value):
        attributes = [{"key": "k", "value": value}]
        spans = [{"traceId": "a" * 32, "spanId": "b" * 16, "attributes": attributes}]
        told = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
        with pytest.raises(json_format.ParseError):
            json_format.ParseDict(in_base64(told), ExportTraceServiceRequest())
        (record,) = read_otlp(told).spans
        assert record.attributes["k"]

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"{", "not JSON"),
            (b"\xff\xff\xff", "not an OTLP request"),
            ({"resourceSpans": {}}, "resourceSpans must be an array"),
            ({"resourceSpans": [7]}, r"resourceSpans\[0\]"),
            ({"resourceSpans": [{"scopeSpans": [{"spans": 7}]}]}, r"scopeSpans\[0\]: spans must"),
            ([], "the body is not an object"),
        ],
    )
    def test_what_is_no_request_is_refused(self, body, words):
        with pytest.raises(ValueError, match=words):
            read_otlp(body)

    def test_a_span_that_cannot_be_read_costs_only_itself(self, caplog):
        body = as_json(protobuf_of_spans(spans_of_run(example())))
        spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
        spans += [{"traceId": "7"}, 7, {**spans[0], "spanId": "0" * 16}]
        request = read_otlp(body)
        assert len(request.spans) == 2
        assert [text.partition(" ")[0] for text in request.rejected] == [
            "resourceSpans[0].scopeSpans[0].spans[2].traceId",
            "resourceSpans[0].scopeSpans[0].spans[3]",
            "resourceSpans[0].scopeSpans[0].spans[4].spanId",
        ]
        assert runs_of_otlp(body) == [example()]
        assert "3 OTLP spans cannot be read" in caplog.text

    @given(st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([
            "resourceSpans", "scopeSpans", "spans", "traceId", "attributes", "key", "value",
            "events", "links", "status", "arrayValue", "values", "intValue", "flags",
        ]), inner),
    ))  # fmt: skip
    @profile(200)
    def test_anything_is_read_or_refused(self, body):
        with contextlib.suppress(ValueError):
            read_otlp(body if isinstance(body, dict | str) else {"resourceSpans": body})

    @given(st.binary())
    @profile(200)
    def test_any_bytes_are_read_or_refused(self, body):
        with contextlib.suppress(ValueError):
            runs_of_otlp(body)


class TestReceiver:
    @pytest.fixture
    def store(self):
        return InMemoryTraceStore()

    @pytest.fixture
    def receiver(self, store):
        receiver = OtlpReceiver(store, max_wait=60, max_bytes=100_000)
        yield receiver
        receiver.close()

    @pytest.fixture
    def body(self):
        return protobuf_of_spans(spans_of_run(example()))

    @pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
    @pytest.mark.parametrize("kind", ["application/x-protobuf", "application/json; charset=utf-8"])
    def test_a_request_is_saved(self, kind, encoding, store, receiver, body):
        if "json" in kind:
            body = json.dumps(as_json(body)).encode()
        pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)
        reply = receiver.receive(pack(body), kind, encoding)
        assert (reply.status, reply.content_type) == (200, kind.partition(";")[0])
        assert reply.body == (b"{}" if "json" in kind else b"")
        assert store.load("run") == example()

    def test_a_run_may_come_in_many_requests(self, store, receiver):
        records = spans_of_run(example())
        for record in reversed(records):
            assert receiver.receive(protobuf_of_spans([record])).status == 200
        assert store.load("run") == example()

    def test_what_was_refused_is_said(self, receiver, body):
        request = ExportTraceServiceRequest.FromString(body)
        request.resource_spans[0].scope_spans[0].spans[0].span_id = b"short"
        reply = receiver.receive(request.SerializeToString())
        partial = ExportTraceServiceResponse.FromString(reply.body).partial_success
        assert (reply.status, partial.rejected_spans) == (200, 1)
        assert "spans[0] must have a trace_id" in partial.error_message
        said = {"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}
        reply = receiver.receive(json.dumps(said).encode(), "application/json")
        assert json.loads(reply.body)["partialSuccess"]["rejectedSpans"] == "1"

    @pytest.mark.parametrize(
        ("body", "kind", "encoding", "status"),
        [
            (b"{", "application/json", "", 400),
            (b"\xff\xff", "application/json", "", 400),
            (b"\xff\xff\xff", "application/x-protobuf", "", 400),
            (b"no gzip", "application/json", "gzip", 400),
            (gzip.compress(b"{}" * 9, mtime=0)[:-9], "application/json", "gzip", 400),
            (b"{}", "application/json", "br", 415),
            (b"{" + b" " * 100_000, "application/json", "", 413),
            (gzip.compress(b" " * 100_001, mtime=0), "application/json", "gzip", 413),
        ],
    )
    def test_what_is_no_request_is_refused(self, body, kind, encoding, status, receiver):
        reply = receiver.receive(body, kind, encoding)
        assert reply.status == status
        assert reply.body

    def test_a_store_that_fails_is_said(self, body):
        class Full(InMemoryTraceStore):
            def save(self, trace):
                raise OSError("no space left")

        receiver = OtlpReceiver(Full())
        assert receiver.receive(body).status == 503
        receiver.close()


@contextlib.contextmanager
def endpoint(*answers: tuple[int, bytes]):
    """The URL of a server that gives these answers, the last for ever; and the requests it got."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = answers[min(len(requests), len(answers) - 1)]
            requests.append((self.path, dict(self.headers), body))
            self.send_response(status)
            if status == 200:
                self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


OK = (200, b"")


class TestSending:
    def test_a_run(self):
        with endpoint(OK) as (url, requests):
            assert export_otlp(example(), url, headers={"x-key": "k"}) == 1
        ((path, headers, body),) = requests
        assert (path, headers["x-key"]) == ("/v1/traces", "k")
        assert runs_of_otlp(body) == [example()]

    @pytest.mark.slow
    def test_many_runs_in_few_requests(self):
        runs = [example(f"run {number}") for number in range(1000)]
        with endpoint(OK) as (url, requests):
            assert export_otlp(iter(runs), f"{url}/v1/traces") == 1000
        assert len(requests) == 4
        store = InMemoryTraceStore()
        receiver = OtlpReceiver(store)
        for _, _, body in requests:
            receiver.receive(body)
        receiver.close()
        assert store.load_many(run.run_id for run in runs) == {run.run_id: run for run in runs}

    async def test_from_an_async_store(self):
        async with AsyncInMemoryTraceStore() as store:
            await store.save_many([example("one"), example("two")])
            with endpoint(OK) as (url, requests):
                assert await aexport_otlp(store.iter_traces(oldest_first=True), url) == 2
                assert await aexport_otlp(example(), url) == 1
        assert [run.run_id for run in runs_of_otlp(requests[0][2])] == ["one", "two"]

    def test_the_environment_says_where(self, monkeypatch):
        with endpoint(OK) as (url, requests):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{url}/base/")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b, x-other=c")
            export_otlp(example())
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{url}/mine")
            export_otlp(example())
        assert [path for path, _, _ in requests] == ["/base/v1/traces", "/mine"]
        assert (requests[0][1]["x-key"], requests[0][1]["x-other"]) == ("a b", "c")

    def test_a_busy_endpoint_is_asked_again(self):
        with endpoint((503, b"busy"), (429, b"busy"), OK) as (url, requests):
            assert export_otlp(example(), url) == 1
        assert len(requests) == 3

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ((401, b"who are you"), "401 .*check the headers.*who are you"),
            ((404, b""), "404 .*/v1/traces"),
            ((503, b"down"), "503"),
            (
                (
                    200,
                    ExportTraceServiceResponse(
                        partial_success=ExportTracePartialSuccess(
                            rejected_spans=2, error_message="too old"
                        )
                    ).SerializeToString(),
                ),
                "2 spans rejected: too old",
            ),
        ],
    )
    def test_a_refusal_is_an_error_that_says_why(self, answer, words):
        with endpoint(answer) as (url, _), pytest.raises(OtlpExportError, match=words) as caught:
            export_otlp(example(), url, retries=0)
        assert caught.value.sent == 0
        assert caught.value.endpoint == f"{url}/v1/traces"

    def test_nobody_there(self):
        with pytest.raises(OtlpExportError, match="is it running"):
            export_otlp(example(), "http://127.0.0.1:9", retries=0)

    @pytest.mark.parametrize("url", ["localhost:4318", "", "ftp://x", "/v1/traces"])
    def test_what_is_no_url(self, url):
        with pytest.raises(ValueError, match="endpoint must be a URL"):
            export_otlp(example(), url)
