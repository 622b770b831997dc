"""Runs of LangSmith, traced by its client and listed by it again: `pip install langsmith`.

The service is a stand-in that keeps what the client sends, and adds what the service adds: counts
and costs of tokens, and the status.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from langsmith import Client, traceable
from langsmith.run_helpers import get_current_run_tree, tracing_context

PROJECT = str(uuid.uuid4())
PRICES = {"prompt": 15e-8, "completion": 6e-7}
_ONLY_SENT = {"session_name", "events", "attachments"}
kept: dict[str, dict[str, Any]] = {}
said: list[dict[str, Any]] = []


class Service(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if "/feedback" in self.path:
            self._answer(said if "offset=0" in self.path else [])
            return
        self._answer({"version": "0.10", "instance_flags": {}})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/feedback"):
            said.append(body)
            self._answer(body)
        elif self.path.endswith("/runs/query"):
            self._answer({"runs": list(map(as_listed, kept.values())), "cursors": {"next": None}})
        else:
            kept[body["id"]] = body
            self._answer({})

    def do_PATCH(self) -> None:
        body = self._body()
        run = kept[self.path.rpartition("/")[2]]
        run.update({name: value for name, value in body.items() if value is not None})
        self._answer({})

    def _body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return found

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def as_listed(run: dict[str, Any]) -> dict[str, Any]:
    """A run as the service lists it: a chain with the sums of what is inside it."""
    inside = [
        (other.get("outputs") or {}).get("usage_metadata")
        for other in kept.values()
        if other["dotted_order"].startswith(run["dotted_order"]) and other["run_type"] == "llm"
    ]
    prompt = sum(usage["input_tokens"] for usage in inside if usage)
    completion = sum(usage["output_tokens"] for usage in inside if usage)
    cost = prompt * PRICES["prompt"] + completion * PRICES["completion"]
    known = {name: value for name, value in run.items() if name not in _ONLY_SENT}
    return known | {
        "session_id": PROJECT,
        "status": "error" if run.get("error") else "success",
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "total_cost": str(round(cost, 9)),
    }


@traceable(run_type="tool")
def lookup(city: str) -> str:
    if city == "Atlantis":
        raise ValueError("there is no such city")
    return f"12 degrees in {city}"


@traceable(run_type="llm", metadata={"ls_model_name": "gpt-4o-mini", "ls_provider": "openai"})
def chat(messages: list[dict[str, str]], text: str) -> dict[str, Any]:
    usage = {"input_tokens": 40, "output_tokens": 9, "total_tokens": 49}
    return {"role": "assistant", "content": text, "usage_metadata": usage}


@traceable(run_type="chain", name="weather_agent", tags=["weather"])
def agent(question: str, city: str) -> str:
    run = get_current_run_tree()
    assert run is not None
    run.add_metadata({"thread_id": "session-1", "user_id": "ada"})
    messages = [{"role": "user", "content": question}]
    chat(messages, "I look it up.")
    chat([*messages, {"role": "tool", "content": lookup(city)}], "It is 12 degrees.")
    return "It is 12 degrees."


def main(folder: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    client = Client(url, api_key="scripted", auto_batch_tracing=False, info={})
    with tracing_context(enabled=True, client=client):
        agent("How warm is Oslo?", "Oslo")
        with contextlib.suppress(ValueError):
            agent("How warm is Atlantis?", "Atlantis")
    client.flush()
    runs = list(client.list_runs(project_id=PROJECT))
    lines = [run.model_dump_json(exclude_none=True) for run in runs]
    (folder / "runs.jsonl").write_text("\n".join(lines) + "\n")
    for run in runs:
        common = {"run_id": run.id, "trace_id": run.trace_id}
        if run.run_type == "chain":
            client.create_feedback(
                **common, key="correct", score=True, comment="It names a number.",
                feedback_source_type="api",
            )  # fmt: skip
            client.create_feedback(**common, key="tone", value="curt", feedback_source_type="api")
        elif run.run_type == "llm":
            client.create_feedback(
                **common, key="brevity", score=0.25, feedback_source_type="model"
            )
    client.flush()
    feedback = list(client.list_feedback(run_ids=[run.id for run in runs]))
    lines = [one.model_dump_json(exclude_none=True) for one in feedback]
    (folder / "feedback.jsonl").write_text("\n".join(lines) + "\n")
    server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
