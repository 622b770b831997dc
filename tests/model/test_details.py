"""What a run says of itself: own fields, and what metadata and steps tell where they are unset."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import (
    AgentTrace,
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceStep,
)
from selectools_observe.backends.toolkit import summary_from_bytes, summary_to_bytes
from selectools_observe.model.codec import decode, encode
from selectools_observe.model.details import METADATA_NAMES, details_of
from selectools_observe.model.snapshot import snapshot

T0 = 1_700_000_000.0
ANSWER = {"role": "assistant", "content": "Here."}


def run(*steps, **fields):
    return AgentTrace([*steps], T0, "run", **fields)


def step(kind="llm_call", at=0.0, ms=100.0, **fields):
    return TraceStep(kind, T0 + at, ms, **fields)


def tool(name="search", at=0.0, **fields):
    return step("tool_execution", at, tool_name=name, **fields)


OUTCOMES = {
    "nothing": ("ok", []),
    "a tool failed": ("error", [step(), tool(at=1, error="Timeout")]),
    "a tool failed, another did not": ("error", [tool(at=1, error="Timeout"), tool("book", 2)]),
    "a tool failed and was called again": ("ok", [tool(at=1, error="Timeout"), tool(at=2)]),
    "a tool failed, the model answered": ("ok", [tool(at=1, error="Timeout"), step(at=2)]),
    "a tool failed again": ("error", [tool(at=1, error="x"), tool(at=2), tool(at=3, error="x")]),
    "a model call failed and was tried again": ("ok", [step(error="529"), step(at=1)]),
    "a model call failed at last": ("error", [step(), step(at=1, error="529")]),
    "an error step at the end": ("error", [step(), step("error", 1, error="ValueError")]),
    "an error step that was overcome": ("ok", [step("error", 1, error="x"), step(at=2)]),
    "what went well inside of it makes no tool good": (
        "error",
        [TraceStep("tool_execution", T0, 9000.0, tool_name="agent", error="x"), step(at=1)],
    ),
    "an empty error text is an error": ("error", [step(error="")]),
    "out of budget": ("error", [step(), step("budget_exceeded", 1)]),
    "cancelled": ("cancelled", [step(), step("cancelled", 1), step("session_save", 2)]),
    "waiting": ("interrupted", [step(), step("graph_interrupt", 1)]),
    "resumed": ("ok", [step("graph_interrupt", 1), step("graph_resume", 2)]),
    "waiting again": (
        "interrupted",
        [step("graph_interrupt", 1), step("graph_resume", 2), step("graph_interrupt", 3)],
    ),
    "no times": ("ok", [TraceStep("tool_execution", 0, error="x"), TraceStep("llm_call", 0)]),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTCOMES)
def test_outcome_by_the_steps(case):
    expected, steps = OUTCOMES[case]
    assert details_of(run(*steps)).outcome == expected


def test_what_is_said_comes_first():
    failed = step("error", error="x")
    assert details_of(run(failed, outcome="ok")).outcome == "ok"
    assert details_of(run(failed, metadata={"unfinished": True})).outcome == "unfinished"
    said = run(name="a", session_id="s", metadata={"name": "b", "session_id": "t"})
    assert (details_of(said).name, details_of(said).session_id) == ("a", "s")


@pytest.mark.parametrize(
    ("field", "key"), [(field, key) for field, keys in METADATA_NAMES.items() for key in keys]
)
def test_metadata_under_the_names_of_frameworks(field, key):
    trace = run(metadata={key: "x", "other": 1})
    assert getattr(details_of(trace), field) == "x"
    # Nothing of it is written into the run.
    assert getattr(decode(encode(trace).trace), field) is None


def test_numbers_and_ids_are_names_too():
    assert details_of(run(metadata={"user_id": 17})).user_id == "17"
    assert details_of(run(metadata={"user_id": ["a"], "user": "bob"})).user_id == "bob"


MESSAGES = {
    "chat": [{"role": "system", "content": "s"}, {"role": "user", "content": "Where?"}, ANSWER],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "Where?"}]}],
    "gen_ai": [{"role": "user", "parts": [{"type": "text", "content": "Where?"}]}],
    "gemini": [{"role": "user", "parts": [{"text": "Where?"}]}],
    "langchain": [[{"type": "human", "data": {"content": "Where?", "type": "human"}}]],
    "openinference": [{"message": {"role": "user", "content": "Where?"}}],
    "state": {"messages": [{"type": "human", "content": "Where?"}]},
    "text": "Where?",
    "question": {"question": "Where?"},
}


@pytest.mark.parametrize("shape", MESSAGES)
def test_input_is_the_first_of_the_user(shape):
    assert details_of(run(step(input=MESSAGES[shape]))).input == "Where?"
    assert details_of(run(input=MESSAGES[shape])).input == "Where?"


def test_output_is_the_last_text_of_the_model():
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    steps = [step(output=ANSWER), step(at=1, output=[call]), tool(at=2, output="a row")]
    assert details_of(run(*steps)).output == "Here."


@pytest.mark.parametrize(
    ("end_time", "wall_ms"),
    [(None, 5_000), (T0 + 12, 12_000), (T0 + 2, 5_000), (0, 5_000), ("soon", 5_000)],
)
def test_a_run_may_end_after_its_last_step(end_time, wall_ms):
    trace = AgentTrace([TraceStep("llm_call", T0, 5_000)], T0, "run", end_time=end_time)
    assert trace.wall_ms == wall_ms
    assert details_of(trace).wall_ms == wall_ms
    assert AgentTrace.from_dict(trace.to_dict()).end_time == end_time


def test_a_run_without_steps_may_tell_when_it_ended():
    assert AgentTrace([], T0, "run", end_time=T0 + 3).wall_ms == 3_000
    assert AgentTrace([], T0, "run", end_time=T0 - 3).wall_ms == 0


def test_wall_time_is_from_first_to_last():
    trace = run(step(at=-5), step(at=2, ms=3000))
    assert trace.wall_ms == pytest.approx(10_000)
    assert trace.started_at.timestamp() == T0 - 5
    assert run(step(ms=float("inf"))).wall_ms == 0
    assert AgentTrace([TraceStep("llm_call", 0.0, 5.0)], 0.0, "run").wall_ms is None


texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["name", "input", "output", "tags", "outcome"]), values),
    st.dictionaries(st.sampled_from(["user_id", "tags", "unfinished", "name"]), values),
    values,
)
def test_every_backend_tells_the_same_of_any_value(fields, metadata, value):
    trace = run(step(input=value, output=value, error="x"), metadata=metadata, **fields)
    encoded = encode(trace)
    # As they stand in an index, as they are told of the stored text, and as memory tells them.
    assert details_of(decode(encoded.trace)) == encoded.details
    moment = trace.started_at
    kept = summary_to_bytes(encoded, moment)
    assert summary_from_bytes(kept) == (encoded.summary(moment), encoded.facts)
    assert snapshot(trace).summary(moment) == encoded.summary(moment)


def test_messages_in_extra_are_moved_to_their_fields():
    given = run(
        step(extra={"input": "Where?", "output": ANSWER, "own": 1}), step(extra={"input": 1})
    )
    loaded = decode(encode(given).trace)
    assert (loaded.steps[0].input, loaded.steps[0].output) == ("Where?", ANSWER)
    assert (loaded.steps[0].extra, loaded.steps[1].extra) == ({"own": 1}, None)
    assert details_of(loaded).input == "Where?"


def full():
    return run(
        step(input=[{"role": "user", "content": "Where?"}], output=ANSWER, model="gpt-4o"),
        name="refund", input="Where?", output="Here.", session_id="s", user_id="u",
        agent="support", tags=["a"], outcome="ok", metadata={"k": 1},
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonl", "sqlite"])
def test_selectools_reads_such_files(tmp_path, kind, theirs):
    path = tmp_path / f"runs.{kind}"
    ours, their_store = {
        "jsonl": (JSONLTraceStore, theirs.JSONLTraceStore),
        "sqlite": (SQLiteTraceStore, theirs.SQLiteTraceStore),
    }[kind]
    with ours(path) as store:
        store.save(full())
    store = their_store(str(path))
    loaded = store.load("run")
    assert loaded.steps[0].model == "gpt-4o"
    assert [summary.run_id for summary in store.list()] == ["run"]


def test_they_are_keys_of_the_same_json():
    data = json.loads(encode(full()).trace)
    assert data == full().to_dict()
    assert data["session_id"] == "s"
    assert "output" not in json.loads(encode(run()).trace)


@pytest.mark.parametrize("number", [10**30, 10**5000, -(10**5000)], ids=["30", "5000", "-5000"])
def test_a_number_beyond_all_names_is_none(number):
    step = TraceStep("tool_execution", tool_name=number)
    trace = AgentTrace(run_id="run", steps=[step], metadata={"session_id": number})
    with InMemoryTraceStore() as store:
        store.save(trace)
        assert store.list()[0].session_id is None
