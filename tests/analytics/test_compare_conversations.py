"""Comparison on 200 real conversations: what differs is found, and nothing else."""

from __future__ import annotations

import copy
import json

import pytest
from conversations import conversations, langchain, openai, openinference, run_of, with_other_ids

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.analytics import compare, differences, tabulate, word_diff
from selectools_observe.analytics.differences import differences_between

TALKS = conversations()
FEW = TALKS[::16]
SHAPES = [openai, openinference, langchain]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_other_ids_times_and_frameworks_are_no_differences(shape):
    for talk in TALKS:
        again = run_of(with_other_ids(talk), shape, run_id="again")
        for step in again.steps:
            step.timestamp += 5_000
            step.duration_ms *= 3
            step.cost_usd = 0.1
        found = compare(run_of(talk), again)
        assert found.is_same, (again.metadata, next(p for p in found.pairs if p.fields))


def changed(talk, at: int, change) -> dict:
    messages = copy.deepcopy(talk["messages"])
    change(messages[at])
    return {**talk, "messages": messages}


def places(talk, wanted) -> list[int]:
    return [at for at, message in enumerate(talk["messages"]) if wanted(message)]


def first_of(talk, other, shape):
    one, two = run_of(talk), run_of(other, shape, run_id="other")
    found = compare(one, two)
    assert found.first_difference is not None
    pair = found.pairs[found.first_difference]
    return one, two, pair


@pytest.mark.parametrize("shape", SHAPES)
def test_another_answer_is_found_where_it_was_given(shape):
    for talk in FEW:
        at = places(talk, lambda one: one["role"] == "assistant" and one.get("content"))[-1]
        other = changed(talk, at, lambda one: one.update(content=one["content"] + " Bye."))
        one, two, pair = first_of(talk, other, shape)
        assert pair.fields == ("output",)
        assert one.steps[pair.left].output == talk["messages"][at]
        (found,) = differences(one, two, pair)
        assert (found.field, found.path) == ("output", "[0].text")
        assert found.right == found.left + " Bye."


@pytest.mark.parametrize("shape", SHAPES)
def test_another_question_is_found_in_the_call_that_got_it_first(shape):
    for talk in FEW:
        at = places(talk, lambda one: one["role"] == "user")[-2]
        other = changed(talk, at, lambda one: one.update(content="Something else."))
        one, two, pair = first_of(talk, other, shape)
        assert pair.fields == ("input",)
        assert len(one.steps[pair.left].input) == at + 1
        (found,) = differences(one, two, pair)
        assert (found.field, found.right) == ("input", "Something else.")
        assert found.left == talk["messages"][at]["content"]


@pytest.mark.parametrize("shape", SHAPES)
def test_another_argument_is_found_by_its_key(shape):
    def change(message) -> None:
        function = message["tool_calls"][0]["function"]
        function["arguments"] = json.dumps({**json.loads(function["arguments"]), "extra": 1})

    for talk in FEW:
        calling = places(talk, lambda one: one.get("tool_calls"))
        if not calling:
            continue
        one, two, pair = first_of(talk, changed(talk, calling[0], change), shape)
        assert pair.fields == ("output",)
        (found,) = differences(one, two, pair)
        assert found.path == "[0].tool_calls[0].arguments.extra"
        assert found.right == 1
        after = compare(one, two).pairs[pair.left + 1]
        assert after.fields == ("tool_args",)


@pytest.mark.parametrize("shape", SHAPES)
def test_another_result_is_found_at_the_tool(shape):
    for talk in FEW:
        results = places(talk, lambda one: one["role"] == "tool")
        if not results:
            continue
        other = changed(talk, results[-1], lambda one: one.update(content="Error: gone"))
        one, _, pair = first_of(talk, other, shape)
        assert pair.fields == ("tool_result",)
        assert one.steps[pair.left].tool_result == talk["messages"][results[-1]]["content"]


@pytest.mark.slow
def test_the_trials_of_a_task_differ_unless_they_said_the_same():
    by_task: dict = {}
    for talk in TALKS:
        by_task.setdefault(talk["task_id"], []).append(talk)

    def said(talk):
        return json.dumps([[m["role"], m.get("content"), [
            [c["function"]["name"], json.loads(c["function"]["arguments"])]
            for c in m.get("tool_calls") or []]] for m in talk["messages"]])  # fmt: skip

    for first, *others in by_task.values():
        for other in others:
            found = compare(run_of(first), run_of(other))
            assert found.is_same == (said(first) == said(other))
            if found.first_difference is not None:
                head = found.pairs[: found.first_difference]
                assert all(pair.change == "same" for pair in head)


def test_numbers_of_both_and_how_they_differ():
    one, two = run_of(TALKS[0]), run_of(TALKS[1], run_id="two")
    one.steps[0].cost_usd, two.steps[0].cost_usd = 0.02, 0.03
    one.steps[0].prompt_tokens = two.steps[0].prompt_tokens = 100
    deltas = {
        delta.name: delta
        for delta in compare(one, two, scores=({"quality": 0.5}, {"quality": 1, "tone": 1})).deltas
    }
    assert deltas["cost_usd"].change == pytest.approx(0.01)
    assert deltas["cost_usd"].ratio == pytest.approx(0.5)
    assert deltas["steps"].change == len(two.steps) - len(one.steps)
    assert (deltas["completion_tokens"].change, deltas["completion_tokens"].ratio) == (0, None)
    assert (deltas["prompt_tokens"].change, deltas["prompt_tokens"].ratio) == (0, 0)
    assert deltas["score.quality"].ratio == 1
    assert (deltas["score.tone"].left, deltas["score.tone"].change) == (None, None)
    assert deltas["wall_ms"].left > 0


def test_an_unknown_cost_is_none():
    deltas = {delta.name: delta for delta in compare(run_of(TALKS[0]), run_of(TALKS[1])).deltas}
    assert (deltas["cost_usd"].left, deltas["cost_usd"].change) == (None, None)


def test_a_table_of_all_trials():
    talks = [talk for talk in TALKS if talk["task_id"] == 0]
    assert len(talks) > 2
    table = tabulate([run_of(talk) for talk in talks])
    assert [row.run_id for row in table.rows] == [f"task-0-{talk['trial']}" for talk in talks]
    assert (table.rows[0].differing_steps, table.rows[0].first_difference) == (0, None)
    assert any(row.differing_steps for row in table.rows[1:])
    assert "trial" in table.metadata
    assert "task_id" not in table.metadata
    assert all(set(row.metrics) == set(table.metrics) for row in table.rows)
    assert all(row.input and row.output for row in table.rows)
    with pytest.raises(ValueError, match="at least one run"):
        tabulate([])


def test_what_a_run_itself_says_counts():
    one, two = AgentTrace(input="hi", output="yes"), AgentTrace(input="hi", output="no")
    found = compare(one, two)
    assert (found.run_fields, found.is_same, found.first_difference) == (("output",), False, None)
    chat = AgentTrace(input=[{"role": "user", "content": "hi"}], output="yes")
    assert compare(one, chat).is_same


def test_each_graph_node_has_its_own_history():
    def steps(second: str) -> list[TraceStep]:
        a = [{"role": "user", "content": "a"}]
        b = [{"role": "user", "content": "b"}]
        return [
            TraceStep("llm_call", node_name="a", input=a, output="1"),
            TraceStep("llm_call", node_name="b", input=b, output="2"),
            TraceStep("llm_call", node_name="a", output="3",
                      input=[*a, {"role": "assistant", "content": "1"},
                             {"role": "user", "content": second}]),
        ]  # fmt: skip

    found = compare(AgentTrace(steps=steps("a")), AgentTrace(steps=steps("other")))
    assert [pair.fields for pair in found.pairs] == [(), (), ("input",)]


@pytest.mark.slow
def test_word_diffs_hold_both_texts():
    texts = [
        one["content"] for talk in TALKS[:20] for one in talk["messages"] if one.get("content")
    ]
    for left, right in zip(texts, texts[3:], strict=False):
        parts = word_diff(left, right)
        assert "".join(text for side, text in parts if side <= 0) == left
        assert "".join(text for side, text in parts if side >= 0) == right
    assert word_diff("one two three", "one 2 three") == [
        (0, "one "), (-1, "two"), (1, "2"), (0, " three"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("left", "right", "paths"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, ["a.b[1]", "a.b[2]"]),
        ({"a b": 1}, {}, ['["a b"]']),
        ([], {}, [""]),
        ({"a": None}, {}, ["a"]),
        ("x", "y", [""]),
    ],
)
def test_key_diffs(left, right, paths):
    assert [one.path for one in differences_between("f", left, right)] == paths
