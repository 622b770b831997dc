"""The calls of a run by its steps, while it is saved, are those that its JSON tells."""

from __future__ import annotations

import hostile
import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.model.codec import encode
from selectools_observe.model.stored_calls import calls_alone, calls_at_hand

ODD = {
    "duration_ms": hostile.values,
    "tool_name": hostile.values,
    "model": hostile.values,
    "error": hostile.values,
    "prompt_tokens": hostile.values,
    "completion_tokens": hostile.values,
    "cost_usd": hostile.values,
    "extra": st.dictionaries(st.sampled_from(["later", ""]), hostile.values, max_size=2),
}


@st.composite
def odd_steps(draw: st.DrawFn) -> TraceStep:
    names = draw(st.sets(st.sampled_from(sorted(ODD)), max_size=3))
    fields = {"model": "gpt-4o", "duration_ms": 1.5}
    return TraceStep("llm_call", **fields | {name: draw(ODD[name]) for name in sorted(names)})


@given(hostile.traces() | st.builds(AgentTrace, st.lists(odd_steps(), max_size=3)))
@profile(500)
def test_of_any_run(trace: AgentTrace) -> None:
    stored = encode(trace).trace
    found = calls_at_hand(trace)
    assert found is None or repr(found) == repr(calls_alone(stored))


def test_of_a_run_as_most_are() -> None:
    trace = AgentTrace()
    trace.add(TraceStep("llm_call", 1.7e9, 5.0, model="gpt-4o", prompt_tokens=7, cost_usd=0.5))
    trace.add(TraceStep("tool_selection", 1.7e9, 0.0, tool_name="book"))
    trace.add(TraceStep("tool_execution", 1.7e9, 2.0, tool_name="book", error="full"))
    stored = encode(trace).trace
    assert calls_at_hand(trace) == (
        [("gpt-4o", [(False, 5.0, 7, 0, 0.5)])],
        [("book", [(True, 2.0, 0, 0, pytest.approx(float("nan"), nan_ok=True))])],
    )
    assert repr(calls_at_hand(trace)) == repr(calls_alone(stored))
