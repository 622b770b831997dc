"""Two runs whose models answered differently are not the same."""

from __future__ import annotations

import pytest

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.analytics import compare, differences


def run(output) -> AgentTrace:
    return AgentTrace(steps=[TraceStep("llm_call", model="m", output=output)])


@pytest.mark.parametrize(
    "other",
    ["No.", {"role": "assistant", "content": "No."}, [{"type": "text", "text": "No."}], None],
)
def test_another_answer_is_a_change(other):
    (pair,) = compare(run("Yes."), run(other)).pairs
    assert (pair.change, pair.fields) == ("changed", ("output",))


def test_the_same_answer_is_none():
    answer = {"role": "assistant", "content": "Yes."}
    assert [pair.change for pair in compare(run(answer), run({**answer})).pairs] == ["same"]


FIELDS = [
    "tool_name", "tool_result", "model", "reasoning", "error", "node_name", "interrupt_key",
    "from_node", "to_node", "summary",
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_another_text_in_any_field_is_a_change(field):
    one, other = (
        AgentTrace(steps=[TraceStep("guardrail", **{field: text})]) for text in ("left", "right")
    )
    found = compare(one, other)
    assert not found.is_same


@pytest.mark.parametrize("value", ["right", {"text": "right"}, ["right"], True])
def test_fields_of_other_programs_are_compared(value):
    one = AgentTrace(steps=[TraceStep("llm_call", model="m", extra={"verdict": "left"})])
    other = AgentTrace(steps=[TraceStep("llm_call", model="m", extra={"verdict": value})])
    (pair,) = compare(one, other).pairs
    assert (pair.change, pair.fields) == ("changed", ("verdict",))
    (difference,) = differences(one, other, pair)
    assert (difference.field, difference.left, difference.right) == ("verdict", "left", value)


def test_what_differs_between_any_two_runs_is_no_change():
    """Numbers, ids and times; the summary of a call, which is made of its other fields."""
    runs = [
        AgentTrace(steps=[TraceStep(
            "llm_call", model="m", output="Yes.", summary=f"took {n} s", duration_ms=n,
            extra={"request_id": f"r{n}", "started_at": f"2026-01-0{n}", "seed_used": n,
                   "otel": {"span_id": str(n)}},
        )])
        for n in (1, 2)
    ]  # fmt: skip
    assert compare(*runs).is_same
