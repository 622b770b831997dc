"""Messages of spans: in one shape in the step, and in the form they came in when they are sent."""

from __future__ import annotations

import json

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from span_records import root, span

from selectools_observe.integrations.opentelemetry.attributes import parsed_text
from selectools_observe.integrations.opentelemetry.flattened import flat, unflattened
from selectools_observe.integrations.opentelemetry.from_spans import runs_of_spans
from selectools_observe.integrations.opentelemetry.message_memory import Conversation
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run
from selectools_observe.model.messages import Message, messages_from, messages_of, normalised

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


WAYS = st.lists(st.sampled_from(["0", "1", "2", "10", "a", ""]), max_size=3).map(".".join)
LEAVES = st.one_of(
    st.sampled_from(["", "x", 1, True, 1.0, None]),
    st.sampled_from([[], ["x"], [{"a": 1}], {}, {"b": {"c": "d"}}]),
)


@profile(300)
@given(st.dictionaries(WAYS.map("p.".__add__), LEAVES, max_size=5))
def test_what_is_left_out_can_be_flattened_again(attributes):
    before = json.dumps(attributes)
    for _ in range(2):  # the second time it is remembered
        found = unflattened(attributes, "p.")
        if found is not None and found.says_all:
            assert json.dumps(flat("p.", found.value), sort_keys=True) == json.dumps(
                attributes, sort_keys=True
            )
    assert json.dumps(attributes) == before


def test_flattened_messages_say_all_and_those_with_gaps_are_closed():
    messages = [{"message": {"role": "user", "content": text}} for text in ("a", "b")]
    attributes = flat("p.", messages)
    assert unflattened(attributes, "p.")[:3] == (messages, True, False)
    late = {name: value for name, value in attributes.items() if name.startswith("p.1.")}
    assert unflattened(late, "p.")[:3] == (messages[1:], False, False)
    assert unflattened({"p.name": "x", **attributes}, "p.") is None
    assert unflattened({"p." + "0." * 400 + "x": "y"}, "p.").is_deep


def _spoil(value):
    if isinstance(value, dict):
        for inner in list(value.values()):
            _spoil(inner)
        value["spoilt"] = True
    elif isinstance(value, list):
        for inner in value:
            _spoil(inner)
        value.append("spoilt")


@pytest.mark.parametrize("odd", [{}, {"llm.input_messages.1.message.odd.thing": "z"}])
@pytest.mark.parametrize(
    "messages",
    [
        {
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "hi",
            "llm.input_messages.1.message.role": "assistant",
            "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "f",
            "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": '{"x": [{}]}',
        },
        {"llm.input_messages.0.novel.a": "b", "llm.input_messages.1.novel.c": "d"},
        {"input.value": '[{"role": "user", "content": [{"type": "novel", "value": {"deep": 1}}]}]'},
    ],
)
def test_a_run_that_is_changed_changes_no_other(messages, odd):
    def read():
        (run,) = runs_of_spans([span("chat", 0, 1, LLM | messages | odd, None)])
        return run

    first, second = read(), read()
    before = json.dumps(second.to_dict(), sort_keys=True)
    _spoil(first.steps[0].input)
    _spoil(first.steps[0].extra)
    assert json.dumps(second.to_dict(), sort_keys=True) == before
    third = read()
    third.run_id = second.run_id
    assert json.dumps(third.to_dict(), sort_keys=True) == before


def test_a_message_that_is_changed_changes_no_other_step():
    said = {"message.role": "user", "message.content": "hi"}
    attributes = LLM | {f"llm.input_messages.0.{name}": value for name, value in said.items()}
    (run,) = runs_of_spans([root(), span("a", 1, 2, attributes), span("b", 3, 4, attributes)])
    calls = [step for step in run.steps if step.input]
    assert len(calls) == 2
    before = json.dumps(calls[1].input)
    _spoil(calls[0].input)
    assert json.dumps(calls[1].input) == before


ARRAYS = st.lists(st.sampled_from(["1", '"a,b"', '{"a": "]"}', "[[]]", '"x"', "nul"]), max_size=4)
JOINTS = st.sampled_from([",", ", ", " ,\n", ",,", "\xa0,"])
ENDS = st.sampled_from(["]", "\n]", "] ", ",]", "", "]]"])
GROWING = st.lists(
    st.builds(lambda items, joint, end: f"[{joint.join(items)}{end}", ARRAYS, JOINTS, ENDS),
    max_size=6,
)


@profile(300)
@given(GROWING)
def test_an_array_that_goes_on_is_read_as_any_other(texts):
    conversation = Conversation()
    for text in texts:
        assert conversation.array("input", text, parsed_text) == parsed_text(text)


@profile(300)
@given(st.lists(st.dictionaries(WAYS.map("p.".__add__), LEAVES, max_size=5), max_size=4))
def test_a_flattened_list_that_goes_on_is_read_as_any_other(calls):
    conversation = Conversation()
    attributes = {}
    for more in calls:
        attributes = attributes | more
        for said in (attributes, more):
            found = unflattened(said, "p.", conversation)
            assert repr(found) == repr(unflattened(said, "p."))


def test_a_conversation_that_goes_on_is_read_once(monkeypatch):
    read = []
    monkeypatch.setattr(
        f"{messages_from.__module__}.Message.to_dict",
        lambda self, to_dict=Message.to_dict: read.append(self) or to_dict(self),
    )
    said = [{"role": "user", "content": f"{n}?", "name": "u"} for n in range(20)]
    calls = [
        span(f"{n:02}", n, n + 1, LLM | flat("llm.input_messages.", [{"message": m} for m in all_]))
        for n, all_ in enumerate([said[:n] for n in range(1, 21)])
    ]
    (run,) = runs_of_spans([root(30), *calls])
    assert [len(step.input) for step in run.steps if step.type == "llm_call"] == [*range(1, 21)]
    assert len(read) == len(said)
