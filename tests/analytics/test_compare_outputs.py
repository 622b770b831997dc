"""Two runs whose models answered differently are not the same."""

from __future__ import annotations

import pytest

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.analytics import compare


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
