"""Messages of spans: in one shape in the step, and in the form they came in when they are sent."""

from __future__ import annotations

import json

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from span_records import root, span

from selectools_observe.integrations.opentelemetry.attributes import flat
from selectools_observe.integrations.opentelemetry.from_spans import runs_of_spans
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run
from selectools_observe.model.messages import messages_from, messages_of, normalised

LLM = {"openinference.span.kind": "LLM", "llm.model_name": "m"}

ARGUMENTS = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=2)
DUMPS = st.sampled_from([{}, {"separators": (",", ":")}, {"ensure_ascii": False}, {"indent": 1}])
CALLS = st.builds(
    lambda name, arguments, how, call_id: {
        "id": call_id, "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, **how)},
    },
    st.text(max_size=5), ARGUMENTS, DUMPS, st.text(min_size=1, max_size=4),
)  # fmt: skip
BLOCKS = st.sampled_from(
    [
        {"type": "text", "text": "block"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "novel", "value": 1},
    ]
)
CONTENTS = st.none() | st.text(max_size=12) | st.lists(BLOCKS, max_size=2)
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["system", "user", "developer", "assistant"])},
            optional={"content": CONTENTS, "name": st.text(max_size=3), "cache": st.just("on")},
        ),
        st.fixed_dictionaries(
            {"role": st.just("assistant"), "tool_calls": st.lists(CALLS, min_size=1, max_size=2)},
            optional={"content": CONTENTS},
        ),
        st.fixed_dictionaries(
            {"role": st.just("tool"), "content": st.text(max_size=9), "tool_call_id": st.just("c")}
        ),
    ),
    min_size=1,
    max_size=4,
)


def openinference(messages, prefix):
    wrapped = [
        {
            "message": message
            | {
                "tool_calls": [
                    {"tool_call": {"id": call["id"], "function": call["function"]}}
                    for call in message.get("tool_calls", ())
                ]
            }
        }
        for message in messages
    ]
    return {name: value for name, value in flat(prefix, wrapped).items() if value not in ([], None)}


FORMS = {
    "openinference": lambda told: openinference(told, "llm.input_messages."),
    "openinference and its request": lambda told: (
        openinference(told, "llm.input_messages.")
        | {"input.value": json.dumps({"messages": told, "temperature": 0})}
    ),
    "a request": lambda told: {"input.value": json.dumps({"messages": told, "model": "m"})},
    "chat": lambda told: {"gen_ai.input.messages": json.dumps(told)},
    "the conventions'": lambda told: {"gen_ai.input.messages": json.dumps(normalised(told))},
    "Vercel": lambda told: {"ai.prompt.messages": json.dumps(told)},
}


def call_with(attributes):
    spans = [root(), span("call", 1, 2, LLM | attributes)]
    (run,) = runs_of_spans(spans)
    return spans, run


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(told=MESSAGES)
@profile(160)
def test_what_came_goes_again(form, told):
    spans, run = call_with(form(told))
    (step,) = run.steps
    assert step.input == normalised(step.input)
    assert messages_of(step).input == messages_from(step.input)
    sent = {each.span_id: each.attributes for each in spans_of_run(run)}
    for each in spans:
        for name, value in each.attributes.items():
            went = sent[each.span_id].get(name)
            assert went == value or json.loads(went) == json.loads(value), name
    assert runs_of_spans(spans_of_run(run)) == [run]


def test_texts_are_messages_too():
    spans, run = call_with({"input.value": "hi", "output.value": "hello"})
    (step,) = run.steps
    assert [(each.role, each.text) for each in messages_from(step.input)] == [("user", "hi")]
    assert step.output == [{"role": "assistant", "parts": [{"type": "text", "content": "hello"}]}]
    assert "input.value" not in step.extra["otel"].get("attributes", {})
    sent = {each.span_id: each.attributes for each in spans_of_run(run)}[spans[1].span_id]
    assert (sent["input.value"], sent["output.value"]) == ("hi", "hello")


def test_attributes_that_the_messages_tell_are_not_kept():
    told = [
        {"role": "user", "content": "Refund it."},
        {
            "role": "assistant", "content": None, "tool_calls": [
                {"id": "c", "type": "function",
                 "function": {"name": "refund", "arguments": '{"order":7}'}}
            ],
        },
        {"role": "tool", "content": "done", "tool_call_id": "c"},
    ]  # fmt: skip
    request = {"input.value": json.dumps({"messages": told, "temperature": 0})}
    _, run = call_with(openinference(told, "llm.input_messages.") | request)
    kept = run.steps[0].extra["otel"]
    assert kept["forms"] == {"input": "openinference/chat0/absent/text"}
    assert kept["requests"]["input.value"]["rest"] == {"temperature": 0}
    assert kept["attributes"] == {"openinference.span.kind": "LLM"}


def test_empty_texts_and_mixed_forms_are_told_in_short():
    def call(number, arguments):
        function = {"name": "refund", "arguments": arguments}
        return [
            {
                "role": "assistant", "content": None, "tool_calls": [
                    {"id": f"c{number}", "type": "function", "function": function}
                ],
            },
            {"role": "tool", "content": "done" if number else "", "tool_call_id": f"c{number}"},
        ]  # fmt: skip

    told = [{"role": "user", "content": "Refund it."}]
    told += [
        each
        for number in range(8)
        for each in call(number, '{"n":1}' if number % 2 else '{"n": 1}')
    ]
    request = {"input.value": json.dumps({"messages": told})}
    # Instrumentations leave out what is empty.
    flattened = openinference(told, "llm.input_messages.")
    said = {name: value for name, value in flattened.items() if value} | request
    spans, run = call_with(said)
    kept = run.steps[0].extra["otel"]
    assert "attributes" not in kept or kept["attributes"] == {"openinference.span.kind": "LLM"}
    assert kept["requests"]["input.value"]["other"] == {"2": told[2]}
    assert len(json.dumps(kept["forms"])) < 150
    sent = {each.span_id: each.attributes for each in spans_of_run(run)}[spans[1].span_id]
    assert json.loads(sent["input.value"]) == {"messages": told}
    assert {name: sent[name] for name in said if name != "input.value"} == {
        name: value for name, value in said.items() if name != "input.value"
    }


def test_what_is_changed_in_a_run_is_what_goes():
    _, run = call_with(
        {"input.value": json.dumps({"messages": [{"role": "user", "content": "a"}]})}
    )
    run.steps[0].input = normalised([{"role": "user", "content": "[redacted]"}])
    (sent,) = [each for each in spans_of_run(run) if "input.value" in each.attributes]
    assert json.loads(sent.attributes["input.value"]) == {
        "messages": [{"role": "user", "content": "[redacted]"}]
    }
