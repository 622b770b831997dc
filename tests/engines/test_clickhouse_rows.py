"""The columns of a run's steps are the same, whatever they are made of: its steps or its JSON."""

from __future__ import annotations

import hostile
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.backends.clickhouse.step_columns import columns_of_steps, fields_of_steps
from selectools_observe.model.codec import encode, encoded_of

FIELDS = (
    "duration_ms", "tool_name", "model", "error", "prompt_tokens", "completion_tokens", "cost_usd",
)  # fmt: skip


@st.composite
def odd_steps(draw: st.DrawFn) -> TraceStep:
    names = draw(st.sets(st.sampled_from(FIELDS), max_size=3))
    fields = {"model": "gpt-4o", "duration_ms": 1.5}
    return TraceStep("llm_call", **fields | {name: draw(hostile.values) for name in sorted(names)})


@given(hostile.traces() | st.builds(AgentTrace, st.lists(odd_steps(), max_size=3)))
@profile(300)
def test_of_any_run(trace: AgentTrace) -> None:
    encoded = encode(trace)
    assert _columns(trace) == _columns(encoded) == _columns(encoded_of(encoded.trace))


def test_an_error_that_is_stored_as_nothing_is_none() -> None:
    steps = [TraceStep("llm_call", 1e9, 1.0, model="m", error=float("nan"))]
    trace = AgentTrace(steps, run_id="r")
    assert _columns(trace) == _columns(encode(trace))
    assert _columns(trace)[-1].endswith(b"\0")


def _columns(trace: object) -> list[bytes]:
    fields = fields_of_steps(trace, encode(trace))
    return [b"".join(pieces) for pieces in columns_of_steps([fields])]
