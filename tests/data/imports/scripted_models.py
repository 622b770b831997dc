"""A server that answers as two model services would, from a script: no key, no network, no cost.

It speaks Anthropic's Messages and OpenAI's Responses, streamed, as far as coding agents need.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SUBAGENT_JOB = "Count the words of notes.txt"
TITLE = "Words and lines of a note"
ANSWER = "notes.txt has 3 lines and 9 words."


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._send(200, "text/plain", b"")

    def do_GET(self) -> None:
        self._send(404, "application/json", b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path.startswith("/v1/messages/count_tokens"):
            self._send(200, "application/json", b'{"input_tokens": 100}')
        elif self.path.startswith("/v1/messages"):
            message = _anthropic(body)
            if body.get("stream"):
                self._events(_anthropic_events(message))
            else:
                self._send(200, "application/json", json.dumps(message).encode())
        elif self.path.startswith("/v1/responses"):
            self._events(_openai_events(_openai(body)))
        else:
            self._send(404, "application/json", b"{}")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _events(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
        self._send(200, "text/event-stream", text.encode())


def _anthropic(body: dict[str, Any]) -> dict[str, Any]:
    """The next message of the script: which one, the conversation so far says."""
    said = json.dumps(body["messages"])
    results = said.count('"type": "tool_result"')
    if not body.get("tools"):
        content = [{"type": "text", "text": json.dumps({"title": TITLE})}]
        number = 0
    elif SUBAGENT_JOB in json.dumps(body["messages"][0]):
        content = _SUBAGENT[min(results, len(_SUBAGENT) - 1)]
        number = 50 + results
    else:
        content = _MAIN[min(results, len(_MAIN) - 1)]
        number = 10 + results
    uses = any(block["type"] == "tool_use" for block in content)
    return {
        "id": f"msg_01scripted{number:04}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "tool_use" if uses else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 100 + number,
            "cache_creation_input_tokens": 1000,
            "cache_read_input_tokens": 2000,
            "output_tokens": 20 + number,
        },
    }


def _use(name: str, number: int, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_01scripted{number}", "name": name, "input": arguments}


_MAIN: list[list[dict[str, Any]]] = [
    [
        {"type": "thinking", "thinking": "The note first.", "signature": "c2lnbmF0dXJl"},
        {"type": "text", "text": "I count the lines."},
        _use("Bash", 1, command="wc -l notes.txt", description="Count lines"),
        _use("Bash", 2, command="cat missing.txt", description="Read a file that is not there"),
    ],
    [],
    [
        _use(
            "Agent", 3, description="Count words", prompt=SUBAGENT_JOB,
            subagent_type="general-purpose", run_in_background=False,
        )
    ],
    [{"type": "text", "text": ANSWER}],
]  # fmt: skip
_SUBAGENT: list[list[dict[str, Any]]] = [
    [_use("Bash", 51, command="wc -w notes.txt", description="Count words")],
    [{"type": "text", "text": "9 words."}],
]


def _anthropic_events(message: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    start = message | {"content": [], "stop_reason": None}
    start["usage"] = message["usage"] | {"output_tokens": 1}
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"type": "message_start", "message": start})
    ]
    for index, block in enumerate(message["content"]):
        empty, deltas = _pieces(block)
        events.append(
            (
                "content_block_start",
                {"type": "content_block_start", "index": index, "content_block": empty},
            )
        )
        events += [
            (
                "content_block_delta",
                {"type": "content_block_delta", "index": index, "delta": delta},
            )
            for delta in deltas
        ]
        events.append(("content_block_stop", {"type": "content_block_stop", "index": index}))
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": message["usage"]["output_tokens"]}
    events.append(("message_delta", {"type": "message_delta", "delta": end, "usage": usage}))
    events.append(("message_stop", {"type": "message_stop"}))
    return events


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case "thinking":
            return block | {"thinking": "", "signature": ""}, [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case _:
            arguments = json.dumps(block["input"])
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": arguments}]


def _openai(body: dict[str, Any]) -> dict[str, Any]:
    results = sum(item.get("type", "").endswith("_call_output") for item in body["input"])
    names = {tool.get("name") for tool in body.get("tools", [])}
    shell = next((n for n in ("exec_command", "shell_command", "shell") if n in names), "shell")
    key = "cmd" if shell == "exec_command" else "command"
    command: Any = ["wc -l notes.txt", "cat missing.txt"][min(results, 1)]
    if shell == "shell":
        command = ["bash", "-lc", command]
    output: list[dict[str, Any]] = []
    if results < 2:
        output.append(
            {
                "type": "reasoning",
                "id": f"rs_{results}",
                "summary": [{"type": "summary_text", "text": "**Counting the lines**"}],
                "encrypted_content": "c2VjcmV0",
            }
        )
        output.append(
            {
                "type": "function_call",
                "id": f"fc_{results}",
                "call_id": f"call_{results}",
                "name": shell,
                "arguments": json.dumps({key: command}),
                "status": "completed",
            }
        )
    else:
        output.append(
            {
                "type": "message",
                "id": "msg_2",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": ANSWER, "annotations": []}],
            }
        )
    return {
        "id": f"resp_{results}",
        "object": "response",
        "status": "completed",
        "model": body["model"],
        "output": output,
        "usage": {
            "input_tokens": 1000 + results,
            "input_tokens_details": {"cached_tokens": 600},
            "output_tokens": 50 + results,
            "output_tokens_details": {"reasoning_tokens": 20},
            "total_tokens": 1050 + 2 * results,
        },
    }


def _openai_events(response: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    begun = {"type": "response.created", "response": response | {"output": [], "usage": None}}
    events: list[tuple[str, dict[str, Any]]] = [("response.created", begun)]
    for index, item in enumerate(response["output"]):
        events += [
            (name, {"type": name, "output_index": index, "item": item})
            for name in ("response.output_item.added", "response.output_item.done")
        ]
    done = {"type": "response.completed", "response": response}
    events.append(("response.completed", done))
    return events


@contextmanager
def scripted_models() -> Iterator[str]:
    """The URL of a running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
