"""Each message of a run once: what repeats is a reference in the file, and whole when loaded."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import (
    AgentTrace,
    AsyncSQLiteTraceStore,
    CorruptTraceError,
    InMemoryTraceStore,
    InvalidTraceError,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceStep,
)
from selectools_observe.interchange.trace_files import trace_of as imported
from selectools_observe.model import codec
from selectools_observe.model.codec import decode, encode
from selectools_observe.model.json_values import dumps
from selectools_observe.model.references import KEY, expand, expanded_json
from selectools_observe.server.request_trace import trace_of as sent

LONG = "A long sentence that is worth more than a reference to it, said again and again. "


def conversation(turns, *, texts=False, image=None, tool=True):
    """A run whose every call repeats the history, as chat models are called."""
    history = [{"role": "system", "content": f"You are an agent. {LONG * 3}"}]
    run = AgentTrace([], 1_700_000_000.0, "conversation")
    for turn in range(turns):
        content = f"Question {turn}: é “quoted” \n {LONG}"
        asked = {"role": "user", "content": content}
        if image is not None and turn == 0:
            asked["content"] = [{"type": "text", "text": content}, {"type": "image", "data": image}]
        history.append(asked)
        answer = {"role": "assistant", "content": f"Answer {turn}. {LONG}"}
        step = TraceStep("llm_call", 1.7e9 + turn, 5.0, model="gpt-4o")
        # As clients hand them on: objects of their own with every call.
        step.input, step.output = json.loads(json.dumps(history)), [dict(answer)]
        if texts:
            step.extra = {
                "otel": {"attributes": {"input.value": json.dumps({"messages": history})}}
            }
        run.add(step)
        history.append(answer)
        if tool:
            result = f'{{"rows": {turn}}} {LONG}'
            run.add(TraceStep("tool_execution", 1.7e9, 1.0, tool_name="t", tool_result=result))
            history.append({"role": "tool", "content": result})
    return run


def plainly(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(codec, "may_repeat", lambda _: False)
        return encode(run).trace


@pytest.mark.parametrize("texts", [False, True])
def test_bytes_grow_with_the_turns(texts, monkeypatch):
    sizes = {n: len(encode(conversation(n, texts=texts)).trace) for n in (10, 40, 160)}
    assert sizes[40] < 5 * sizes[10]
    assert sizes[160] < 5 * sizes[40]
    own = sum(len(json.dumps(m)) for m in conversation(160).steps[-2].input)
    assert sizes[160] < 4 * own  # the messages are short, and each step has numbers of its own
    assert len(plainly(conversation(40), monkeypatch)) > 5 * sizes[40]


@pytest.mark.parametrize("texts", [False, True])
def test_nothing_is_lost(texts, monkeypatch):
    run = conversation(12, texts=texts)
    written = encode(run).trace
    assert json.loads(written)[KEY] == 1
    loaded = decode(written)
    assert dumps(loaded.to_dict()) == dumps(run.to_dict())
    assert json.loads(expanded_json(written)) == json.loads(plainly(run, monkeypatch))
    assert encode(loaded).trace == written
    assert codec.decode_in_pieces(written) == loaded


def test_images_and_long_texts_are_there_once():
    image = base64.b64encode(bytes(range(256)) * 400).decode()
    written = encode(conversation(8, texts=True, image=image)).trace
    assert written.count(image.encode()) == 1
    assert written.count(b'"Answer 3. A long') == 1


def test_a_run_without_repetition_is_written_as_ever():
    run = AgentTrace([TraceStep("llm_call", input=["a"], output="b") for _ in range(3)])
    assert KEY.encode() not in encode(run).trace
    assert KEY.encode() not in encode(conversation(1, tool=False)).trace


def with_attributes(turns):
    run = conversation(turns, texts=True)
    for number, step in enumerate(run.steps):
        attributes = (step.extra or {}).get("otel", {}).get("attributes", {})
        attributes |= {"session.id": "session-of-a-customer", "count": number, "flag": True}
        step.extra = {
            "otel": {"span": number, "parent": "0123456789abcdef", "attributes": attributes}
        }
    return run


def test_an_object_like_an_earlier_one_says_what_is_different():
    run = with_attributes(6)
    written = encode(run).trace
    assert json.loads(written)["steps"][3]["otel"] == {
        "$like": 2,
        "span": 3,
        "attributes": {"$like": 1, "count": 3},
    }
    assert written.count(b"session-of-a-customer") == 2  # of model calls, and of tools
    assert dumps(decode(written).to_dict()) == dumps(run.to_dict())


def test_what_is_equal_and_not_the_same_is_not_alike():
    values = [1, True, 1.0, 0.0, -0.0, None, "", [], {}]
    steps = [
        TraceStep("llm_call", extra={"about": {"text": LONG, "value": value, "more": {"v": value}}})
        for value in [*values, *values]
    ]
    run = AgentTrace(steps, 0.0, "run")
    assert dumps(decode(encode(run).trace).to_dict()) == dumps(run.to_dict())


def test_the_runs_own_input_and_output_are_there_once():
    run = conversation(6)
    run.input, run.output = run.steps[0].input, run.steps[-2].output[0]["content"]
    run.output += LONG * 3
    run.steps[-2].output[0]["content"] = run.output
    written = encode(run).trace
    assert written.count(run.output.encode()) == 1
    assert json.loads(written)["input"] == [{"$items": "steps/10/input", "to": 2}]
    assert decode(written) == run


def test_a_small_run_is_written_as_ever():
    steps = [TraceStep("llm_call", input=["Where is it?"] * n, output="There.") for n in (1, 2, 3)]
    assert KEY.encode() not in encode(AgentTrace(steps)).trace


def test_two_agents_that_take_turns():
    one, two = conversation(20), conversation(20)
    for step in two.steps:
        if step.input:
            step.input[0]["content"] = "Another agent. " * 20
    steps = [step for pair in zip(one.steps, two.steps, strict=True) for step in pair]
    both = AgentTrace(steps, run_id="both")
    assert len(encode(both).trace) < 2.1 * len(encode(one).trace)
    assert decode(encode(both).trace).to_dict() == both.to_dict()


LOOKALIKES = [
    {"$ref": "steps/0/input"},
    {"$items": "steps/0/input", "to": 1},
    {"$text": ["a"]},
    {"$json": "steps/0/input/0"},
    {"$value": {"$value": {"$ref": "x"}}},
    {"$like": 0, "role": "user"},
    {"$ref": "#/components/schemas/Order", "more": [{"$ref": 5}]},
    {"$value": 5},
]


@pytest.mark.parametrize("value", LOOKALIKES, ids=str)
def test_values_that_look_like_references_are_kept(value):
    run = conversation(3)
    run.steps[0].input.append({"role": "user", "content": value, "schema": [value]})
    run.steps[2].extra = {"schema": value, "a/b~c": [LONG, value]}
    run.steps[4].extra = {"schema": value, "a/b~c": [LONG, value]}
    run.extra = {"schema": value}
    assert dumps(decode(encode(run).trace).to_dict()) == dumps(run.to_dict())
    alone = AgentTrace([TraceStep("llm_call", input=value)], extra={"v": value})
    assert dumps(decode(encode(alone).trace).to_dict()) == dumps(alone.to_dict())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"$value": {"$ref": [[LONG], {"$ref": "own/$ref/0"}]}}, {"$ref": [[LONG], [LONG]]}),
        (
            [[1, {"$ref": "steps/0/input"}], {"$ref": "own/0"}, [{"$ref": "own/1/1"}]],
            [[1, LONG], [1, LONG], [LONG]],
        ),
        (
            [{"$items": "steps/0/output", "to": 2}, [5], {"$ref": "own/2"}],
            [3, 4, [5], [5]],
        ),
    ],
    ids=["what looks like one", "nested arrays", "moved items"],
)  # fmt: skip
def test_references_to_the_part_that_is_read_already(written, meant):
    step = {"type": "llm_call", "input": LONG, "output": [3, 4, 5]}
    run = {KEY: 1, "run_id": "r", "start_time": 0.0, "steps": [step], "own": written}
    assert expand(run)["own"] == meant


@pytest.mark.parametrize("value", [1, 2, "x", [1, 2], {"a": 1}, None, True], ids=str)
def test_a_key_of_the_runs_own_that_is_called_so(value):
    for run in (conversation(3), AgentTrace()):
        run.extra = {KEY: value}
        assert decode(encode(run).trace).extra == {KEY: value}


texts = st.sampled_from(["", "a", "é" * 70, LONG, LONG * 2, LONG + "tail", '{"k": "' + LONG + '"}'])
keys = st.sampled_from(
    ["role", "content", "$ref", "$text", "$items", "$like", "$value", "$json", "to", "a/b~"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from([0.0, 1.0, 2.5]) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.lists(st.tuples(values, values, values), max_size=6), values)
@profile(1200)
def test_any_values_come_back(given_steps, extra):
    steps = [
        TraceStep("llm_call", 0.0, 0.0, input=one, output=two, extra={"x": three, "otel": [three]})
        for one, two, three in given_steps
    ]
    run = AgentTrace(steps, 0.0, "run", extra={"own": extra})
    assert dumps(decode(encode(run).trace).to_dict()) == dumps(run.to_dict())


def test_values_that_are_equal_and_not_the_same():
    history = [{"n": 1, "text": LONG}, {"n": True, "text": LONG}, {"n": 1.0, "text": LONG}]
    run = AgentTrace([TraceStep("llm_call", input=history[n:]) for n in (0, 1, 2, 0)])
    loaded = decode(encode(run).trace)
    assert [[type(m["n"]) for m in step.input] for step in loaded.steps] == [
        [int, bool, float], [bool, float], [float], [int, bool, float],
    ]  # fmt: skip


def test_values_of_foreign_types():
    run = conversation(4)
    for step in run.steps:
        step.extra = {"set": frozenset({LONG}), 5: (LONG, b"bytes" * 30), "nan": float("nan")}
    run.steps[0].input.append({1: "\ud800" + LONG, "big": 10**400})
    run.steps[2].input = tuple(run.steps[0].input)
    loaded = decode(encode(run).trace)
    assert loaded.steps[2].input == loaded.steps[0].input
    assert loaded.steps[0].input[-1] == {"1": "\ud800" + LONG, "big": 10**400}


def test_what_cannot_be_stored_is_named():
    run = conversation(3)
    run.steps[2].input.append(run.steps[2].input)
    with pytest.raises(InvalidTraceError, match=r"steps\[2\].input"):
        encode(run)


DAMAGED = [
    {"$ref": "steps/9/input"},
    {"$ref": "steps/0/input/x"},
    {"$ref": 5},
    [{"$items": "steps/0/input", "to": 99}],
    [{"$items": "run_id", "to": 1}],
    {"$text": [{"$ref": "steps/0/input/0/content", "to": -1}]},
    {"$text": 5},
    {"$text": [{"$json": "steps/0"}]},
    {"$value": 5},
    {"$ref": 9},
    {"$ref": -1},
    {"$like": 9},
    {"$like": True},
    {"$like": "steps/0/input"},
]


@pytest.mark.parametrize("value", DAMAGED, ids=str)
def test_references_that_lead_nowhere(value, tmp_path):
    data = json.loads(encode(conversation(3)).trace)
    data["steps"][2]["input"] = value
    with pytest.raises(ValueError, match="reference"):
        decode(dumps(data))
    with pytest.raises(InvalidTraceError, match="reference"):
        sent(dumps(data))
    with JSONLTraceStore(tmp_path / "runs.jsonl") as store:
        store.save(AgentTrace(run_id="whole"))
        moment = "2026-03-01T00:00:00.000000+00:00"
        line = {"run_id": "damaged", "created_at": moment, "trace": data | {"run_id": "damaged"}}
        with (tmp_path / "runs.jsonl").open("ab") as file:
            file.write(dumps(line) + b"\n")
        assert [summary.run_id for summary in store.list()] == ["whole"]
        with pytest.raises(CorruptTraceError, match="reference"):
            store.load("damaged")


def test_a_newer_version_is_refused():
    data = json.loads(encode(conversation(3)).trace) | {KEY: 2}
    with pytest.raises(ValueError, match="version 2"):
        decode(dumps(data))


def test_references_cannot_expand_to_any_size():
    steps = [{"type": "llm_call", "input": "x" * 1000}]
    for n in range(60):
        half = {"$ref": f"steps/{n}/input", "to": 1000 * 2**n}
        steps.append({"type": "llm_call", "input": {"$text": [half, half]}})
    bomb = {"run_id": "bomb", "steps": steps, KEY: 1}
    with pytest.raises(ValueError, match="too much"):
        expand(json.loads(json.dumps(bomb)), 10**6)
    with pytest.raises(InvalidTraceError, match="too much"):
        sent(dumps(bomb))


@pytest.mark.parametrize("kind", ["memory", "jsonl", "sqlite", "async"])
def test_every_backend(kind, tmp_path):
    run = conversation(9, texts=True)
    if kind == "async":

        async def through() -> AgentTrace:
            async with AsyncSQLiteTraceStore(tmp_path / "runs.db") as store:
                await store.save(run)
                return await store.load(run.run_id)

        assert asyncio.run(through()) == run
        return
    path = tmp_path / f"runs.{kind}"
    stores = {"jsonl": JSONLTraceStore, "sqlite": SQLiteTraceStore}
    with InMemoryTraceStore() if kind == "memory" else stores[kind](path) as store:
        store.save(run)
        assert store.load(run.run_id) == run
        (summary,) = store.list()
        assert summary.input.startswith("Question 0")
        assert summary.output.startswith("Answer 8")
        if kind != "memory":
            assert store.verify().ok
            store.repair(tmp_path / "repaired")
            with stores[kind](tmp_path / "repaired") as repaired:
                assert repaired.load(run.run_id) == run


def test_lines_are_read_by_import_and_by_the_service():
    run = conversation(9, texts=True)
    line = json.dumps(
        {"created_at": "2026-03-01T00:00:00Z", "trace": json.loads(encode(run).trace)}
    )
    assert sent(line.encode()) == run
    assert imported(json.loads(line)) == run


def test_selectools_reads_them(tmp_path):
    observe = pytest.importorskip("selectools.observe")
    with JSONLTraceStore(tmp_path / "runs.jsonl") as store:
        store.save(conversation(9, texts=True))
    theirs = observe.JSONLTraceStore(str(tmp_path / "runs.jsonl")).load("conversation")
    assert [step.tool_result for step in theirs.steps] == [
        step.tool_result for step in conversation(9).steps
    ]


EXPAND = r"""
def at($run; $path): reduce ($path / "/")[] as $key ($run;
  if type == "array" then .[$key | tonumber] else .[$key | gsub("~1"; "/") | gsub("~0"; "~")] end);
def expanded($run):
  if type == "object" then
    if has("$value") then .["$value"] | map_values(expanded($run))
    elif has("$ref") then at($run; .["$ref"])
    elif has("$text") then .["$text"] | map(
      if type == "string" then .
      elif has("$ref") then at($run; .["$ref"])[:.to]
      else at($run; .["$json"]) | tojson[1:-1] end) | add
    else map_values(expanded($run)) end
  elif type == "array" then
    reduce .[] as $item ([]; . + (if ($item | type) == "object" and ($item | has("$items"))
      then at($run; $item["$items"])[:$item.to] else [$item | expanded($run)] end))
  else . end;
reduce range(.steps | length) as $n (.;
  . as $run | .steps[$n].input |= expanded($run) | . as $run | .steps[$n].output |= expanded($run))
"""


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_jq_reads_them():
    run = conversation(9)
    done = subprocess.run(
        ["jq", "-c", EXPAND], input=encode(run).trace, capture_output=True, check=True
    )
    loaded = json.loads(done.stdout)
    assert [step.get("input") for step in loaded["steps"]] == [step.input for step in run.steps]
