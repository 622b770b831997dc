"""Messages as the client libraries make them, in one shape."""

from __future__ import annotations

import json

import pytest
from hostile import nested, profile
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.model.message_text import text_of
from selectools_observe.model.messages import (
    BlobPart,
    Message,
    RawPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UriPart,
    messages_from,
    messages_of,
    normalised,
)

CALL = ToolCallPart(name="refund", arguments={"order": 7}, id="c1")
RESULT = ToolResultPart(response="done", id="c1", name=None)
TALK = [
    Message("system", [TextPart(content="Be brief.")]),
    Message("user", [TextPart(content="Refund order 7.")]),
    Message("assistant", [CALL]),
    Message("tool", [RESULT]),
    Message("assistant", [TextPart(content="Refunded.")]),
]


def said(messages: list[Message]) -> list[tuple]:
    """What is compared: who says what; ids of messages and extras are a source's own."""
    return [(m.role, [_bare(part) for part in m.parts]) for m in messages]


def _bare(part):
    if isinstance(part, ToolResultPart):
        return ("result", part.response, part.id, part.is_error)
    if isinstance(part, ToolCallPart):
        return ("call", part.name, part.arguments, part.id)
    return (type(part).__name__, getattr(part, "content", None))


def plain(objects) -> list:
    return json.loads(json.dumps(objects))


def openai_chat() -> list:
    function = {"name": "refund", "arguments": '{"order": 7}'}
    return [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Refund order 7."}]},
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "assistant", "content": "Refunded.", "refusal": None},
    ]  # fmt: skip


def openai_responses() -> dict:
    return {
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Refund order 7."}]},
            {"type": "function_call", "call_id": "c1", "name": "refund",
             "arguments": '{"order": 7}', "id": "fc_1", "status": "completed"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
            {"type": "message", "role": "assistant", "id": "m1",
             "content": [{"type": "output_text", "text": "Refunded.", "annotations": []}]},
        ],
    }  # fmt: skip


def anthropic() -> dict:
    return {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Refund order 7."},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "refund", "input": {"order": 7}}]},
            {"role": "tool", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "done"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Refunded."}]},
        ],
    }  # fmt: skip


def genai_attributes() -> list:
    return [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Refund order 7."}]},
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "c1", "name": "refund", "arguments": {"order": 7}}]},
        {"role": "tool", "parts": [
            {"type": "tool_call_response", "id": "c1", "response": "done"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "Refunded."}],
         "finish_reason": "stop"},
    ]  # fmt: skip


def openinference() -> list:
    call = {"tool_call.id": "c1", "tool_call.function.name": "refund",
            "tool_call.function.arguments": '{"order": 7}'}  # fmt: skip
    return [
        {"message.role": "system", "message.content": "Be brief."},
        {"message.role": "user", "message.contents": [
            {"message_content.type": "text", "message_content.text": "Refund order 7."}]},
        {"message.role": "assistant", "message.tool_calls": [call]},
        {"message.role": "tool", "message.content": "done", "message.tool_call_id": "c1"},
        {"message": {"role": "assistant", "content": "Refunded."}},
    ]  # fmt: skip


def langchain() -> list:
    messages = pytest.importorskip("langchain_core.messages")
    call = {"name": "refund", "args": {"order": 7}, "id": "c1", "type": "tool_call"}
    talk = [
        messages.SystemMessage("Be brief."),
        messages.HumanMessage("Refund order 7."),
        messages.AIMessage("", tool_calls=[call]),
        messages.ToolMessage("done", tool_call_id="c1"),
        messages.AIMessage("Refunded."),
    ]
    return [message.model_dump(mode="json") for message in talk]


def langchain_dicts() -> list:
    messages = pytest.importorskip("langchain_core.messages")
    return messages.messages_to_dict(messages.messages_from_dict(
        [{"type": one["type"], "data": one} for one in langchain()]))  # fmt: skip


def livekit() -> dict:
    return {
        "items": [
            {"type": "message", "role": "system", "content": ["Be brief."]},
            {"type": "message", "role": "user", "content": ["Refund order 7."]},
            {"type": "function_call", "call_id": "c1", "name": "refund",
             "arguments": '{"order": 7}'},
            {"type": "function_call_output", "call_id": "c1", "name": "refund", "output": "done",
             "is_error": False},
            {"type": "message", "role": "assistant", "content": ["Refunded."]},
        ]
    }  # fmt: skip


def gemini() -> list:
    types = pytest.importorskip("google.genai.types")
    talk = [
        types.Content(role="system", parts=[types.Part(text="Be brief.")]),
        types.Content(role="user", parts=[types.Part(text="Refund order 7.")]),
        types.Content(role="model", parts=[types.Part(
            function_call=types.FunctionCall(name="refund", args={"order": 7}, id="c1"))]),
        types.Content(role="tool", parts=[types.Part(function_response=types.FunctionResponse(
            name="refund", response={"result": "done"}, id="c1"))]),
        types.Content(role="model", parts=[types.Part(text="Refunded.")]),
    ]  # fmt: skip
    found = [one.model_dump(mode="json", exclude_none=True) for one in talk]
    found[3]["parts"][0]["function_response"]["response"] = "done"
    return found


def vercel() -> list:
    call = {"type": "tool-call", "toolCallId": "c1", "toolName": "refund", "input": {"order": 7}}
    result = {"type": "tool-result", "toolCallId": "c1", "toolName": "refund",
              "output": {"type": "text", "value": "done"}}  # fmt: skip
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Refund order 7."}]},
        {"role": "assistant", "content": [call]},
        {"role": "tool", "content": [result]},
        {"role": "assistant", "content": [{"type": "text", "text": "Refunded."}]},
    ]


every_framework = pytest.mark.parametrize(
    "talk",
    [openai_chat, openai_responses, anthropic, genai_attributes, openinference, langchain,
     langchain_dicts, livekit, gemini, vercel],
    ids=lambda make: make.__name__,
)  # fmt: skip


@every_framework
def test_every_framework_says_the_same(talk):
    assert said(messages_from(talk())) == said(TALK)


def test_a_chat_completion_of_the_real_client():
    chat = pytest.importorskip("openai.types.chat")
    completion = chat.ChatCompletion.model_validate(
        {
            "id": "x", "created": 1, "model": "gpt-4o", "object": "chat.completion",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": None,
                         "message": openai_chat()[2]}],
        }
    )  # fmt: skip
    (message,) = messages_from(completion.model_dump(mode="json"), "assistant")
    assert (message.role, message.finish_reason) == ("assistant", "tool_calls")
    assert message.tool_calls == [CALL]


def test_a_response_of_the_real_client_keeps_its_reasoning():
    responses = pytest.importorskip("openai.types.responses")
    thought = responses.ResponseReasoningItem(
        id="r", type="reasoning", summary=[{"type": "summary_text", "text": "An easy one."}]
    )
    call = responses.ResponseFunctionToolCall(
        type="function_call", call_id="c1", name="refund", arguments='{"order": 7}'
    )
    found = messages_from(plain([thought.model_dump(), call.model_dump()]), "assistant")
    assert found[0].parts[0].content == "An easy one."
    assert found[1].tool_calls[0].arguments == {"order": 7}


def test_a_message_of_anthropics_real_client():
    types = pytest.importorskip("anthropic.types")
    message = types.Message.model_validate(
        {
            "id": "m", "type": "message", "role": "assistant", "model": "claude",
            "stop_reason": "tool_use", "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "tool_use", "id": "c1", "name": "refund", "input": {"order": 7}},
            ],
        }
    )  # fmt: skip
    (found,) = messages_from(message.model_dump(mode="json"), "assistant")
    assert found.finish_reason == "tool_use"
    assert isinstance(found.parts[0], ReasoningPart)
    assert found.parts[0].content == "Hm."
    assert (found.tool_calls[0].name, found.tool_calls[0].arguments) == ("refund", {"order": 7})


PIXEL = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "input_image", "image_url": PIXEL},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
        {"inline_data": {"mime_type": "image/png", "data": "AAAA"}},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        {"message_content.type": "image", "message_content.image.image.url": PIXEL},
        {"type": "image", "image": "AAAA", "mediaType": "image/png"},
        {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
    ],
)
def test_images_in_every_form(block):
    (message,) = messages_from([{"role": "user", "content": [block]}])
    (part,) = message.parts
    assert isinstance(part, BlobPart)
    assert (part.content, part.mime_type, part.modality) == ("AAAA", "image/png", "image")


def test_an_image_elsewhere_is_an_address():
    block = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    (message,) = messages_from([{"role": "user", "content": [block]}])
    assert message.parts == [UriPart(uri="https://example.com/a.png", modality="image")]


def test_amazon_bedrocks_blocks():
    why = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "x"}}}
    call = {"toolUse": {"toolUseId": "c1", "name": "refund", "input": {"order": 7}}}
    result = {"toolResult": {"toolUseId": "c1", "status": "error", "content": [{"text": "no"}]}}
    document = {"document": {"format": "pdf", "name": "a", "source": {"bytes": "AAAA"}}}
    (message,) = messages_from([{"role": "user", "content": [why, call, result, document]}])
    assert message.parts == [
        ReasoningPart(content="Hm.", extra={"signature": "x"}),
        CALL,
        ToolResultPart(response=[{"text": "no"}], id="c1", is_error=True),
        BlobPart(content="AAAA", modality="file", mime_type="pdf", name="a"),
    ]


def test_a_result_of_vercels_sdk_says_whether_it_failed():
    block = {"type": "tool-result", "toolCallId": "c1", "toolName": "refund",
             "output": {"type": "error-text", "value": "no"}}  # fmt: skip
    (message,) = messages_from([{"role": "tool", "content": [block]}])
    assert message.parts == [ToolResultPart(response="no", id="c1", name="refund", is_error=True)]


def test_reasoning_of_gemini_and_of_chat():
    (thought,) = messages_from([{"role": "model", "parts": [{"text": "Hm.", "thought": True}]}])
    assert thought.parts == [ReasoningPart(content="Hm.")]
    (chat,) = messages_from([{"role": "assistant", "content": "Yes", "reasoning_content": "Hm."}])
    assert chat.parts == [ReasoningPart(content="Hm."), TextPart(content="Yes")]


def test_a_refusal_and_a_malformed_call_are_kept():
    call = {"name": "refund", "args": "{order", "id": "c9", "error": "not JSON"}
    value = {
        "role": "assistant", "content": "", "invalid_tool_calls": [call],
        "additional_kwargs": {"refusal": "I cannot."},
    }  # fmt: skip
    (message,) = messages_from([value])
    assert message.text == "I cannot."
    assert message.tool_calls[0].arguments == "{order"
    assert message.tool_calls[0].extra == {"error": "not JSON"}


def test_code_that_google_runs_and_tools_that_openai_runs():
    gemini = {
        "role": "model",
        "parts": [
            {"executable_code": {"language": "PYTHON", "code": "print(2)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        ],
    }
    assert messages_from(gemini)[0].parts == [
        ToolCallPart(name="code_execution", arguments={"language": "PYTHON", "code": "print(2)"}),
        ToolResultPart(response="2", name="code_execution", extra={"outcome": "OUTCOME_OK"}),
    ]
    ran = {"type": "code_interpreter_call", "id": "ci", "code": "1", "outputs": [{"logs": "1"}]}
    (message,) = messages_from({"output": [ran]})
    assert (message.role, message.tool_calls) == (
        "assistant",
        [
            ToolCallPart(
                name="code_interpreter",
                arguments={"code": "1"},
                id="ci",
                extra={"outputs": [{"logs": "1"}]},
            )
        ],
    )
    (message,) = messages_from([{"type": "local_shell_call_output", "call_id": "s", "output": "a"}])
    assert (message.role, message.parts) == ("tool", [ToolResultPart(response="a", id="s")])


def test_what_is_not_known_is_kept_as_it_came():
    block = {"type": "hologram", "beams": [1, 2]}
    (message,) = messages_from([{"role": "user", "content": [block], "mood": "good"}])
    assert message.parts == [RawPart(value=block)]
    assert message.extra == {"mood": "good"}


def test_a_failed_tool_of_langchain():
    (message,) = messages_from([{"type": "tool", "content": "no such order", "status": "error",
                                 "tool_call_id": "c1"}])  # fmt: skip
    assert message.parts == [ToolResultPart(response="no such order", id="c1", is_error=True)]


def test_steps_of_older_runs():
    step = TraceStep("llm_call", extra={"input": openai_chat()[:2], "output": "Refunded."})
    found = messages_of(step)
    assert said(found.input) == said(TALK[:2])
    assert said(found.output) == said(TALK[4:])


def test_the_answer_of_selectools_is_its_reasoning():
    assert said(messages_of(TraceStep("llm_call", reasoning="Refunded.")).output) == said(TALK[4:])


def test_a_step_without_messages_has_none():
    assert messages_of(TraceStep("graph_node_start")) == ([], [])


KEYS = (
    "role type content parts messages choices candidates text tool_calls function name arguments "
    "message data kind image_url source thought output input id extra parts tool_call_id refusal"
)
WORDS = "user ai tool text image tool_use reasoning request message"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS.split(" ")) | st.text(max_size=5),
            st.sampled_from(WORDS.split(" ")) | inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(JSON)
@profile(1200)
def test_nothing_raises_and_all_of_it_is_json(value):
    for message in messages_from(value):
        assert json.loads(json.dumps(message.to_dict()))["role"] == message.role


@given(JSON)
@profile(400)
def test_no_text_is_lost(value):
    """Each text that stands under ``content`` in a message is somewhere in what comes of it."""
    found = messages_from(
        [{"role": "user", "content": [{"type": "text", "text": "needle"}, value]}]
    )
    assert "needle" in json.dumps([message.to_dict() for message in found])


@pytest.mark.slow
@given(JSON, st.sampled_from(["user", "assistant"]))
@profile(2400)
def test_what_is_normalised_stays_as_it_is(value, role):
    once = normalised(value, role)
    assert normalised(once, role) == once
    assert messages_from(once, role) == messages_from(value, role)
    assert [message.to_dict() for message in messages_from(once, role)] == [
        message.to_dict() for message in messages_from(value, role)
    ]


@every_framework
def test_every_framework_is_normalised_once(talk):
    told = talk()
    step = TraceStep("llm_call", input=told, output=told)
    captured = TraceStep("llm_call", input=normalised(told), output=normalised(told, "assistant"))
    assert messages_of(captured) == messages_of(step)
    assert normalised(captured.input) == captured.input


def test_the_trace_is_not_changed_by_reading_it():
    trace = AgentTrace(steps=[TraceStep("llm_call", extra={"input": openai_chat()})])
    before = trace.to_dict()
    messages_of(trace.steps[0])
    assert trace.to_dict() == before


def test_autogen_tells_results_next_to_their_message():
    result = '{"name": "find", "content": "on its way", "call_id": "c1", "is_error": true}'
    (message,) = messages_from([{"message": {"role": "function"}, "function": [result]}])
    assert message.role == "tool"
    assert message.parts == [
        ToolResultPart(response="on its way", id="c1", name="find", is_error=True)
    ]


def test_what_is_next_to_a_message_is_kept():
    (message,) = messages_from([{"message": {"role": "user", "content": "Hi"}, "score": 3}])
    assert (message.text, message.extra) == ("Hi", {"score": 3})


def test_roles_of_smolagents():
    told = [{"role": "tool-call", "content": "find"}, {"role": "tool-response", "content": "it"}]
    assert [message.role for message in messages_from(told)] == ["assistant", "tool"]


def test_a_message_of_two_keys_is_read_as_any_other():
    for role in ("user", "assistant", "system", "developer", "tool", "human"):
        quick = messages_from({"role": role, "content": "a"})
        whole = messages_from({"role": role, "content": "a", "index": 0})
        assert quick == whole


def test_what_is_remembered_is_the_same():
    told = [{"role": "user", "content": "a" * n} for n in (1, 10, 5000)]
    assert (
        normalised(told)
        == normalised(told)
        == [message.to_dict() for message in messages_from(told)]
    )


def _inside_itself():
    """Values that contain themselves, or are nested more deeply than a store takes."""
    listed, named, said = [], {}, {"role": "user"}
    listed.append(listed)
    named["a"] = named
    said["content"] = [said]
    return [listed, named, [said], [[listed], [listed]], nested(3000)]


@pytest.mark.parametrize("value", _inside_itself(), ids=["list", "dict", "message", "two", "deep"])
def test_what_contains_itself_is_shown_before_it_is_refused(value):
    """Of a run that is not saved yet: nothing hangs or fails."""
    step = TraceStep("llm_call", input=value, output=value)
    assert {message.role for message in messages_of(step).input} == {"user"}
    assert [text_of(value, role) for role in ("user", "assistant")] == [None, None]
    assert AgentTrace([step], input=value, output=value)._repr_html_()
