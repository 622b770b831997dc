"""``show --chat``: what was said in a run, each message once."""

from __future__ import annotations

from click.testing import CliRunner

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceStep
from selectools_observe.cli.command_group import command

ASK = {"role": "user", "content": "Refund order 7."}
FUNCTION = {"name": "refund", "arguments": '{"order": 7}'}
CALL = {"role": "assistant", "tool_calls": [{"id": "c1", "function": FUNCTION}]}
LINES = "\n".join(f"line {number}" for number in range(30))
RESULT = {"role": "tool", "tool_call_id": "c1", "content": LINES}
ANSWER = {"role": "assistant", "content": "Done.\x1b[2J"}


def shown(tmp_path, *options: str) -> str:
    path = tmp_path / "runs.db"
    steps = [
        TraceStep("llm_call", input=[ASK], output=CALL),
        TraceStep("tool_execution", tool_name="lookup", tool_args={}, error="no such order"),
        TraceStep("llm_call", input=[ASK, CALL, RESULT], output=ANSWER),
    ]
    with SQLiteTraceStore(path) as store:
        store.save(AgentTrace(run_id="run", steps=steps))
    return CliRunner().invoke(command, ["--store", str(path), "show", "--chat", *options]).output


def test_each_message_stands_once_and_nothing_moves_the_cursor(tmp_path):
    text = shown(tmp_path)
    assert text.count("Refund order 7.") == 1
    assert text.index("Refund order 7.") < text.index("refund") < text.index("Done.")
    assert "no such order" in text
    assert "\x1b[2J" not in text


def test_long_results_are_cut_unless_all_is_asked_for(tmp_path):
    assert "line 29" not in shown(tmp_path)
    assert "..." in shown(tmp_path)
    assert "line 29" in shown(tmp_path, "--full")
