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
