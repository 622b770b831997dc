"""A model server that follows the script, in the protocols of OpenAI, Anthropic and Gemini.

Which turn is due is told by the history in the request, so that a client may ask twice.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from script import (
    ANSWERED_MODEL,
    CALLS,
    CLAUDE,
    GEMINI,
    MODEL_SECONDS,
    OUT_OF_ORDER,
    TURNS,
    Call,
    Turn,
)

Json = dict[str, Any]


def openai_chat(turn: Turn, number: int) -> Json:
    """What ``POST /chat/completions`` answers."""
    message: Json = {"role": "assistant", "content": turn.text}
    if turn.call is not None:
        function = {"name": turn.call.name, "arguments": json.dumps(turn.call.arguments)}
        message["tool_calls"] = [{"id": turn.call.id, "type": "function", "function": function}]
    reason = "stop" if turn.call is None else "tool_calls"
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": ANSWERED_MODEL,
        "choices": [{"index": 0, "finish_reason": reason, "message": message, "logprobs": None}],
        "usage": {
            "prompt_tokens": turn.usage.prompt,
            "completion_tokens": turn.usage.completion,
            "total_tokens": turn.usage.prompt + turn.usage.completion,
            "prompt_tokens_details": {"cached_tokens": turn.usage.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": turn.usage.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


def openai_chat_chunks(turn: Turn, number: int) -> list[Json]:
    """The same as a stream."""
    whole = openai_chat(turn, number)
    choice = whole.pop("choices")[0]
    usage = whole.pop("usage")
    whole["object"] = "chat.completion.chunk"
    message = choice["message"]
    for index, call in enumerate(message.get("tool_calls", ())):
        call["index"] = index
    empty: Json = {"index": 0, "finish_reason": None, "delta": {}}
    return [
        {**whole, "choices": [{**empty, "delta": message}], "usage": None},
        {**whole, "choices": [{**empty, "finish_reason": choice["finish_reason"]}], "usage": None},
        {**whole, "choices": [], "usage": usage},
    ]


def openai_response(turn: Turn, number: int, instructions: str | None) -> Json:
    """What ``POST /responses`` answers."""
    if turn.call is not None:
        item: Json = {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": turn.call.id,
            "name": turn.call.name,
            "arguments": json.dumps(turn.call.arguments),
            "status": "completed",
        }
    else:
        item = {
            "type": "message",
            "id": f"msg_{number}",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": turn.text, "annotations": []}],
        }
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": time.time(),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": instructions,
        "metadata": {},
        "model": ANSWERED_MODEL,
        "output": [item],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": turn.usage.prompt,
            "input_tokens_details": {"cached_tokens": turn.usage.cached, "cache_write_tokens": 0},
            "output_tokens": turn.usage.completion,
            "output_tokens_details": {"reasoning_tokens": turn.usage.reasoning},
            "total_tokens": turn.usage.prompt + turn.usage.completion,
        },
    }


def openai_response_events(turn: Turn, number: int, instructions: str | None) -> list[Json]:
    """The same as a stream."""
    whole = openai_response(turn, number, instructions)
    item = whole["output"][0]
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return [{**event, "sequence_number": at} for at, event in enumerate(events)]


def anthropic_message(turn: Turn, number: int) -> Json:
    """What ``POST /v1/messages`` answers. Cached tokens are not among its input tokens."""
    block: Json = {"type": "text", "text": turn.text}
    if turn.call is not None:
        block = {
            "type": "tool_use",
            "id": turn.call.id,
            "name": turn.call.name,
            "input": turn.call.arguments,
        }
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": CLAUDE,
        "content": [block],
        "stop_reason": "end_turn" if turn.call is None else "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": turn.usage.prompt - turn.usage.cached,
            "cache_read_input_tokens": turn.usage.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": turn.usage.completion,
        },
    }


def anthropic_events(turn: Turn, number: int) -> list[Json]:
    """The same as a stream."""
    whole = anthropic_message(turn, number)
    block = whole["content"][0]
    if turn.call is None:
        start, delta = {**block, "text": ""}, {"type": "text_delta", "text": turn.text}
    else:
        start = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(turn.call.arguments)}
    begun = {**whole, "content": [], "stop_reason": None}
    begun["usage"] = {**whole["usage"], "output_tokens": 1}
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": whole["usage"]},
        {"type": "message_stop"},
    ]


def gemini_content(turn: Turn, number: int) -> Json:
    """What ``POST ...:generateContent`` answers. Thoughts are not among its candidates' tokens."""
    part: Json = {"text": turn.text}
    if turn.call is not None:
        part = {
            "functionCall": {
                "id": turn.call.id,
                "name": turn.call.name,
                "args": turn.call.arguments,
            }
        }
    content = {"role": "model", "parts": [part]}
    return {
        "responseId": f"gemini-{number}",
        "modelVersion": GEMINI,
        "candidates": [{"index": 0, "finishReason": "STOP", "content": content}],
        "usageMetadata": {
            "promptTokenCount": turn.usage.prompt,
            "cachedContentTokenCount": turn.usage.cached,
            "candidatesTokenCount": turn.usage.completion - turn.usage.reasoning,
            "thoughtsTokenCount": turn.usage.reasoning,
            "totalTokenCount": turn.usage.prompt + turn.usage.completion,
        },
    }


def turn_asked_for(request: Json) -> int:
    """How often the model has answered already: how many calls, or what came of them, are told.

    Some clients drop the ids of calls that failed.
    """
    said = json.dumps(request)
    told = sum(call.id in said or (call.result or call.error or "") in said for call in CALLS)
    before = request.get("previous_response_id")  # the history is the provider's then
    return max(told, int(before.removeprefix("resp_")) + 1 if before else 0)


def as_text(turn: Turn) -> Turn:
    """A turn as DSPy asks for it: fields marked in a text."""
    name = "finish" if turn.call is None else turn.call.name
    arguments = {} if turn.call is None else turn.call.arguments
    fields = {
        "next_thought": "Let me see.",
        "next_tool_name": name,
        "next_tool_args": json.dumps(arguments),
    }
    return Turn(turn.usage, text=_fields(fields))


def _fields(fields: dict[str, str]) -> str:
    lines = [f"[[ ## {name} ## ]]\n{value}\n" for name, value in fields.items()]
    return "\n".join([*lines, "[[ ## completed ## ]]"])


def dspy_turn(request: Json) -> Turn:
    """The turn of a program of DSPy's, which ends with a call that only extracts the answer."""
    number = turn_asked_for(request)
    asked = json.dumps(request["messages"][0])
    if "next_tool_name" in asked:
        return as_text(TURNS[number])
    return Turn(TURNS[-1].usage, text=_fields({"reasoning": "So.", "answer": TURNS[-1].text or ""}))


def final_answer_turn(request: Json) -> Turn:
    """The turn of smolagents, where the answer is a call of a tool as well."""
    turn = TURNS[turn_asked_for(request)]
    if turn.call is None:
        turn = Turn(turn.usage, Call("call_dd44", "final_answer", {"answer": turn.text}))
    return turn


def claude_code_turn(request: Json) -> Turn:
    """The turn of Claude Code, where tools of a program are those of an MCP server."""
    turn = TURNS[turn_asked_for(request)]
    if turn.call is not None:
        turn = turn._replace(call=turn.call._replace(name=f"mcp__shop__{turn.call.name}"))
    return turn


TURN_OF: dict[str, Callable[[Json], Turn]] = {
    "claude_agent_sdk": claude_code_turn,
    "dspy": dspy_turn,
    "smolagents": final_answer_turn,
}


class _Handler(BaseHTTPRequestHandler):
    """Paths begin with the scenario and the framework."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _, scenario, framework, *rest = self.path.partition("?")[0].split("/")
        path = "/".join(rest)
        time.sleep(MODEL_SECONDS)
        turn_of = TURN_OF.get(framework)
        done = turn_asked_for(request)
        if scenario == "broken" and done >= 1:
            self._refuse(path)
            return
        turn = turn_of(request) if turn_of else TURNS[done]
        self.server.asked.append({"path": self.path, "request": request})
        self._answer(path, request, turn, done)

    def do_GET(self) -> None:
        self._send(404, {"error": {"message": "not found"}})

    def _answer(self, path: str, request: Json, turn: Turn, number: int) -> None:
        stream = request.get("stream") is True
        instructions = request.get("instructions")
        if path.endswith("chat/completions"):
            if stream:
                self._stream(openai_chat_chunks(turn, number), named=False)
            else:
                self._send(200, openai_chat(turn, number))
        elif path.endswith("responses"):
            if stream:
                self._stream(openai_response_events(turn, number, instructions), named=True)
            else:
                self._send(200, openai_response(turn, number, instructions))
        elif path.endswith("messages"):
            if stream:
                self._stream(anthropic_events(turn, number), named=True)
            else:
                self._send(200, anthropic_message(turn, number))
        elif path.endswith(":generateContent"):
            self._send(200, gemini_content(turn, number))
        elif path.endswith(":streamGenerateContent"):
            self._stream([gemini_content(turn, number)], named=False)
        else:
            self._send(404, {"error": {"message": f"no such path: {self.path}"}})

    def _refuse(self, path: str) -> None:
        error: Json = {"type": "invalid_request_error", "message": OUT_OF_ORDER}
        if ":" in path:
            error = {"code": 400, "status": "INVALID_ARGUMENT", "message": OUT_OF_ORDER}
        self._send(400, {"type": "error", "error": error})

    def _send(self, status: int, body: Json) -> None:
        self._write(status, "application/json", json.dumps(body))

    def _stream(self, events: list[Json], *, named: bool) -> None:
        lines = []
        for event in events:
            name = f"event: {event['type']}\n" if named else ""
            lines.append(f"{name}data: {json.dumps(event)}\n\n")
        self._write(
            200, "text/event-stream", "".join(lines) + ("" if named else "data: [DONE]\n\n")
        )

    def _write(self, status: int, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Json] = []


@contextlib.contextmanager
def model_server() -> Iterator[str]:
    """The address of a server of the script; ``/<scenario>/<framework>`` comes after it."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
