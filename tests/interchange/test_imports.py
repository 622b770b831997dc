"""Each form of file against a real one, and against what the tool itself reports of it."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path

import pytest

import selectools_observe as so
from selectools_observe.interchange import UnknownFormError, forms, read_runs
from selectools_observe.model.messages import RawPart, messages_of

DATA = Path(__file__).parent.parent / "data" / "imports"


def runs_of(*parts: str | Path) -> dict[str, so.AgentTrace]:
    """The runs of a file by their ids, none skipped."""
    skipped: list[tuple[str, str]] = []
    found = list(read_runs(DATA.joinpath(*parts), skipped=lambda *told: skipped.append(told)))
    assert skipped == []
    assert len({run.run_id for run in found}) == len(found)
    return {run.run_id: run for run in found}


def field(run: so.AgentTrace | so.TraceStep, name: str) -> object:
    """A field of the model, or one that is kept beside it."""
    value = getattr(run, name, None)
    return value if value is not None else (run.extra or {}).get(name)


def tokens(run: so.AgentTrace) -> tuple[int, int]:
    return (
        sum(step.prompt_tokens or 0 for step in run.steps),
        sum(step.completion_tokens or 0 for step in run.steps),
    )


def cost(run: so.AgentTrace) -> float:
    return sum(step.cost_usd or 0 for step in run.steps)


def kinds(run: so.AgentTrace) -> list[str]:
    return [step.type.value for step in run.steps]


def reported(*parts: str) -> object:
    return json.loads(DATA.joinpath(*parts).read_text())


CALLS = ["llm_call", "tool_execution", "llm_call"]


class TestClaudeCode:
    session = reported("claude_code", "reported.json")

    def runs(self) -> tuple[so.AgentTrace, so.AgentTrace]:
        main = runs_of("claude_code", f"{self.session['session_id']}.jsonl")
        (path,) = DATA.glob("claude_code/*/subagents/*.jsonl")
        (child,) = runs_of(path).values()
        return main[self.session["session_id"]], child

    def test_usage_is_counted_once_a_message(self):
        main, child = self.runs()
        told = self.session["usage"]
        assert tokens(main) == (
            told["input_tokens"]
            + told["cache_creation_input_tokens"]
            + told["cache_read_input_tokens"],
            told["output_tokens"],
        )
        (whole,) = self.session["modelUsage"].values()
        both = [one + other for one, other in zip(tokens(main), tokens(child), strict=True)]
        assert both == [
            whole["inputTokens"]
            + whole["cacheReadInputTokens"]
            + whole["cacheCreationInputTokens"],
            whole["outputTokens"],
        ]

    def test_the_session_s_cost_is_what_the_tool_reports(self):
        main, child = self.runs()
        assert main.metadata["session_cost_usd"] == self.session["total_cost_usd"]
        assert "session_cost_usd" not in child.metadata

    def test_steps_are_the_calls_and_the_tools(self):
        main, child = self.runs()
        assert kinds(main) == [
            "llm_call", "tool_execution", "tool_execution", "llm_call", "tool_execution",
            "llm_call",
        ]  # fmt: skip
        assert kinds(child) == CALLS
        first, good, bad, *_ = main.steps
        assert first.reasoning == "The note first."
        assert first.model == "claude-sonnet-4-5-20250929"
        assert good.tool_args == {"command": "wc -l notes.txt", "description": "Count lines"}
        assert (good.tool_result, good.error) == ("3 notes.txt", None)
        assert "No such file" in (bad.error or "")
        assert field(first, "cache_read_tokens") == 2000

    def test_a_sub_agent_is_a_child_run(self):
        main, child = self.runs()
        assert child.parent_run_id == main.run_id
        (agent,) = [step for step in main.steps if step.tool_name == "Agent"]
        assert field(agent, "child_run_id") == child.run_id
        assert field(child, "agent") == "general-purpose"
        assert field(child, "input") == "Count the words of notes.txt"

    def test_times_are_within_what_the_tool_reports(self):
        main, _ = self.runs()
        last = main.steps[-1]
        assert float(last.timestamp) - float(main.steps[0].timestamp) < (
            self.session["duration_ms"] / 1000
        )
        assert main.llm_duration_ms < self.session["duration_ms"]

    def test_question_answer_and_outcome(self):
        main, _ = self.runs()
        assert field(main, "input") == "How many lines and words has notes.txt?"
        assert field(main, "output") == self.session["result"]
        assert field(main, "outcome") == "ok"
        assert field(main, "session_id") == main.run_id

    def test_a_title_of_its_own_goes_before_one_that_was_made(self, tmp_path):
        session = self.session["session_id"]
        text = (DATA / "claude_code" / f"{session}.jsonl").read_text()
        titles = [
            {"type": "ai-title", "aiTitle": "Counting", "sessionId": session},
            {"type": "custom-title", "customTitle": "My note", "sessionId": session},
        ]
        for number, expected in ((0, None), (1, "Counting"), (2, "My note")):
            path = tmp_path / "titled.jsonl"
            path.write_text(text + "\n".join(map(json.dumps, titles[:number])))
            (run,) = runs_of(path).values()
            assert run.metadata.get("title") == expected
            assert field(run, "name") == (expected or "How many lines and words has notes.txt?")

    def test_agents_between_the_lines_are_runs_of_their_own(self, tmp_path):
        """As versions before 2 wrote them."""
        lines = [
            {"type": "user", "sessionId": "s", "uuid": "1", "parentUuid": None,
             "timestamp": "2025-06-01T10:00:00Z", "message": {"role": "user", "content": "Hi"}},
            {"type": "user", "sessionId": "s", "uuid": "2", "parentUuid": None, "isSidechain": True,
             "timestamp": "2025-06-01T10:00:01Z", "message": {"role": "user", "content": "Job"}},
            {"type": "assistant", "sessionId": "s", "uuid": "3", "parentUuid": "2",
             "isSidechain": True, "timestamp": "2025-06-01T10:00:02Z", "costUSD": 0.5,
             "message": {"id": "m", "model": "m-1", "content": [{"type": "text", "text": "Done"}],
                         "usage": {"input_tokens": 3, "output_tokens": 4}}},
        ]  # fmt: skip
        path = tmp_path / "old.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        found = runs_of(path)
        assert found["s-2"].parent_run_id == "s"
        assert (tokens(found["s-2"]), cost(found["s-2"])) == ((3, 4), 0.5)
        assert tokens(found["s"]) == (0, 0)


class TestCodex:
    def run(self) -> so.AgentTrace:
        (run,) = runs_of("codex", "rollout.jsonl").values()
        return run

    def events(self) -> list[dict]:
        lines = (DATA / "codex" / "reported.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def test_usage_is_what_the_tool_reports(self):
        (usage,) = [event["usage"] for event in self.events() if event["type"] == "turn.completed"]
        run = self.run()
        assert tokens(run) == (usage["input_tokens"], usage["output_tokens"])
        cached = [field(step, "cache_read_tokens") or 0 for step in run.steps]
        assert sum(cached) == usage["cached_input_tokens"]

    def test_steps_are_what_the_tool_reports(self):
        run = self.run()
        assert kinds(run) == [*CALLS, "tool_execution", "llm_call"]
        told = [event["item"] for event in self.events() if event["type"] == "item.completed"]
        commands = [item for item in told if item["type"] == "command_execution"]
        tools = run.filter(type="tool_execution")
        assert [step.tool_result for step in tools] == [c["aggregated_output"] for c in commands]
        assert [step.error for step in tools] == [None, "exit code 1"]
        assert run.steps[0].reasoning == "**Counting the lines**"

    def test_run_id_question_and_answer(self):
        run = self.run()
        assert run.run_id == self.events()[0]["thread_id"]
        assert field(run, "input") == "How many lines has notes.txt?"
        assert field(run, "output") == "notes.txt has 3 lines and 9 words."
        assert field(run, "outcome") == "ok"

    def test_counts_written_again_count_once(self, tmp_path):
        """As versions before 0.150 told the usage: by an event, now and then twice."""
        lines = (DATA / "codex" / "rollout.jsonl").read_text().splitlines()
        older = [line for line in lines if '"token_usage_record"' not in line]
        twice = [line for line in older for _ in range(1 + ('"token_count"' in line))]
        path = tmp_path / "older.jsonl"
        path.write_text("\n".join(twice))
        (run,) = runs_of(path).values()
        assert tokens(run) == tokens(self.run())

    def test_a_thread_of_a_sub_agent_knows_its_parent(self, tmp_path):
        lines = (DATA / "codex" / "rollout.jsonl").read_text().splitlines()
        head = json.loads(lines[0])
        head["payload"]["source"] = {"subagent": {"thread_spawn": {"parent_thread_id": "p"}}}
        path = tmp_path / "child.jsonl"
        path.write_text("\n".join([json.dumps(head), *lines[1:]]))
        (run,) = runs_of(path).values()
        assert run.parent_run_id == "p"


class TestInspect:
    def test_both_forms_of_a_log_are_the_same_runs(self):
        pytest.importorskip("zstandard", reason="the extra zstd is not installed")
        assert runs_of("inspect", "weather.eval") == runs_of("inspect", "weather.json")

    def test_a_sample_is_what_the_tool_reports(self):
        found = runs_of("inspect", "weather.json")
        told = {sample["id"]: sample for sample in reported("inspect", "weather.reported.json")}
        assert {run.metadata["sample_id"] for run in found.values()} == set(told)
        for run in found.values():
            sample = told[run.metadata["sample_id"]]
            (usage,) = sample["usage"].values()
            assert sum(tokens(run)) == usage["total_tokens"]
            assert tokens(run)[1] == usage["output_tokens"]
            assert kinds(run) == CALLS
            assert run.metadata["scores"] == sample["scores"]
            assert run.total_duration_ms <= sample["total_time"] * 1000

    def test_a_tool_that_failed(self):
        (run,) = [
            run
            for run in runs_of("inspect", "weather.json").values()
            if run.metadata["sample_id"] == "Atlantis"
        ]
        tool = run.steps[1]
        assert (tool.tool_name, tool.tool_args) == ("lookup", {"city": "Atlantis"})
        assert tool.error == "there is no such city"

    def test_long_texts_and_shared_messages_are_put_back(self, tmp_path):
        log = json.loads((DATA / "inspect" / "weather.json").read_text())
        (sample, *_) = log["samples"]
        for event in sample["events"]:
            if event["event"] == "model":
                event["input_refs"] = [[0, len(event["input"])]]
                event["input"] = []
        sample["events_data"] = {"messages": sample["messages"], "calls": []}
        text = sample["messages"][0]["content"]
        sample["messages"][0]["content"] = "attachment://abc"
        sample["attachments"] = {"abc": text}
        path = tmp_path / "condensed.json"
        path.write_text(json.dumps(log))
        for run_id, run in runs_of(path).items():
            whole = runs_of("inspect", "weather.json")[run_id]
            assert field(run.steps[0], "input") == field(whole.steps[0], "input")


class TestLlm:
    @pytest.mark.parametrize("name", ["logs.db", "logs-0.27.db"])
    def test_conversations_are_runs(self, name):
        chat, alone = runs_of("llm", name).values()
        assert kinds(chat) == CALLS * 2
        assert kinds(alone) == ["llm_call"]
        assert field(chat, "name") == "How warm is Oslo?"
        assert field(chat, "output") == "It is 12 degrees."
        good, bad = chat.filter(type="tool_execution")
        assert (good.tool_args, good.tool_result) == ({"city": "Oslo"}, "12 degrees in Oslo")
        assert "there is no such city" in (bad.error or "")

    def test_counts_are_what_the_tool_reports(self):
        rows = reported("llm", "reported.json")
        for run_id, run in runs_of("llm", "logs.db").items():
            told = [row for row in rows if row["conversation_id"] == run_id]
            assert tokens(run) == (
                sum(row["input_tokens"] for row in told),
                sum(row["output_tokens"] for row in told),
            )
            calls = run.filter(type="llm_call")
            assert [field(step, "response_id") for step in calls] == [row["id"] for row in told]

    @pytest.mark.parametrize("name", ["logs.db", "logs-0.27.db"])
    def test_fragments_are_part_of_what_was_asked(self, tmp_path, name):
        """As `llm -f FILE` and `--sf FILE` keep them: texts that precede the prompt."""
        path = tmp_path / "logs.db"
        path.write_bytes((DATA / "llm" / name).read_bytes())
        pieces = json.dumps({"text_ref": [{"fragment": 7}, {"literal": "\nHello"}]})
        database = sqlite3.connect(path)
        database.execute("INSERT INTO fragments (id, hash, content) VALUES (7, 'h', 'A note.')")
        if name == "logs.db":
            database.execute(
                "UPDATE parts SET text = NULL, payload = ? WHERE text = 'Hello'", (pieces,)
            )
        else:
            database.execute(
                'INSERT INTO prompt_fragments (response_id, fragment_id, "order")'
                " SELECT id, 7, 0 FROM responses WHERE prompt = 'Hello'"
            )
        database.commit()
        database.close()
        *_, alone = runs_of(path).values()
        assert field(alone, "input") == "A note.\nHello"

    def test_the_database_is_only_read(self):
        path = DATA / "llm" / "logs.db"
        before = path.read_bytes()
        runs_of(path)
        assert path.read_bytes() == before
        assert list(path.parent.glob("*-wal")) == []


class TestMLflow:
    @pytest.mark.parametrize("name", ["traces.jsonl", "frame.json"])
    def test_a_trace_is_what_the_tool_reports(self, name):
        found = runs_of("mlflow", name)
        told = {row["trace_id"]: row for row in reported("mlflow", "reported.json")}
        assert {run.metadata["mlflow.trace_id"] for run in found.values()} == set(told)
        for run in found.values():
            row = told[run.metadata["mlflow.trace_id"]]
            usage = row["tokens"]
            assert tokens(run) == (usage["input_tokens"], usage["output_tokens"])
            assert float(run.start_time) == pytest.approx(row["started_ms"] / 1000, abs=0.002)
            assert run.total_duration_ms <= row["duration_ms"] + 1
            failed = any(step.error for step in run.steps)
            assert failed == (row["state"] == "ERROR")

    def test_cost_model_session_and_tags(self):
        (run,) = [r for r in runs_of("mlflow", "traces.jsonl").values() if cost(r) > 2e-5]
        assert kinds(run) == CALLS
        assert cost(run) == pytest.approx(2.28e-5)
        assert run.steps[0].model == "gpt-4o-mini"
        assert run.metadata["team"] == "weather"
        assert run.metadata["user.id"] == "ada"


class TestPhoenix:
    def test_parquet_and_json_are_the_same(self):
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
        found = runs_of("phoenix", "spans.parquet")
        for run_id, run in runs_of("phoenix", "spans.json").items():
            assert kinds(found[run_id]) == kinds(run)
            assert tokens(found[run_id]) == tokens(run)
            assert [s.tool_args for s in found[run_id].steps] == [s.tool_args for s in run.steps]

    @pytest.mark.parametrize("name", ["frame.json", "spans.json"])
    def test_spans_are_runs(self, name):
        for run in runs_of("phoenix", name).values():
            assert kinds(run) == ["llm_call", "tool_execution"]
            assert tokens(run) == (40, 9)
            assert run.steps[0].model == "gpt-4o-mini"
            tool = run.steps[1]
            if tool.tool_args == {"city": "Atlantis"}:
                assert "there is no such city" in (tool.error or "")
            else:
                assert tool.tool_result == "12 degrees in Oslo"


class TestLangSmith:
    def test_traces_are_runs(self):
        rows = [
            json.loads(line)
            for line in (DATA / "langsmith" / "runs.jsonl").read_text().splitlines()
        ]
        roots = {row["id"]: row for row in rows if "parent_run_id" not in row}
        found = runs_of("langsmith", "runs.jsonl")
        assert len(found) == len(roots) == 2
        for run in found.values():
            row = roots[run.metadata["langsmith.trace_id"]]
            assert tokens(run) == (row["prompt_tokens"], row["completion_tokens"])
            assert cost(run) == pytest.approx(float(row["total_cost"]))
            if row["status"] == "success":
                assert kinds(run) == CALLS
                assert run.steps[1].tool_result == "12 degrees in Oslo"
            else:
                assert "there is no such city" in (run.steps[1].error or "")
                assert "Traceback" not in (run.steps[1].error or "")

    def test_children_inside_their_parents_are_read_too(self, tmp_path):
        rows = [
            json.loads(line)
            for line in (DATA / "langsmith" / "runs.jsonl").read_text().splitlines()
        ]
        roots = [row for row in rows if "parent_run_id" not in row]
        for root in roots:
            inside = [row for row in rows if row.get("parent_run_id") == root["id"]]
            root["child_runs"] = inside
        path = tmp_path / "nested.json"
        path.write_text(json.dumps(roots, indent=2))
        plain = {i: kinds(run) for i, run in runs_of("langsmith", "runs.jsonl").items()}
        assert {i: kinds(run) for i, run in runs_of(path).items()} == plain


class TestLangfuse:
    @pytest.mark.parametrize("name", ["observations.json", "traces.json"])
    def test_traces_are_runs(self, name):
        good, bad = runs_of("langfuse", name).values()
        for run in (good, bad):
            assert kinds(run) == ["llm_call", "tool_execution"]
            assert tokens(run) == (40, 9)
            assert cost(run) == pytest.approx(1.14e-5)
            assert field(run.steps[0], "cache_read_tokens") == 10
            assert run.metadata["team"] == "weather"
            assert [step.duration_ms for step in run.steps] == [200, 200]
        assert bad.steps[1].error == "there is no such city"
        assert good.steps[1].tool_result == "12 degrees in Oslo"

    def test_snake_case_rows_are_the_same(self, tmp_path):
        """As the export to blob storage writes them, a row a line, objects as text."""
        rows = reported("langfuse", "observations.json")["data"]
        names = {
            "traceId": "trace_id", "startTime": "start_time", "endTime": "end_time",
            "parentObservationId": "parent_observation_id", "usageDetails": "usage_details",
            "costDetails": "cost_details", "statusMessage": "status_message",
        }  # fmt: skip
        lines = [
            json.dumps(
                {
                    names.get(key, key): json.dumps(value) if isinstance(value, dict) else value
                    for key, value in row.items()
                }
            )
            for row in rows
        ]
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(lines))
        for run_id, run in runs_of(path).items():
            assert tokens(run) == tokens(runs_of("langfuse", "observations.json")[run_id])

    def test_a_trace_without_observations_is_refused_not_emptied(self, tmp_path):
        (trace, *_) = reported("langfuse", "traces.json")
        del trace["observations"]
        path = tmp_path / "traces.json"
        path.write_text(json.dumps([trace]))
        told: list[tuple[str, str]] = []
        assert list(read_runs(path, skipped=lambda *each: told.append(each))) == []
        assert "no observation" in told[0][1]


SPELLINGS = ["camel.json", "snake.json", "base64.json", "tempo.json", "lines.jsonl"]


class TestOpenTelemetry:
    @pytest.mark.parametrize("name", SPELLINGS)
    def test_every_spelling_of_otlp_is_the_same(self, name):
        found = runs_of("spans", name)
        assert {run_id: run.to_dict() for run_id, run in found.items()} == {
            run_id: run.to_dict() for run_id, run in runs_of("spans", "camel.json").items()
        }
        assert [kinds(run) for run in found.values()] == [CALLS, CALLS]
        assert [tokens(run) for run in found.values()] == [(81, 18), (81, 18)]

    def test_tempo_answers_inside_a_trace(self, tmp_path):
        path = tmp_path / "tempo.json"
        path.write_text(json.dumps({"trace": reported("spans", "tempo.json")}))
        assert runs_of(path) == runs_of("spans", "tempo.json")

    def test_the_console_says_the_same(self):
        """To the microsecond, and without the instrumentation's name."""
        found, whole = runs_of("spans", "console.txt"), runs_of("spans", "camel.json")
        assert found.keys() == whole.keys()
        for run_id, run in found.items():
            other = whole[run_id]
            assert kinds(run) == kinds(other)
            assert tokens(run) == tokens(other)
            assert [s.tool_args for s in run.steps] == [s.tool_args for s in other.steps]
            assert [s.error for s in run.steps] == [s.error for s in other.steps]
            assert run.start_time == pytest.approx(other.start_time, abs=2e-6)

    def test_what_a_program_prints_between_its_spans_is_reported(self, tmp_path):
        text = (DATA / "spans" / "console.txt").read_text()
        path = tmp_path / "console.txt"
        path.write_text(f"starting\n{text}done\n")
        told: list[tuple[str, str]] = []
        found = list(read_runs(path, skipped=lambda *each: told.append(each)))
        assert len(found) == 2
        assert len(told) == 2

    def test_jaeger(self, tmp_path):
        path = tmp_path / "jaeger.json"
        path.write_text(json.dumps({"data": [as_jaeger()], "total": 0}))
        found, whole = runs_of(path), runs_of("spans", "camel.json")
        assert found.keys() <= whole.keys()
        for run_id, run in found.items():
            assert kinds(run) == kinds(whole[run_id])
            assert tokens(run) == tokens(whole[run_id])
            assert [s.error for s in run.steps] == [s.error for s in whole[run_id].steps]


def as_jaeger() -> dict:
    """The second trace as Jaeger's API answers it: tags with types, times in microseconds."""
    (resource,) = reported("spans", "camel.json")["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    trace_id = scope["spans"][-1]["traceId"]
    spans = [span for span in scope["spans"] if span["traceId"] == trace_id]
    return {
        "traceID": trace_id.lstrip("0"),
        "spans": [_jaeger_span(span) for span in spans],
        "processes": {"p1": {"serviceName": "weather", "tags": []}},
    }


def _jaeger_span(span: dict) -> dict:
    tags = [_jaeger_tag(pair) for pair in span.get("attributes", [])]
    status = span.get("status", {})
    if status.get("code") == "STATUS_CODE_ERROR":
        tags += [
            {"key": "otel.status_code", "type": "string", "value": "ERROR"},
            {"key": "error", "type": "bool", "value": True},
            {"key": "otel.status_description", "type": "string", "value": status["message"]},
        ]
    began, ended = (int(span[f"{name}TimeUnixNano"]) // 1000 for name in ("start", "end"))
    parent = span.get("parentSpanId")
    ids = {"traceID": span["traceId"].lstrip("0")}
    return ids | {
        "spanID": span["spanId"],
        "operationName": span["name"],
        "references": [ids | {"refType": "CHILD_OF", "spanID": parent}] if parent else [],
        "startTime": began,
        "duration": ended - began,
        "tags": tags,
        "logs": [
            {
                "timestamp": int(event["timeUnixNano"]) // 1000,
                "fields": [{"key": "event", "type": "string", "value": event["name"]}]
                + [_jaeger_tag(pair) for pair in event["attributes"]],
            }
            for event in span.get("events", [])
        ],
        "processID": "p1",
    }


def _jaeger_tag(pair: dict) -> dict:
    ((kind, value),) = pair["value"].items()
    if kind == "arrayValue":
        value = json.dumps([next(iter(item.values())) for item in value["values"]])
    types = {"intValue": "int64", "boolValue": "bool", "doubleValue": "float64"}
    value = int(value) if kind == "intValue" else value
    return {"key": pair["key"], "type": types.get(kind, "string"), "value": value}


FILES = sorted(
    str(path.relative_to(DATA))
    for path in DATA.rglob("*")
    if path.suffix in {".json", ".jsonl", ".db", ".eval", ".txt"} and "reported" not in path.name
)
# What they say is of runs in other files: test_scores.py.
JUDGING = ("scores.json", "feedback.jsonl", "annotations.json")


class TestEveryForm:
    @pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(JUDGING)])
    def test_imported_twice_is_stored_once(self, name, tmp_path):
        if name.endswith(".eval"):
            pytest.importorskip("zstandard", reason="the extra zstd is not installed")
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            store.save_many(list(read_runs(DATA / name)))
            first = list(store.iter_traces())
            store.save_many(list(read_runs(DATA / name)))
            assert list(store.iter_traces()) == first
        assert first

    @pytest.mark.parametrize("name", [name for name in FILES if name.endswith("l")])
    def test_its_name_does_not_matter_nor_packing_with_gzip(self, name, tmp_path):
        if name.endswith(".eval"):
            pytest.skip("an archive is packed already")
        path = tmp_path / "file"
        path.write_bytes(gzip.compress((DATA / name).read_bytes()))
        assert list(read_runs(path)) == list(read_runs(DATA / name))

    @pytest.mark.parametrize("name", [name for name in FILES if "json" in name])
    def test_a_file_that_was_cut_short_loses_only_its_end(self, name, tmp_path):
        data = (DATA / name).read_bytes()
        told: list[tuple[str, str]] = []
        path = tmp_path / "cut"
        for end in range(0, len(data), max(len(data) // 7, 1)):
            path.write_bytes(data[:end])
            try:
                list(read_runs(path, skipped=lambda *each: told.append(each)))
            except UnknownFormError:
                assert end < len(data)

    def test_every_form_says_what_it_is(self):
        for form in forms():
            assert form.title
            assert form.source
            assert form.keys


class TestMessages:
    """What was said is read by `messages_of`, whichever tool wrote it."""

    @pytest.mark.parametrize(
        ("name", "tool"),
        [
            ("claude_code", "Bash"),
            ("codex/rollout.jsonl", "exec_command"),
            ("inspect/weather.json", "lookup"),
            ("llm/logs.db", "lookup"),
            ("phoenix/spans.json", "lookup"),
        ],
    )
    def test_questions_answers_and_tool_calls(self, name, tool):
        path = DATA / name
        path = path if path.is_file() else next(path.glob("*-*.jsonl"))
        run = next(iter(runs_of(path).values()))
        calls = [messages_of(step) for step in run.filter(type="llm_call")]
        asked = [message.text for message in calls[0].input if message.role == "user"]
        assert any("How" in text for text in asked)
        assert tool in [call.name for message in calls[0].output for call in message.tool_calls]
        raw = [
            part
            for call in calls
            for message in [*call.input, *call.output]
            for part in message.parts
            if isinstance(part, RawPart)
        ]
        assert raw == []

    def test_they_survive_a_store(self, tmp_path):
        (path,) = DATA.glob("claude_code/*.jsonl")
        (run,) = runs_of(path).values()
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            store.save(run)
            assert store.load(run.run_id) == run
            (summary,) = store.list()
        assert run.steps[-1].output
        assert (summary.agent, summary.outcome) == ("claude-code", "ok")
        assert summary.name == "How many lines and words has notes.txt?"


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "nearest"),
        [
            ('{"traceID": "1", "process": []}', "Jaeger"),
            ('{"context": {}, "kind": "x", "name": "y"}', "ConsoleSpanExporter"),
            ('{"info": {}, "data": {}}', "MLflow"),
            ('{"run_id": "x"}', "'run_id', without 'steps'"),
            ('{"id": 1, "run_type": "llm"}', "LangSmith"),
            ('{"colour": "red"}', "its keys are 'colour'"),
            ("hello\nworld\n", "JSON"),
            ('{"resourceMetrics": []}', "'resourceSpans' instead of 'resourceMetrics'"),
            ('{"resourceSpans": [\n', "the nearest is OTLP as JSON"),
            ("\x89PNG\0\udcff" + "\udcfe" * 20, "neither text, an SQLite database"),
        ],
    )
    def test_a_file_of_no_form_is_refused_with_the_nearest(self, tmp_path, text, nearest):
        path = tmp_path / "x.json"
        path.write_text(text, errors="surrogateescape")
        with pytest.raises(UnknownFormError) as refused:
            list(read_runs(path))
        assert nearest in str(refused.value)
        assert str(path) in str(refused.value)

    def test_other_databases_and_archives_are_refused(self, tmp_path):
        database = sqlite3.connect(tmp_path / "other.db")
        database.execute("CREATE TABLE people (name)")
        database.commit()
        database.close()
        (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 not whole")
        for name, words in (("other.db", "'people'"), ("x.zip", "zip")):
            with pytest.raises(UnknownFormError, match=words):
                list(read_runs(tmp_path / name))

    def test_a_long_file_of_no_form_is_refused_once(self, tmp_path):
        path = tmp_path / "program.py"
        path.write_text("x = 1\n" * 500 + "y = {\n" + "'a': 1,\n" * 500 + "}\n")
        told: list[tuple[str, str]] = []
        with pytest.raises(UnknownFormError):
            list(read_runs(path, skipped=lambda *each: told.append(each)))
        assert told == []

    def test_an_empty_file_has_no_runs(self, tmp_path):
        (tmp_path / "empty").write_bytes(b"")
        assert list(read_runs(tmp_path / "empty")) == []
