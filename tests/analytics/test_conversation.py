"""A run as a conversation: each message once, each tool call with its result."""

from __future__ import annotations

import json

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.analytics.conversation import conversation_of, turns_as_json

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "Refund order 7."}
CALL = {
    "role": "assistant", "content": None,
    "tool_calls": [{"id": "c1", "type": "function",
                    "function": {"name": "refund", "arguments": '{"order": 7}'}}],
}  # fmt: skip
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "done"}
ANSWER = {"role": "assistant", "content": "Refunded."}
AGAIN = {"role": "user", "content": "Thanks."}
BYE = {"role": "assistant", "content": "Bye."}


def told(trace: AgentTrace) -> list[tuple]:
    return [
        ("tool", turn.name, turn.arguments, turn.result, turn.error)
        if turn.kind == "tool"
        else (turn.kind, turn.role, turn.text or turn.error)
        for turn in conversation_of(trace)
    ]


def run(*steps: TraceStep, **fields) -> AgentTrace:
    return AgentTrace(steps=list(steps), **fields)


def call(given, answered) -> TraceStep:
    return TraceStep("llm_call", model="gpt-4o", input=given, output=answered)


TALK = [
    ("message", "system", "Be brief."),
    ("message", "user", "Refund order 7."),
    ("tool", "refund", {"order": 7}, "done", None),
    ("message", "assistant", "Refunded."),
    ("message", "user", "Thanks."),
    ("message", "assistant", "Bye."),
]


def test_each_message_stands_once():
    trace = run(
        call([SYSTEM, ASK], CALL),
        TraceStep("tool_execution", tool_name="refund", tool_args={"order": 7}, tool_result="done"),
        call([SYSTEM, ASK, CALL, RESULT], ANSWER),
        call([SYSTEM, ASK, CALL, RESULT, ANSWER, AGAIN], BYE),
    )
    assert told(trace) == TALK
    assert [turn.step for turn in conversation_of(trace)] == [0, 0, 1, 2, 3, 3]


def test_a_result_without_a_step_of_its_own_joins_its_call():
    trace = run(
        call([SYSTEM, ASK], CALL),
        call([SYSTEM, ASK, CALL, RESULT], ANSWER),
        call([SYSTEM, ASK, CALL, RESULT, ANSWER, AGAIN], BYE),
    )
    assert told(trace) == TALK


def test_two_equal_answers_are_both_there():
    trace = run(call([ASK], BYE), call([ASK, BYE, ASK], BYE))
    texts = [text for _, _, text in told(trace)]
    assert texts == ["Refund order 7.", "Bye.", "Refund order 7.", "Bye."]


def test_a_failed_tool_says_why():
    step = TraceStep("tool_execution", tool_name="refund", tool_args={"order": 7}, error="no card")
    assert told(run(call([ASK], CALL), step))[1:] == [
        ("tool", "refund", {"order": 7}, None, "no card")
    ]


def test_an_error_that_is_the_result_too_is_said_once():
    step = TraceStep("tool_execution", tool_name="book", tool_result="full", error="full")
    (turn,) = conversation_of(AgentTrace(steps=[step]))
    assert (turn.result, turn.error) == (None, "full")
    step = TraceStep("tool_execution", tool_name="book", tool_result="half", error="full")
    (turn,) = conversation_of(AgentTrace(steps=[step]))
    assert (turn.result, turn.error) == ("half", "full")


def test_a_run_of_selectools_reads_as_a_conversation():
    trace = run(
        TraceStep("llm_call", model="m"),
        TraceStep("tool_selection", tool_name="refund", tool_args={"order": 7}, reasoning="Hm."),
        TraceStep("tool_execution", tool_name="refund", tool_args={"order": 7}, tool_result="done"),
        TraceStep("llm_call", model="m", reasoning="Refunded."),
        input="Refund order 7.",
    )
    assert told(trace) == [
        ("message", "user", "Refund order 7."),
        ("message", "assistant", "Hm."),
        ("tool", "refund", {"order": 7}, "done", None),
        ("message", "assistant", "Refunded."),
    ]


def test_a_run_without_messages_shows_its_own_ends():
    trace = run(TraceStep("graph_node_start"), input="Hi?", output="Ho.")
    assert told(trace) == [("message", "user", "Hi?"), ("message", "assistant", "Ho.")]


def test_errors_are_events():
    assert told(run(TraceStep("error", error="boom"))) == [("event", None, "boom")]


def test_long_texts_are_cut_and_said_to_be():
    trace = run(call([{"role": "user", "content": "x" * 1000}], ANSWER))
    cut, whole = turns_as_json(conversation_of(trace), 100)
    assert cut["parts"][0]["content"] == "x" * 100
    assert cut["cut"] == 1000
    assert "cut" not in whole
    json.dumps(cut)


def test_a_long_conversation_is_linear():
    """Two thousand messages, each call with the whole history: every message once."""
    history: list = [SYSTEM]
    steps = []
    for number in range(1000):
        history = [*history, {"role": "user", "content": f"question {number}"}]
        answer = {"role": "assistant", "content": f"answer {number}"}
        steps.append(call(history, answer))
        history = [*history, answer]
    assert len(conversation_of(run(*steps))) == 2001


def asked(number: int, of: str | None = "f", *, call_id: str | None = None):
    part = {"type": "tool_call", "name": of, "arguments": {"n": number}, "id": call_id}
    return {"role": "assistant", "parts": [part]}


def answered(text: str, of: str | None = None, *, call_id: str | None = None):
    part = {"type": "tool_call_response", "name": of, "response": text, "id": call_id}
    return {"role": "tool", "parts": [part]}


def results(*messages) -> list[tuple[object, object]]:
    turns = conversation_of(AgentTrace(steps=[TraceStep("llm_call", input=[*messages])]))
    return [(turn.arguments and turn.arguments["n"], turn.result) for turn in turns]


def test_results_go_to_the_call_with_their_id():
    calls = [asked(n, call_id=f"c{n}") for n in range(3)]
    assert results(*calls, answered("b", call_id="c1"), answered("a", call_id="c0")) == [
        (0, "a"), (1, "b"), (2, None),
    ]  # fmt: skip


def test_results_without_an_id_go_to_the_last_call_without_one():
    calls = [asked(0, "f"), asked(1, "g"), asked(2, "f")]
    found = results(*calls, answered("x", "f"), answered("y"), answered("z", "f"))
    assert found == [(0, "z"), (1, "y"), (2, "x")]


def test_a_result_with_an_id_is_of_no_call_with_another():
    found = results(asked(0, call_id="c0"), asked(1), answered("x", call_id="other"))
    assert found == [(0, None), (1, "x")]


def test_executions_go_to_the_call_with_their_arguments_or_the_first():
    call = TraceStep("llm_call", output=[asked(0), asked(1), asked(2)])
    steps = [
        TraceStep("tool_execution", tool_name="f", tool_args={"n": n}, tool_result=text)
        for n, text in ((1, "b"), (7, "a"), (2, "c"))
    ]
    turns = conversation_of(AgentTrace(steps=[call, *steps]))
    assert [turn.result for turn in turns] == ["a", "b", "c"]
    assert [turn.step for turn in turns] == [2, 1, 3]


def test_ten_thousand_calls_at_once_find_their_results():
    calls = [asked(n, f"f{n % 9}", call_id=f"c{n}") for n in range(10_000)]
    found = results(*calls, *[answered(f"r{n}", call_id=f"c{n}") for n in range(10_000)])
    assert found == [(n, f"r{n}") for n in range(10_000)]
