"""Annotations out as evaluation events of OpenTelemetry, and such events in as annotations."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from span_records import MODEL, TRACE, ident, root, span

from selectools_observe import (
    AgentTrace,
    Annotation,
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceStep,
)
from selectools_observe.integrations.opentelemetry import (
    OtlpReceiver,
    otlp_of_runs,
    read_otlp,
    runs_of_otlp,
)
from selectools_observe.integrations.opentelemetry.otlp_proto import protobuf_of_spans
from selectools_observe.integrations.opentelemetry.spans import SpanEvent
from selectools_observe.interchange import read_saved_runs, saved_runs

JSON = "application/json"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite", "jsonl"])
def store(request, tmp_path):
    stores = {
        "memory": InMemoryTraceStore,
        "sqlite": lambda: SQLiteTraceStore(tmp_path / "x.db", durability="normal"),
        "jsonl": lambda: JSONLTraceStore(tmp_path / "x.jsonl"),
    }
    with stores[request.param]() as store:
        yield store


@pytest.fixture
def receiver(store):
    receiver = OtlpReceiver(store, max_wait=60, journal=False)
    yield receiver
    receiver.close()


def evaluation(name="quality", *, span_name="m", value=0.25, **options):
    """A log record as the conventions have it."""
    attributes = {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": value}
    attributes |= options.pop("attributes", {})
    kinds = {float: "doubleValue", int: "intValue", str: "stringValue"}
    return {
        "timeUnixNano": "1772366400000000000",
        "traceId": TRACE,
        "spanId": ident(span_name) if span_name else "",
        "eventName": "gen_ai.evaluation.result",
        "attributes": [
            {"key": key, "value": {kinds[type(given)]: given}}
            for key, given in attributes.items()
            if given is not None
        ],
    } | options


def logs(*records):
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}).encode()


def spans_request():
    return protobuf_of_spans([root(), span("m", 1, 2, MODEL)])


def test_the_event_has_the_words_of_the_conventions():
    run = AgentTrace([TraceStep("llm_call", model="m"), TraceStep("tool_execution")], run_id="r")
    with InMemoryTraceStore() as store:
        store.save(run)
        store.annotate("r", "quality", label="bad", score=0, note="gave up", author="ada", step=1)
        store.annotate("r", "tone", label="curt", source="llm")
        spans = read_otlp(otlp_of_runs(saved_runs(store))).spans
    told = {record.name: list(record.events) for record in spans}
    (event,) = told["execute_tool"]
    assert event.name == "gen_ai.evaluation.result"
    said = {name: told for name, told in event.attributes.items() if name.startswith("gen_ai.")}
    assert said == {
        "gen_ai.evaluation.name": "quality",
        "gen_ai.evaluation.score.value": 0.0,
        "gen_ai.evaluation.score.label": "bad",
        "gen_ai.evaluation.explanation": "gave up",
    }
    (of_run,) = told["run"]
    assert of_run.attributes["gen_ai.evaluation.name"] == "tone"
    assert told["chat m"] == []


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
SAID = st.fixed_dictionaries(
    {"name": WORDS.filter(lambda word: len(word) <= 200), "score": st.floats(-1e300, 1e300)},
    optional={
        "label": WORDS,
        "note": st.text(),
        "step": st.integers(0, 3),
        "author": WORDS,
        "source": st.sampled_from(["human", "code", "llm"]),
    },
)


@profile(60)
@given(said=st.lists(SAID, max_size=4))
def test_every_annotation_comes_back_exactly(said):
    steps = [TraceStep("llm_call", model="m"), TraceStep("tool_execution", tool_name="t")]
    with InMemoryTraceStore() as store, InMemoryTraceStore() as other:
        store.save(AgentTrace(steps, 5.0, "run"))
        store.annotate_many([Annotation("run", **one) for one in said])
        receiver = OtlpReceiver(other)
        for _ in range(2):  # taken twice, kept once
            reply = receiver.receive(otlp_of_runs(saved_runs(store)))
            assert reply.status == 200
        receiver.close()
        assert other.annotations("run") == store.annotations("run")
        assert other.load("run") == store.load("run")
        assert other.list()[0].created_at == store.list()[0].created_at


def test_runs_that_came_as_spans_keep_what_was_said(store, receiver):
    assert receiver.receive(spans_request()).status == 200
    store.annotate(TRACE, "quality", score=1, step=0, author="ada")
    with InMemoryTraceStore() as other:
        again = OtlpReceiver(other)
        again.receive(otlp_of_runs(saved_runs(store)))
        again.close()
        assert other.load(TRACE) == store.load(TRACE)
        assert other.annotations(TRACE) == store.annotations(TRACE)
    assert [run.run_id for run in runs_of_otlp(otlp_of_runs(saved_runs(store)))] == [TRACE]


@pytest.mark.parametrize("first", ["spans", "logs"])
def test_a_log_becomes_an_annotation_whichever_comes_first(store, receiver, first):
    requests = {"spans": (spans_request(), "traces"), "logs": (logs(evaluation()), "logs")}
    for name in sorted(requests, reverse=first == "spans"):
        body, signal = requests[name]
        kind = JSON if signal == "logs" else "application/x-protobuf"
        assert receiver.receive(body, kind, signal=signal).status == 200
    (one,) = store.annotations(TRACE)
    assert (one.name, one.score, one.step, one.source) == ("quality", 0.25, 0, "code")
    assert one.created_at == datetime.fromtimestamp(1772366400, UTC)
    assert len(store.load(TRACE).steps) == 1
    assert "evaluation" not in json.dumps(store.load(TRACE).to_dict())


def test_an_evaluation_does_not_change_the_run_or_the_order(store, receiver):
    receiver.receive(spans_request())
    store.save(AgentTrace(run_id="newer"))
    before = store.load(TRACE)
    for _ in range(2):
        receiver.receive(
            logs(evaluation(), evaluation("tone", span_name="root")), JSON, signal="logs"
        )
    receiver.receive(logs(evaluation("whole", span_name="", value="0.5")), JSON, signal="logs")
    assert store.load(TRACE) == before
    assert [summary.run_id for summary in store.list()] == ["newer", TRACE]
    said = {one.name: (one.score, one.step) for one in store.annotations(TRACE)}
    assert said == {"quality": (0.25, 0), "tone": (0.25, None), "whole": (0.5, None)}


def test_a_later_process_finds_the_run(store):
    first = OtlpReceiver(store, journal=False)
    first.receive(spans_request())
    first.close()
    later = OtlpReceiver(store, journal=False)
    later.receive(logs(evaluation()), JSON, signal="logs")
    later.close()
    assert [one.name for one in store.annotations(TRACE)] == ["quality"]


def test_evaluations_of_no_run_make_none(store, receiver):
    assert receiver.receive(logs(evaluation()), JSON, signal="logs").status == 200
    receiver.flush()
    receiver.close()
    assert store.list() == []
    assert receiver.unused["spans"] == 1


def test_an_event_of_a_span_is_read_and_stays(store, receiver):
    said = {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.label": "good", "x": 1}
    event = SpanEvent("gen_ai.evaluation.result", 10**18, said)
    records = [root(), span("m", 1, 2, MODEL)]
    records[1].events.append(event)
    receiver.receive(protobuf_of_spans(records))
    (one,) = store.annotations(TRACE)
    assert (one.name, one.label, one.score, one.step) == ("quality", "good", None, 0)
    sent = read_otlp(otlp_of_runs(saved_runs(store))).spans
    assert [event for record in sent for event in record.events] == [event]
    with InMemoryTraceStore() as other:
        again = OtlpReceiver(other)
        again.receive(otlp_of_runs(saved_runs(store)))
        again.close()
        assert other.annotations(TRACE) == [one]


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.evaluation.name": None},
        {"gen_ai.evaluation.score.value": None},
        {"gen_ai.evaluation.score.value": "much"},
        {"gen_ai.evaluation.name": "x" * 201},
        {"selectools_observe.annotation": "[1]"},
        {"selectools_observe.annotation": '{"step": -1}'},
        {"selectools_observe.annotation": "{" * 5000},
    ],
)
def test_what_says_nothing_is_logged_and_left_out(store, receiver, caplog, attributes):
    receiver.receive(spans_request())
    body = logs(evaluation(attributes=attributes), evaluation("tone"))
    assert receiver.receive(body, JSON, signal="logs").status == 200
    assert [one.name for one in store.annotations(TRACE)] == ["tone"]
    assert "an evaluation of span" in caplog.text


def test_many_that_say_nothing_are_one_line_of_the_log(store, receiver, caplog):
    """9,000 of a request were 9,000 lines."""
    receiver.receive(spans_request())
    nothing = {"gen_ai.evaluation.name": None}
    body = logs(*(evaluation(str(n), attributes=nothing) for n in range(90)), evaluation("tone"))
    assert receiver.receive(body, JSON, signal="logs").status == 200
    assert [one.name for one in store.annotations(TRACE)] == ["tone"]
    assert len(caplog.records) == 1
    assert "90 evaluations cannot be read, the first" in caplog.text


def test_a_file_of_requests_is_imported_with_its_evaluations(tmp_path):
    chat = {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}
    one = {"traceId": TRACE, "spanId": ident("m"), "name": "chat", "attributes": [chat]}
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}
    path = tmp_path / "out.jsonl"
    path.write_bytes(logs(evaluation()) + b"\n" + json.dumps(spans).encode())
    for _ in range(2):
        (run,) = read_saved_runs(path)
        (one,) = run.annotations
        assert (one.run_id, one.name, one.step) == (run.trace.run_id, "quality", 0)
        assert one.id.startswith("otel-")


def test_times_of_saving_survive_several_requests(store):
    moments = [NOW - timedelta(days=day, microseconds=day) for day in range(3)]
    with InMemoryTraceStore() as source:
        runs = [AgentTrace([TraceStep("llm_call")] * 3, 5.0, f"run-{n}") for n in range(3)]
        source.save_many(runs, created_at=moments)
        receiver = OtlpReceiver(store, journal=False)
        for run in saved_runs(source):
            for record in read_otlp(otlp_of_runs(run)).spans:
                assert receiver.receive(protobuf_of_spans([record])).status == 200
        receiver.close()
        assert [(s.run_id, s.created_at) for s in store.list()] == [
            (s.run_id, s.created_at) for s in source.list()
        ]
