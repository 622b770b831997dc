"""A run sent as spans and read again is the run, whatever it holds."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("opentelemetry.proto", reason="opentelemetry-proto is not installed")

from hostile import profile, traces
from hypothesis import given

from selectools_observe import AgentTrace, JSONLTraceStore, TraceStep
from selectools_observe.integrations.opentelemetry import read_otlp, runs_of_otlp
from selectools_observe.integrations.opentelemetry.otlp_proto import protobuf_of_spans
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run
from selectools_observe.model.codec import decode, encode


def sent_and_read(trace) -> AgentTrace:
    (run,) = runs_of_otlp(protobuf_of_spans(spans_of_run(trace)))
    return run


def as_json(run: AgentTrace) -> object:
    """All of a run but its order of keys, type for type."""
    return json.dumps(run.to_dict(), sort_keys=True)


@given(traces())
@profile(300)
def test_any_run_comes_back(trace):
    stored = decode(encode(trace).trace)
    assert as_json(sent_and_read(trace)) == as_json(stored)


@given(traces())
@profile(50)
def test_ids_are_the_same_each_time(trace):
    assert spans_of_run(trace) == spans_of_run(decode(encode(trace).trace))


@pytest.mark.slow
def test_real_runs_come_back(airline_jsonl):
    with JSONLTraceStore(airline_jsonl) as store:
        runs = list(store.iter_traces())
    assert len(runs) == 200
    for run in runs:
        assert sent_and_read(run) == run


def test_a_run_that_came_as_spans_comes_back():
    run = sent_and_read(AgentTrace(steps=[TraceStep("llm_call", model="m")]))
    bare = spans_of_run(run)
    for record in bare:
        record.attributes.pop("selectools_observe.mark")
    (as_spans,) = runs_of_otlp(protobuf_of_spans(bare))
    assert as_spans.extra is not None
    assert sent_and_read(as_spans) == as_spans


def test_two_runs_in_one_request_stay_two():
    runs = [AgentTrace(run_id=name, steps=[TraceStep("llm_call")]) for name in ("one", "two")]
    body = protobuf_of_spans(span for run in runs for span in spans_of_run(run))
    assert [run.run_id for run in runs_of_otlp(body)] == ["one", "two"]
    assert read_otlp(body).rejected == []


def test_a_child_is_linked_to_its_parents_root():
    parent = AgentTrace(run_id="parent")
    child = AgentTrace(run_id="child", parent_run_id="parent")
    (root,) = spans_of_run(parent)
    (link,) = spans_of_run(child)[0].links
    assert (link.trace_id, link.span_id) == (root.trace_id, root.span_id)
