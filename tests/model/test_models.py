# ruff: noqa: FURB171
"""What is stored: runs, steps and step types, and the dictionaries they make."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re

import pytest
from hostile import as_json, profile, texts, total, values
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import (
    AgentTrace,
    InMemoryTraceStore,
    InvalidTraceError,
    SQLiteTraceStore,
    StepType,
    TraceStep,
)
from selectools_observe.model.json_values import deep_copy, loads

KNOWN_TYPES = [
    "llm_call",
    "tool_selection",
    "tool_execution",
    "cache_hit",
    "error",
    "structured_retry",
    "guardrail",
    "coherence_check",
    "output_screening",
    "session_load",
    "session_save",
    "memory_summarize",
    "entity_extraction",
    "kg_extraction",
    "budget_exceeded",
    "cancelled",
    "prompt_compressed",
    "graph_node_start",
    "graph_node_end",
    "graph_routing",
    "graph_checkpoint",
    "graph_interrupt",
    "graph_resume",
    "graph_parallel_start",
    "graph_parallel_end",
    "graph_stall",
    "graph_loop_detected",
]


class TestStepType:
    def test_has_the_known_types_and_no_others(self):
        assert [member.value for member in StepType] == KNOWN_TYPES

    @pytest.mark.parametrize("name", [*KNOWN_TYPES, "from_the_future", "", "a\x00b", "\ud800"])
    def test_equals_and_hashes_as_its_string(self, name):
        kind = StepType(name)
        assert kind == name
        assert hash(kind) == hash(name)
        assert {name: 1}[kind] == 1
        assert kind in {name}
        assert kind.value == name
        assert type(kind.value) is str

    @pytest.mark.parametrize("name", ["llm_call", "from_the_future", ""])
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_survives_pickle(self, name, protocol):
        again = pickle.loads(pickle.dumps(StepType(name), protocol))
        assert again == name
        assert type(again) is StepType

    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
    @pytest.mark.parametrize("name", ["llm_call", "from_the_future"])
    def test_survives_copying(self, name, copied):
        again = copied(StepType(name))
        assert type(again) is StepType
        assert again.value == name

    def test_a_known_type_is_one_object(self):
        assert StepType("llm_call") is StepType.LLM_CALL
        assert pickle.loads(pickle.dumps(StepType.LLM_CALL)) is StepType.LLM_CALL

    def test_an_unknown_type_does_not_join_the_known_ones(self):
        StepType("from_the_future")
        assert [member.value for member in StepType] == KNOWN_TYPES

    @pytest.mark.parametrize("wrong", [None, 1, 1.5, b"llm_call", ["llm_call"]])
    def test_refuses_what_is_no_string(self, wrong):
        with pytest.raises(ValueError, match="is not a valid StepType"):
            StepType(wrong)

    def test_is_json(self):
        assert json.dumps([StepType.ERROR, StepType("later")]) == '["error", "later"]'


class TestTraceStep:
    def test_leaves_out_what_is_not_set(self):
        step = TraceStep(type=StepType.ERROR, timestamp=5.0, error="it broke")
        assert step.to_dict() == {
            "type": "error",
            "timestamp": 5.0,
            "duration_ms": 0.0,
            "error": "it broke",
        }

    def test_keeps_what_is_empty_but_set(self):
        step = TraceStep(type="llm_call", timestamp=0, tool_args={}, tool_result="", children=[])
        assert step.to_dict() == {
            "type": "llm_call",
            "timestamp": 0,
            "duration_ms": 0.0,
            "tool_args": {},
            "tool_result": "",
            "children": [],
        }

    def test_takes_a_plain_string_as_type(self):
        step = TraceStep(type="llm_call")
        assert step.type == StepType.LLM_CALL
        trace = AgentTrace()
        trace.add(step)
        assert step.type is StepType.LLM_CALL

    @pytest.mark.parametrize("wrong", [None, 5, b"llm_call"])
    def test_a_type_that_is_no_string_is_refused_where_it_is_added(self, wrong):
        with pytest.raises(TypeError, match="type must be a string"):
            AgentTrace().add(TraceStep(type=wrong))

    def test_fields_and_defaults(self):
        step = TraceStep(type="llm_call")
        names = [
            "type",
            "timestamp",
            "duration_ms",
            "tool_name",
            "tool_args",
            "tool_result",
            "model",
            "prompt_tokens",
            "completion_tokens",
            "cost_usd",
            "reasoning",
            "error",
            "summary",
            "node_name",
            "step_number",
            "checkpoint_id",
            "interrupt_key",
            "from_node",
            "to_node",
            "children",
        ]
        assert list(step.__struct_fields__)[: len(names)] == names
        assert step.duration_ms == 0.0
        assert step.timestamp > 1.6e9
        assert all(getattr(step, name) is None for name in names[3:])

    def test_keeps_unknown_fields(self):
        data = {"type": "later", "timestamp": 1.0, "duration_ms": 2.0, "a": [1], "b": None}
        step = TraceStep.from_dict(data)
        assert step.extra == {"a": [1], "b": None}
        assert step.to_dict() == data

    def test_a_dictionary_is_a_copy_at_any_depth(self):
        step = TraceStep(type="llm_call", tool_args={"a": {"b": [1]}}, extra={"c": [1]})
        given_out = step.to_dict()
        given_out["tool_args"]["a"]["b"].append(2)
        given_out["c"].append(2)
        assert step.tool_args == {"a": {"b": [1]}}
        assert step.extra == {"c": [1]}


def cyclic():
    value = {}
    value["itself"] = value
    return value


class TestAgentTrace:
    def test_defaults(self):
        one, other = AgentTrace(), AgentTrace()
        assert one.steps == []
        assert one.metadata == {}
        assert one.parent_run_id is None
        assert one.run_id
        assert one.run_id != other.run_id
        assert one.steps is not other.steps
        assert one.metadata is not other.metadata

    def test_is_true_without_steps(self):
        assert AgentTrace()
        assert len(AgentTrace()) == 0

    def test_length_and_iteration(self):
        trace = AgentTrace()
        kinds = ["llm_call", "tool_execution", "later"]
        for kind in kinds:
            trace.add(TraceStep(type=kind))
        assert len(trace) == 3
        assert [step.type.value for step in trace] == kinds

    def test_filter_by_type(self):
        trace = AgentTrace(steps=[TraceStep(type=kind) for kind in ("error", "later", "error")])
        assert trace.filter() == trace.steps
        assert len(trace.filter(type="error")) == 2
        assert len(trace.filter(type=StepType.ERROR)) == 2
        assert len(trace.filter(type="later")) == 1
        assert trace.filter(type="llm_call") == []

    def test_durations(self):
        trace = AgentTrace()
        for kind, ms in (("llm_call", 10), ("tool_execution", 2.5), ("cache_hit", 1)):
            trace.add(TraceStep(type=kind, duration_ms=ms))
        assert trace.total_duration_ms == 13.5
        assert trace.llm_duration_ms == 10
        assert trace.tool_duration_ms == 2.5

    @given(st.lists(st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=2))))
    @profile(200)
    def test_a_duration_that_is_no_finite_number_counts_as_0(self, durations):
        trace = AgentTrace(steps=[TraceStep(type="llm_call", duration_ms=d) for d in durations])
        assert trace.total_duration_ms == total(durations)
        assert trace.llm_duration_ms == total(durations)

    def test_timeline(self):
        trace = AgentTrace(
            steps=[
                TraceStep(type="llm_call", duration_ms=1234.56, summary="thinks"),
                TraceStep(type="tool_execution", duration_ms=5, summary="a\nsearch"),
                TraceStep(type="from_the_future", duration_ms=math.nan),
            ]
        )
        first, second, third, last = trace.timeline().splitlines()
        assert "1." in first
        assert "llm_call" in first
        assert "1234.6" in first
        assert "thinks" in first
        assert "search" in second
        assert "from_the_future" in third
        assert "0.0" in third
        assert "1239.6" in last
        assert "1234.6" in last
        assert "5.0" in last

    def test_timeline_of_nothing(self):
        assert "0.0" in AgentTrace().timeline()

    def test_timeline_of_plain_strings_and_wrong_values(self):
        steps = [
            TraceStep(type="llm_call", duration_ms="soon", summary=5),
            TraceStep(type="\ud800", duration_ms=None),
        ]
        assert len(AgentTrace(steps=steps).timeline().splitlines()) == 3

    def test_a_run_as_json_is_whole(self, tmp_path):
        """What a store keeps once, since a run says it again and again, is written out."""
        asked = [{"role": "user", "content": "Where is my order? " * 40}]
        steps = [TraceStep(type="llm_call", timestamp=1.0, input=asked) for _ in range(3)]
        trace = AgentTrace(steps=steps, run_id="r", metadata={"long": 10**5000, "of": {1, 2}})
        trace.to_json(tmp_path / "run.json")
        text = (tmp_path / "run.json").read_text()
        written = loads(text.encode())
        assert written == {**trace.to_dict(), "metadata": {"long": 10**5000, "of": [1, 2]}}
        assert text.splitlines()[1].startswith('  "run_id"')

    @pytest.mark.parametrize(
        "trace",
        [
            AgentTrace(steps=["no step"]),
            AgentTrace(extra={"run_id": "another"}),
            AgentTrace(steps=[TraceStep(type="x", extra={"model": "another"})]),
            AgentTrace(metadata=cyclic()),
        ],
    )
    def test_a_run_that_has_no_json(self, trace, tmp_path):
        with pytest.raises(InvalidTraceError):
            trace.to_json(tmp_path / "run.json")
        assert not (tmp_path / "run.json").exists()

    def test_to_dict(self):
        trace = AgentTrace(start_time=1.0, run_id="r")
        assert trace.to_dict() == {
            "run_id": "r",
            "start_time": 1.0,
            "total_duration_ms": 0,
            "step_count": 0,
            "steps": [],
        }
        trace.parent_run_id = "p"
        trace.metadata = {"a": {"b": 1}}
        data = trace.to_dict()
        assert data["parent_run_id"] == "p"
        data["metadata"]["a"]["b"] = 2
        assert trace.metadata == {"a": {"b": 1}}

    def test_keeps_unknown_fields(self):
        data = AgentTrace(run_id="r").to_dict() | {"version": 2, "tags": ["a"]}
        trace = AgentTrace.from_dict(data)
        assert (trace.extra, trace.tags) == ({"version": 2}, ["a"])
        assert trace.to_dict() == data

    def test_from_dict_of_little(self):
        trace = AgentTrace.from_dict({})
        assert trace.run_id
        assert trace.steps == []
        assert AgentTrace.from_dict({"steps": None, "metadata": None}).metadata == {}
        assert AgentTrace.from_dict({"steps": [{}]}).steps[0].type is StepType.ERROR

    @pytest.mark.parametrize("steps", [5, "ab", {"a": 1}, [5], [[]], ["llm_call"]])
    def test_from_dict_of_other_shapes(self, steps):
        with pytest.raises(TypeError, match="steps must be a list of objects"):
            AgentTrace.from_dict({"steps": steps})

    @pytest.mark.parametrize("kind", [5, None, ["llm_call"]])
    def test_from_dict_of_a_type_that_is_no_string(self, kind):
        with pytest.raises(TypeError, match="type must be a string"):
            AgentTrace.from_dict({"steps": [{"type": kind}]})

    def test_survives_pickle_and_copy(self):
        trace = AgentTrace(steps=[TraceStep(type="later", extra={"a": 1})], metadata={"b": [1]})
        for again in (pickle.loads(pickle.dumps(trace)), copy.deepcopy(trace), copy.copy(trace)):
            assert again == trace
            assert again.to_dict() == trace.to_dict()


plain = values.map(as_json)
_fields = st.fixed_dictionaries(
    {"type": st.sampled_from(["llm_call", "later", ""]), "timestamp": st.floats(0, 1e9)},
    optional={
        "duration_ms": st.floats(0, 1e5),
        "tool_name": texts,
        "tool_args": st.dictionaries(texts, plain, max_size=3),
        "reasoning": texts,
        "prompt_tokens": st.integers(),
        "something_new": plain,
    },
)
_runs = st.fixed_dictionaries(
    {"run_id": texts, "start_time": st.floats(0, 1e9), "steps": st.lists(_fields, max_size=3)},
    optional={
        "parent_run_id": texts,
        "metadata": st.dictionaries(texts, plain, min_size=1, max_size=3),
        "something_new": plain,
    },
)


@given(_runs)
@profile(200)
def test_what_came_from_a_dictionary_goes_back_to_it(data):
    trace = AgentTrace.from_dict(data)
    again = trace.to_dict()
    expected = copy.deepcopy(data)
    for step in expected["steps"]:
        step.setdefault("duration_ms", 0.0)
    expected["step_count"] = len(data["steps"])
    expected["total_duration_ms"] = total(step["duration_ms"] for step in expected["steps"])
    assert again == expected
    assert AgentTrace.from_dict(again) == trace
    assert AgentTrace.from_dict(again).to_dict() == again


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("selectools.trace", reason="selectools is not installed")


def _steady(span):
    """A span without the ids that are drawn anew each time."""
    return {
        name: value for name, value in span.items() if name not in {"span_id", "parent_span_id"}
    }


class TestBesideSelectools:
    """Our dictionaries are those of selectools 1.3.0, both ways."""

    def test_same_types(self, theirs):
        assert [member.value for member in StepType] == [m.value for m in theirs.StepType]

    def test_same_fields_in_the_same_order(self, theirs):
        import dataclasses

        names = [field.name for field in dataclasses.fields(theirs.TraceStep)]
        assert list(TraceStep.__struct_fields__)[: len(names)] == names
        names = [field.name for field in dataclasses.fields(theirs.AgentTrace)]
        assert list(AgentTrace.__struct_fields__)[: len(names)] == names

    @given(data=_runs)
    @profile(200)
    def test_same_dictionaries(self, theirs, data):
        for step in data["steps"]:
            step["type"] = "guardrail"
            step.pop("something_new", None)
        data.pop("something_new", None)
        if data.get("parent_run_id") == "":
            del data["parent_run_id"]  # they take an empty one for none
        their_trace = theirs.AgentTrace.from_dict(data)
        our_trace = AgentTrace.from_dict(data)
        their_data = their_trace.to_dict()
        assert json.dumps(our_trace.to_dict()) == json.dumps(their_data)
        assert json.dumps(AgentTrace.from_dict(their_data).to_dict()) == json.dumps(their_data)
        again = theirs.AgentTrace.from_dict(our_trace.to_dict())
        assert json.dumps(again.to_dict()) == json.dumps(their_data)

    def test_same_behaviour(self, theirs, tmp_path):
        def build(module):
            trace = module.AgentTrace(
                run_id="r", start_time=1.0, parent_run_id="p", metadata={"a": [1]}
            )
            for kind in module.StepType:
                trace.add(module.TraceStep(type=kind, timestamp=2.0, duration_ms=2.5))
                told = {"summary": "s" * 300, "error": "e" * 600, "model": "m", "tool_name": "t"}
                counted = {"prompt_tokens": 3, "completion_tokens": 0}
                trace.add(
                    module.TraceStep(type=kind, timestamp=3.5, duration_ms=1e5, **told, **counted)
                )
            return trace

        import selectools_observe

        our, their = build(selectools_observe), build(theirs)
        assert our.to_dict() == their.to_dict()
        assert len(our) == len(their)
        for name in ("total_duration_ms", "llm_duration_ms", "tool_duration_ms"):
            assert getattr(our, name) == getattr(their, name)
        assert len(our.filter(type="error")) == len(their.filter(type=theirs.StepType.ERROR))
        assert our.timeline() == their.timeline()
        assert [_steady(s) for s in our.to_otel_spans()] == [
            _steady(s) for s in their.to_otel_spans()
        ]
        our.to_json(tmp_path / "our.json")
        their.to_json(tmp_path / "their.json")
        assert json.loads((tmp_path / "our.json").read_text()) == json.loads(
            (tmp_path / "their.json").read_text()
        )


@pytest.mark.parametrize(
    "extra", [1, 0, "x", "", [], ["ab"], ("a",), object()], ids=lambda each: type(each).__name__
)
@pytest.mark.parametrize("is_of_a_step", [False, True])
@pytest.mark.parametrize("make", [InMemoryTraceStore, None])
def test_extra_that_is_no_dictionary(extra, is_of_a_step, make, tmp_path):
    step = TraceStep(type=StepType.ERROR)
    run = AgentTrace(steps=[TraceStep(type=StepType.ERROR), step])
    (step if is_of_a_step else run).extra = extra
    place = "steps[1].extra" if is_of_a_step else "extra"
    said = f"{re.escape(place)} must be a dict, not {type(extra).__name__}"
    with make() if make else SQLiteTraceStore(tmp_path / "t.db") as store:
        for save in (store.save, lambda trace: store.save_many([trace])):
            with pytest.raises(InvalidTraceError, match=said):
                save(run)
        assert store.count() == 0
    with pytest.raises(InvalidTraceError, match=said):
        run.to_json(tmp_path / "r.json")
    if extra:
        with pytest.raises(InvalidTraceError, match=said):
            run.to_dict()


def nested(levels: int, kind=list):
    value = kind()
    for _ in range(levels):
        value = {"a": value} if kind is dict else [value]
    return value


def levels_of(value) -> int:
    count = 0
    while value:
        (value,) = value.values() if isinstance(value, dict) else value
        count += 1
    return count


@pytest.mark.parametrize("kind", [list, dict])
def test_a_run_nested_without_end_has_its_forms(kind):
    deep = nested(3000, kind)
    step = TraceStep(type=StepType.ERROR, tool_args={"a": deep}, extra={"b": deep})
    run = AgentTrace(steps=[step], metadata={"c": deep, "d": {"e": 1}})
    said = run.to_dict()
    places = said["metadata"]["c"], said["steps"][0]["tool_args"]["a"], said["steps"][0]["b"]
    assert [levels_of(each) for each in places] == [3000] * 3
    assert places[0] is not deep
    first, *_ = run.to_otel_spans()
    assert first["attributes"]["selectools.metadata.c"] == "..."
    assert first["attributes"]["selectools.metadata.d"] == "{'e': 1}"


def test_what_is_nested_too_deeply_to_be_copied_is_named():
    value = []
    for _ in range(3000):
        value = (value,)
    run = AgentTrace(steps=[TraceStep(type=StepType.ERROR, tool_args={"a": value})])
    with pytest.raises(InvalidTraceError, match=r"steps\[0\]\.tool_args is nested too deeply"):
        run.to_dict()


def test_a_deep_copy_has_what_stands_twice_once():
    shared = [1, nested(3000)]
    value = [shared, {"again": shared}]
    value.append(value)
    copied = deep_copy(value)
    assert copied[0] is copied[1]["again"]
    assert copied[0] is not shared
    assert copied[2] is copied
    assert levels_of(copied[0][1]) == 3000
