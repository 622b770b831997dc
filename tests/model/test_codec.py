# ruff: noqa: PT017, RUF043
"""A trace to JSON and back: whatever it holds, and whoever wrote it."""

from __future__ import annotations

import copy
import json
import math
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest
from hostile import (
    as_stored,
    equal,
    facts_as_stored,
    nested,
    profile,
    traces,
    usage_as_stored,
    values,
)
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, InvalidTraceError, StepType, TraceStep
from selectools_observe.model.codec import decode, decode_step, encode, encode_step, encoded_of
from selectools_observe.model.facets import facts_of
from selectools_observe.model.json_values import dumps_slowly, loads_slowly
from selectools_observe.model.trace import total_ms, uncopied
from selectools_observe.testing.samples import full_trace, various_traces


def example_trace(**changes) -> AgentTrace:
    step = TraceStep(type="llm_call", timestamp=1.0, duration_ms=2.0, model="m", prompt_tokens=5)
    options = {"steps": [step], "start_time": 1.0, "run_id": "r", "metadata": {"a": 1}, **changes}
    return AgentTrace(**options)


def told(encoded):
    """All but what a store may look for in the JSON instead."""
    return msgspec.structs.replace(encoded, shows_words=False)


@given(traces())
@profile(200)
def test_what_is_told_of_a_stored_trace_is_what_was_told_when_it_was_saved(trace):
    encoded = encode(trace)
    assert told(encoded_of(encoded.trace)) == told(encode(decode(encoded.trace)))


@pytest.mark.parametrize("repeated", [1, 3])
def test_json_that_we_wrote_stays_as_it_is(repeated):
    asked = [{"role": "user", "content": "where is my order? " * 40}]
    steps = [TraceStep("llm_call", input=asked) for _ in range(repeated)]
    for trace in [example_trace(steps=steps), full_trace(), *various_traces(50)]:
        encoded = encode(trace)
        assert encoded_of(encoded.trace).trace is encoded.trace
        assert told(encoded_of(encoded.trace)) == told(encoded)


@pytest.mark.parametrize(
    "change",
    [
        json.dumps,
        lambda fields: json.dumps(fields, indent=1),
        lambda fields: json.dumps({**fields, "start_time": math.inf}, separators=(",", ":")),
        lambda fields: json.dumps({**fields, "new": 1}, separators=(",", ":")),
        lambda fields: json.dumps(fields, separators=(",", ":")).replace("[", "[\n"),
    ],
    ids=["spaces", "lines", "no JSON number", "unknown field", "a line break"],
)
def test_json_of_another_program_is_written_as_ours(change):
    stored = change(json.loads(encode(example_trace()).trace)).encode()
    assert encoded_of(stored) == encode(decode(stored))


def test_what_is_no_trace_is_refused():
    for stored in (b"", b"[]", b'{"run_id":"r","steps":[1]}'):
        with pytest.raises(ValueError, match=r"."):
            encoded_of(stored)


@given(traces())
@profile(500)
def test_a_trace_comes_back_as_the_contract_says(trace):
    expected = as_stored(trace)
    encoded = encode(trace)
    again = decode(encoded.trace)
    assert equal(again.to_dict(), expected)
    assert equal(AgentTrace.from_dict(json.loads(encoded.trace)).to_dict(), expected)
    assert equal(json.loads(encoded.metadata), expected.get("metadata", {}))
    assert (encoded.run_id, encoded.steps) == (trace.run_id, len(trace.steps))
    assert encoded.total_ms == float(expected["total_duration_ms"])


@given(traces())
@profile(300)
def test_a_loaded_trace_is_stable(trace):
    encoded = encode(trace)
    again = encode(decode(encoded.trace))
    assert again.facts == encoded.facts
    assert again.total_ms == encoded.total_ms
    assert decode(again.trace).to_dict() == decode(encoded.trace).to_dict()


@pytest.mark.slow
@given(traces())
@profile(300)
def test_facts_are_those_of_what_is_stored(trace):
    encoded = encode(trace)
    assert encoded.facts == facts_as_stored(trace)
    assert facts_of(decode(encoded.trace)) == encoded.facts


@given(traces())
@profile(300)
def test_usage_is_that_of_what_is_stored(trace):
    usage = encode(trace).usage
    prompt, completion, cost = usage_as_stored(trace)
    found = (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd)
    assert found == (prompt, completion, cost or 0.0)


@given(traces())
@profile(300)
def test_fast_and_slow_ways_agree(trace):
    fast = encode(trace)
    steps = list(trace.steps)
    slow = dumps_slowly(uncopied(trace, trace.run_id, steps, total_ms(steps)))
    assert equal(loads_slowly(fast.trace), loads_slowly(slow))
    read_slowly = AgentTrace.from_dict(loads_slowly(fast.trace))
    assert decode(fast.trace) == read_slowly


@given(traces())
@profile(200)
def test_encoding_leaves_the_trace_as_it_was(trace):
    before = [copy.copy(step) for step in trace.steps]
    metadata = dict(trace.metadata)
    encode(trace)
    assert list(map(id, trace.metadata.values())) == list(map(id, metadata.values()))
    for step, old in zip(trace.steps, before, strict=True):
        for name in step.__struct_fields__[1:]:
            assert getattr(step, name) is getattr(old, name)
        assert isinstance(step.type, StepType)
        assert step.type == old.type


_MISFITS = {
    "type": "llm_call",
    "timestamp": "noon",
    "duration_ms": "soon",
    "tool_args": [1, 2],
    "tool_result": {"a": 1},
    "prompt_tokens": 1.5,
    "cost_usd": "free",
    "error": 5,
    "children": {"a": 1},
}


@pytest.mark.parametrize("name", sorted(set(_MISFITS) - {"type"}))
def test_values_of_unexpected_types_are_kept(name):
    trace = example_trace(steps=[TraceStep(type="llm_call", timestamp=1.0)])
    setattr(trace.steps[0], name, _MISFITS[name])
    again = decode(encode(trace).trace)
    assert getattr(again.steps[0], name) == _MISFITS[name]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("error", math.nan),
        ("tool_name", math.nan),
        ("tool_name", "\ud83d\ude00"),
        ("model", Decimal("1.5")),
        ("model", b"m"),
        ("tool_name", StepType.ERROR),
        ("tool_name", ["a"]),
        ("error", ""),
        ("duration_ms", Decimal("1.5")),
        ("duration_ms", True),
        ("duration_ms", "5"),
        ("duration_ms", 10**400),
        ("duration_ms", None),
    ],
)
def test_facts_and_totals_of_unexpected_types(field, value):
    trace = example_trace()
    setattr(trace.steps[0], field, value)
    encoded = encode(trace)
    again = decode(encoded.trace)
    assert facts_of(again) == encoded.facts
    assert float(again.total_duration_ms) == encoded.total_ms
    assert json.loads(encoded.trace)["total_duration_ms"] == encoded.total_ms


@pytest.mark.parametrize("name", ["timestamp", "duration_ms"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_time_that_json_cannot_say_reads_the_same_each_time(name, value):
    trace = example_trace()
    setattr(trace.steps[0], name, value)
    data = encode(trace).trace
    assert decode(data).to_dict() == decode(data).to_dict()


@pytest.mark.parametrize("value", [math.nan, None, 10**400, "noon"])
def test_any_start_time_can_be_saved(value):
    data = encode(example_trace(start_time=value)).trace
    assert decode(data).to_dict() == decode(data).to_dict()


class TestUnknown:
    def test_step_types_survive(self):
        trace = example_trace(steps=[TraceStep(type="from_the_future", timestamp=1.0)])
        again = decode(encode(trace).trace)
        assert again.steps[0].type == "from_the_future"
        assert again.steps[0].type.value == "from_the_future"
        assert isinstance(again.steps[0].type, StepType)

    @given(extra=st.dictionaries(st.sampled_from(["new", "a.b", ""]), values, min_size=1))
    @profile(50)
    def test_fields_survive(self, extra):
        trace = example_trace(extra=extra)
        trace.steps[0].extra = extra
        again = decode(encode(trace).trace)
        assert equal(again.to_dict(), as_stored(trace))
        assert again.extra.keys() == extra.keys()
        assert again.steps[0].extra.keys() == extra.keys()

    @given(extra=st.dictionaries(st.sampled_from(["new", "a.b", "", 5, "é"]), values, min_size=1))
    @profile(50)
    def test_fields_are_written_as_the_slow_way_writes_them(self, extra):
        trace = example_trace(extra=extra)
        trace.steps[0].extra = extra
        slowly = dumps_slowly(uncopied(trace, trace.run_id, trace.steps, total_ms(trace.steps)))
        assert equal(loads_slowly(encode(trace).trace), loads_slowly(slowly))

    def test_a_step_alone_is_written_as_in_a_trace(self):
        trace = example_trace()
        trace.steps[0].extra = {"new": {1, 2}}
        trace.add(TraceStep("llm_call", 1.0, reasoning="\ud800", prompt_tokens=10**30))
        for step, written in zip(trace, loads_slowly(encode(trace).trace)["steps"], strict=True):
            assert loads_slowly(encode_step(step)) == written
            assert decode_step(encode_step(step)).to_dict() == written

    def test_extra_does_not_stand_in_for_a_known_field(self):
        trace = example_trace(extra={"run_id": "another", "step_count": 99, "new": 1})
        trace.steps[0].extra = {"type": "error", "new": 1}
        with pytest.raises(
            InvalidTraceError, match=r"steps\[0\].extra.type has a field of its own"
        ):
            encode(trace)
        trace.steps[0].extra = None
        with pytest.raises(InvalidTraceError, match=r" extra.run_id has a field of its own"):
            encode(trace)
        assert trace.to_dict()["run_id"] == "r"
        assert trace.to_dict()["new"] == 1

    def test_a_file_that_uses_our_own_key(self):
        data = example_trace().to_dict()
        data["steps"][0]["__selectools_observe_extra__"] = {"a": 1}
        again = decode(json.dumps(data).encode())
        assert again.to_dict() == data
        assert decode(encode(again).trace).to_dict() == data

    def test_reads_what_a_newer_version_may_write(self):
        data = example_trace().to_dict() | {"schema": 9}
        data["steps"][0] |= {"type": "dreaming", "prompt_tokens": "many", "tool_args": None}
        again = decode(json.dumps(data).encode())
        assert again.extra == {"schema": 9}
        assert again.steps[0].type == "dreaming"
        assert again.steps[0].prompt_tokens == "many"


class TestTraceType:
    def test_any_class_with_from_dict(self):
        class Mine:
            @classmethod
            def from_dict(cls, data):
                mine = cls()
                mine.data = data
                return mine

        loaded = decode(encode(example_trace()).trace, Mine)
        assert isinstance(loaded, Mine)
        assert loaded.data == example_trace().to_dict()

    def test_a_class_that_chokes_is_a_value_error(self):
        class Choking:
            @classmethod
            def from_dict(cls, data):
                return data["nowhere"]

        with pytest.raises(ValueError, match="not a trace"):
            decode(encode(example_trace()).trace, Choking)

    def test_a_subclass_of_ours(self):
        class Mine(AgentTrace):
            @property
            def first(self):
                return self.steps[0]

        loaded = decode(encode(example_trace()).trace, Mine)
        assert loaded.first.model == "m"
        assert type(loaded) is Mine
        assert decode(encode(loaded).trace).to_dict() == example_trace().to_dict()


class TestShapes:
    """`save` takes any object with a trace's shape."""

    def shape(self, **changes):
        step = SimpleNamespace(type="llm_call", timestamp=1.0, duration_ms=2.0, model="m")
        fields = {"steps": [step], "start_time": 1.0, "run_id": "r", "metadata": {"a": 1}}
        return SimpleNamespace(**(fields | changes))

    def test_of_plain_objects(self):
        again = decode(encode(self.shape()).trace)
        assert again.run_id == "r"
        assert again.metadata == {"a": 1}
        assert again.steps == [
            TraceStep(type=StepType.LLM_CALL, timestamp=1.0, duration_ms=2.0, model="m")
        ]

    def test_without_the_optional_ones(self):
        again = decode(encode(SimpleNamespace(run_id="r", steps=())).trace)
        assert again.to_dict()["steps"] == []
        assert again.parent_run_id is None

    def test_with_more_than_we_know(self):
        trace = self.shape(version=3, _private=object())
        trace.steps[0].colour = "red"
        again = decode(encode(trace).trace)
        assert again.extra == {"version": 3}
        assert again.steps[0].extra == {"colour": "red"}

    def test_what_is_derived_is_derived_anew(self):
        trace = self.shape(total_duration_ms=99, step_count=99)
        encoded = encode(trace)
        assert json.loads(encoded.trace)["total_duration_ms"] == 2.0
        assert json.loads(encoded.trace)["step_count"] == 1

    def test_our_steps_in_another_trace_and_the_other_way_round(self):
        ours = TraceStep(type="error", timestamp=1.0)
        assert decode(encode(self.shape(steps=[ours])).trace).steps == [ours]
        mixed = example_trace(steps=[ours, self.shape().steps[0]])
        assert [step.type for step in decode(encode(mixed).trace).steps] == ["error", "llm_call"]

    @pytest.mark.parametrize(
        "wrong", [None, 5, "trace", [], {}, object(), AgentTrace, SimpleNamespace(run_id="r")]
    )
    def test_what_is_no_trace_is_refused(self, wrong):
        with pytest.raises(InvalidTraceError):
            encode(wrong)

    @pytest.mark.parametrize("step", [None, 5, "llm_call", {}, SimpleNamespace(model="m")])
    def test_what_is_no_step_is_refused_by_its_place(self, step):
        with pytest.raises(InvalidTraceError, match=r"'r'.*steps\[1\]"):
            encode(self.shape(steps=[SimpleNamespace(type="error"), step]))

    @pytest.mark.parametrize("steps", [None, 5, "ab", {"a": 1}])
    def test_steps_that_are_no_list(self, steps):
        with pytest.raises(InvalidTraceError):
            encode(self.shape(steps=steps))
        with pytest.raises(InvalidTraceError):
            encode(example_trace(steps=steps))

    @pytest.mark.parametrize("metadata", [[1], "ab", 5, True])
    def test_metadata_that_is_no_dict(self, metadata):
        for trace in (self.shape(metadata=metadata), example_trace(metadata=metadata)):
            with pytest.raises(InvalidTraceError, match="'r'.*metadata must be a dict"):
                encode(trace)

    def test_selectools_own(self):
        theirs = pytest.importorskip("selectools.trace", reason="selectools is not installed")
        trace = theirs.AgentTrace(run_id="r", start_time=1.0, metadata={"a": {"b": 1}})
        trace.add(theirs.TraceStep(type=theirs.StepType.ERROR, timestamp=1.0, error="e"))
        trace.add(theirs.TraceStep(type="llm_call", timestamp=1.0, tool_args={"a": [1]}))
        encoded = encode(trace)
        assert decode(encoded.trace).to_dict() == trace.to_dict()
        assert decode(encoded.trace, theirs.AgentTrace).to_dict() == trace.to_dict()
        assert encoded.facts.has_error


class TestRefused:
    @pytest.mark.parametrize("run_id", [None, "", 5, b"r", ["r"], "\ud800"])
    def test_run_ids(self, run_id):
        with pytest.raises(InvalidTraceError, match="run_id"):
            encode(example_trace(run_id=run_id))

    def test_a_run_id_of_a_subclass_is_its_text(self):
        class Id(str):
            __slots__ = ()

            def __str__(self):
                return "a lie"

        encoded = encode(example_trace(run_id=Id("truth")))
        assert encoded.run_id == "truth"
        assert type(encoded.run_id) is str
        assert json.loads(encoded.trace)["run_id"] == "truth"

    def test_a_cycle_in_metadata(self):
        trace = example_trace()
        trace.metadata["self"] = {"again": [trace.metadata]}
        with pytest.raises(InvalidTraceError) as caught:
            encode(trace)
        assert caught.value.run_id == "r"
        assert caught.value.path == "metadata.self.again[0]"
        assert "contains itself" in str(caught.value)

    @pytest.mark.parametrize("where", ["tool_args", "extra"])
    def test_a_cycle_in_a_step(self, where):
        trace = example_trace()
        cycle: dict = {}
        cycle["self"] = cycle
        setattr(trace.steps[0], where, {"deep": [cycle]})
        with pytest.raises(InvalidTraceError) as caught:
            encode(trace)
        path = (
            "steps[0].tool_args.deep[0].self" if where == "tool_args" else "steps[0].deep[0].self"
        )
        assert caught.value.path == path

    def test_a_trace_in_itself(self):
        trace = example_trace()
        trace.metadata["trace"] = trace
        with pytest.raises(InvalidTraceError, match="contains itself"):
            encode(trace)

    def test_a_step_type_that_is_no_string(self):
        with pytest.raises(InvalidTraceError, match=r"steps\[0\].type must be a string"):
            encode(example_trace(steps=[TraceStep(type=5)]))

    @pytest.mark.parametrize("depth", [100, 300, 450, 600, 950, 5000])
    @pytest.mark.parametrize("where", ["metadata", "tool_args"])
    def test_depth_is_either_kept_or_refused(self, depth, where):
        trace = example_trace()
        setattr(trace if where == "metadata" else trace.steps[0], where, {"d": nested(depth)})
        try:
            encoded = encode(trace)
        except InvalidTraceError as error:
            assert "nested too deeply" in error.reason
            assert depth > 100
            return
        again = decode(encoded.trace)
        assert json.loads(encoded.trace)["run_id"] == again.run_id == "r"
        assert getattr(again if where == "metadata" else again.steps[0], where)["d"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b'"run"',
        b"{",
        b'{"steps": 5}',
        b'{"run_id": "r", "steps": [5]}',
        b'{"run_id": "r", "steps": [{"type": 5}]}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_trace_is_a_value_error(data):
    with pytest.raises(ValueError):
        decode(data)
