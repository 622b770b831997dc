"""A server that speaks as much of OpenAI's APIs as clients need, and says what it is told to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def text(said: str) -> dict:
    """An answer to the user, in the words of the Responses API."""
    content = [{"type": "output_text", "text": said, "annotations": []}]
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def thought(said: str) -> dict:
    """A thought of the model."""
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": said}],
    }


def call(call_id: str, name: str, **arguments: object) -> dict:
    """A call of a tool."""
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": json.dumps(arguments),
        "status": "completed",
    }


def response(number: int, output: list[dict]) -> dict:
    """What ``POST /responses`` answers."""
    usage = {
        "input_tokens": 100 + number,
        "input_tokens_details": {"cached_tokens": 10 + number, "cache_write_tokens": 0},
        "output_tokens": 20 + number,
        "output_tokens_details": {"reasoning_tokens": number},
        "total_tokens": 120 + 2 * number,
    }
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1.0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "gpt-4o-2024-08-06",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage,
    }


def chat_completion(number: int, output: list[dict]) -> dict:
    """What ``POST /chat/completions`` answers."""
    calls = [
        {
            "id": item["call_id"],
            "type": "function",
            "function": {"name": item["name"], "arguments": item["arguments"]},
        }
        for item in output
        if item["type"] == "function_call"
    ]
    said = [item["content"][0]["text"] for item in output if item["type"] == "message"]
    message = {"role": "assistant", "content": said[0] if said else None}
    return {
        "id": f"chatcmpl_{number}",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls" if calls else "stop",
                "message": message | ({"tool_calls": calls} if calls else {}),
            }
        ],
        "usage": {
            "prompt_tokens": 100 + number,
            "completion_tokens": 20 + number,
            "total_tokens": 120 + 2 * number,
            "prompt_tokens_details": {"cached_tokens": 10 + number},
        },
    }


@contextlib.contextmanager
def openai_server(script: Callable[[int, dict], list[dict]]) -> Iterator[str]:
    """The base URL of a server whose n-th answer (from 1) is what ``script`` says."""
    asked = iter(range(1, 10**9))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            number = next(asked)
            output = script(number, request)
            if self.path.endswith("/chat/completions"):
                self._answer("application/json", json.dumps(chat_completion(number, output)))
                return
            whole = response(number, output)
            if not request.get("stream"):
                self._answer("application/json", json.dumps(whole))
                return
            event = {"type": "response.completed", "sequence_number": 1, "response": whole}
            self._answer(
                "text/event-stream", f"event: response.completed\ndata: {json.dumps(event)}\n\n"
            )

        def _answer(self, kind: str, body: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # many ask at once

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
