"""What capture did not keep is said of the run and of each message."""

from __future__ import annotations

import pytest

from selectools_observe import AgentTrace, InMemoryTraceStore, SQLiteTraceStore, TraceStep
from selectools_observe.analytics.capture_gaps import gaps_of
from selectools_observe.analytics.conversation import conversation_of
from selectools_observe.capture import ProcessingTraceStore
from selectools_observe.cli.runner import run


def long_run() -> AgentTrace:
    tool = {"tool_name": "f", "tool_args": {"q": ["x" * 1_500]}, "tool_result": "y" * 30}
    said = [{"role": "user", "content": "z" * 2_000}]
    steps = [TraceStep("llm_call", input=said, output="fine"), TraceStep("tool_execution", **tool)]
    return AgentTrace(run_id="long", steps=steps)


def test_texts_that_were_cut_are_counted():
    with ProcessingTraceStore(InMemoryTraceStore(), truncate=1_000) as store:
        store.save(long_run())
        kept = store.load("long")
    turns = conversation_of(kept)
    assert [turn.not_kept for turn in turns] == [1_000, None, 500]
    assert str(gaps_of(kept, turns)) == "capture cut 1,500 characters of 2 messages"


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"lost_events": ["a", "b"]}, "capture lost 2 events"),
        ({"langchain": {"lost_events": [{"event": "x"}]}}, "capture lost 1 event"),
        ({"lost_events": []}, ""),
        (None, ""),
    ],
)
def test_events_that_were_lost_are_counted(extra, told):
    trace = AgentTrace(extra=extra)
    gaps = gaps_of(trace, conversation_of(trace))
    assert (str(gaps), bool(gaps)) == (told, told != "")


@pytest.mark.parametrize("text", ["… [x characters more]", "[5 characters more]", "… [5 more]", ""])
def test_texts_that_only_look_like_it_are_whole(text):
    trace = AgentTrace(steps=[TraceStep("llm_call", output=f"so {text}")])
    assert not gaps_of(trace, conversation_of(trace))


@pytest.mark.parametrize("options", [[], ["--chat"]])
def test_the_command_says_so(tmp_path, capsys, options):
    path = tmp_path / "runs.db"
    with ProcessingTraceStore(SQLiteTraceStore(path), truncate=1_000) as store:
        store.save(long_run())
    assert run(["--store", str(path), "show", "long", *options]) == 0
    said = capsys.readouterr().out
    assert "capture cut 1,500 characters of 2 messages: not stored" in said
    assert ("cut at capture: 1,000 characters not stored" in said) == bool(options)
