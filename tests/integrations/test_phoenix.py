"""Runs sent to a real Arize Phoenix, asked for again over its own API."""

from __future__ import annotations

import collections
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

pytest.importorskip("opentelemetry.proto", reason="opentelemetry-proto is not installed")

from selectools_observe import AgentTrace, InMemoryTraceStore, JSONLTraceStore, TraceStep
from selectools_observe.integrations.opentelemetry import (
    export_otlp,
    phoenix_annotations,
    runs_of_otlp,
)

PHOENIX = os.environ.get("SELECTOOLS_OBSERVE_PHOENIX") or shutil.which("phoenix")
"""The program ``phoenix``, of the package arize-phoenix, in an environment of its own."""

pytestmark = [
    pytest.mark.skipif(
        PHOENIX is None,
        reason="no phoenix on PATH or in SELECTOOLS_OBSERVE_PHOENIX (package arize-phoenix)",
    ),
]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Phoenix:
    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: object) -> None:
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200

    def spans(self, project: str, count: int) -> list[dict]:
        """The spans of a project, once there are so many: Phoenix takes them in its own time."""
        return self._when(f"/v1/projects/{project}/spans?limit=1000", count)

    def otlp_spans(self, project: str, count: int) -> list[dict]:
        return self._when(f"/v1/projects/{project}/spans/otlpv1?limit=1000", count)

    def _when(self, path: str, count: int) -> list[dict]:
        deadline = time.monotonic() + 60
        while True:
            try:
                found = self.get(path)["data"]
            except urllib.error.HTTPError:
                found = []
            if len(found) >= count or time.monotonic() > deadline:
                assert len(found) == count
                return found
            time.sleep(0.1)


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phoenix")
    port = free_port()
    environment = os.environ | {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [PHOENIX, "serve"], env=environment, stdout=log, stderr=log, cwd=folder
        ) as server,
    ):
        try:
            found = Phoenix(f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + 120
            while True:
                try:
                    found.get("/v1/projects")
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > deadline:
                        pytest.fail((folder / "log").read_text()[-2000:])
                    time.sleep(0.2)
            yield found
        finally:
            server.terminate()


def example(run_id: str = "order-7") -> AgentTrace:
    steps = [
        TraceStep("graph_node_start", 1000.0, node_name="plan"),
        TraceStep(
            "llm_call",
            1000.5,
            250.0,
            model="gpt-4o",
            prompt_tokens=120,
            completion_tokens=30,
            cost_usd=0.0125,
            extra={
                "cache_read_tokens": 64,
                "input": [{"role": "user", "content": "hello"}],
                "output": "I look it up.",
            },
        ),
        TraceStep(
            "tool_execution",
            1000.8,
            75.5,
            tool_name="find_order",
            tool_args={"number": 7},
            tool_result='{"status": "sent"}',
            node_name="plan",
        ),
        TraceStep("tool_execution", 1000.9, 1.0, tool_name="refund", error="ValueError: no"),
        TraceStep("guardrail", 1001.0, 2.0, summary="polite"),
    ]
    return AgentTrace(steps, 1000.0, run_id, metadata={"customer": "c-9"})


def to_project(phoenix, traces, project: str) -> int:
    return export_otlp(traces, phoenix.url, headers={"x-project-name": project})


def test_phoenix_shows_each_step_as_what_it_is(phoenix):
    run = example()
    to_project(phoenix, run, "kinds")
    spans = phoenix.spans("kinds", 6)
    spans.sort(key=lambda span: (span["start_time"], span["parent_id"] is not None))
    root, _, model, tool, failed, guardrail = spans
    assert [span["span_kind"] for span in spans] == [
        "AGENT", "CHAIN", "LLM", "TOOL", "TOOL", "GUARDRAIL",
    ]  # fmt: skip
    assert {span["parent_id"] for span in spans[1:]} == {root["context"]["span_id"]}
    assert root["attributes"]["metadata.customer"] == "c-9"
    said = model["attributes"]
    assert said["llm.model_name"] == "gpt-4o"
    assert said["llm.token_count.prompt"] == 120
    assert said["llm.token_count.completion"] == 30
    assert said["llm.token_count.prompt_details.cache_read"] == 64
    assert said["llm.cost.total"] == 0.0125
    assert json.loads(said["input.value"]) == [{"role": "user", "content": "hello"}]
    assert said["output.value"] == "I look it up."
    assert tool["attributes"]["tool.name"] == "find_order"
    assert json.loads(tool["attributes"]["input.value"]) == {"number": 7}
    assert tool["attributes"]["output.value"] == '{"status": "sent"}'
    assert (failed["status_code"], failed["status_message"]) == ("ERROR", "ValueError: no")
    assert (model["start_time"], model["end_time"]) == (
        "1970-01-01T00:16:40.500000+00:00",
        "1970-01-01T00:16:40.750000+00:00",
    )
    assert guardrail["status_code"] == "UNSET"


def test_sent_twice_it_is_there_once(phoenix):
    run = example("sent twice")
    to_project(phoenix, run, "twice")
    first = phoenix.spans("twice", 6)
    to_project(phoenix, [run, AgentTrace(run_id="a later one")], "twice")
    again = phoenix.spans("twice", 7)
    ids = collections.Counter(span["context"]["span_id"] for span in again)
    assert set(ids.values()) == {1}
    assert ids.keys() >= {span["context"]["span_id"] for span in first}


def test_real_runs_come_back_out_of_phoenix(phoenix, airline_jsonl):
    with JSONLTraceStore(airline_jsonl) as store:
        runs = [store.load(summary.run_id) for summary in store.list(20)]
    assert to_project(phoenix, runs, "airline") == 20
    spans = phoenix.otlp_spans("airline", sum(len(run) + 1 for run in runs))
    request = {"resourceSpans": [{"scopeSpans": [{"spans": list(map(plain, spans))}]}]}
    found = {run.run_id: run for run in runs_of_otlp(request)}
    assert found.keys() == {run.run_id for run in runs}
    for run in runs:
        assert found[run.run_id].metadata == run.metadata
        for step, sent in zip(found[run.run_id], run, strict=True):
            # Phoenix keeps microseconds.
            assert step.timestamp == pytest.approx(sent.timestamp, abs=1e-6)
            assert step.duration_ms == pytest.approx(sent.duration_ms, abs=2e-3)
            step.timestamp, step.duration_ms = sent.timestamp, sent.duration_ms
            assert step == sent


def plain(value):
    """Phoenix's JSON with names as OTLP's JSON has them, without what it does not know."""
    if isinstance(value, dict):
        return {
            name.partition("_")[0] + "".join(part.title() for part in name.split("_")[1:]): plain(
                item
            )
            for name, item in value.items()
            if item is not None
        }
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_annotations_stand_where_they_were_made(phoenix):
    run = example("judged")
    with InMemoryTraceStore() as store:
        store.save(run)
        store.annotate("judged", "quality", label="bad", score=0.25, note="slow", author="ada")
        store.annotate("judged", "tool choice", label="wrong", step=2, source="llm")
        store.annotate("judged", "gone", label="x", step=99)
        said = store.annotations_of(["judged"])
    to_project(phoenix, run, "judged")
    spans = phoenix.spans("judged", 6)
    bodies = phoenix_annotations([run], said)
    assert [len(body["data"]) for body in bodies.values()] == [1, 1]
    for _ in range(2):  # posted again, each replaces itself
        for path, body in bodies.items():
            phoenix.post(f"{path}?sync=true", body)
    (tool,) = [span for span in spans if span["name"] == "execute_tool find_order"]
    span_id = tool["context"]["span_id"]
    found = phoenix.get(f"/v1/projects/judged/span_annotations?span_ids={span_id}")["data"]
    assert [(one["name"], one["annotator_kind"], one["result"]["label"]) for one in found] == [
        ("tool choice", "LLM", "wrong")
    ]
    trace_id = tool["context"]["trace_id"]
    found = phoenix.get(f"/v1/projects/judged/trace_annotations?trace_ids={trace_id}")["data"]
    (one,) = found
    assert (one["name"], one["annotator_kind"]) == ("quality", "HUMAN")
    assert one["result"] == {"label": "bad", "score": 0.25, "explanation": "slow"}
