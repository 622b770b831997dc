"""One run never breaks a view: whatever a run holds, every command and route shows the others."""

from __future__ import annotations

import math

import pytest
from command import run
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceStep
from selectools_observe.model.trace import DETAIL_FIELDS, STEP_FIELDS
from selectools_observe.stores.open import open_store

HUGE = 10**5000
NUMBERS = [
    HUGE, -HUGE, 10**400, -(10**400), 2**63, -(2**63) - 1, 1e308, -1e308, 1.7e308, 5e-324,
    math.inf, -math.inf, math.nan, 0, -0.0, -1, 1e18, 253402300800, -62135596801, 9e15,
]  # fmt: skip
TEXTS = [
    "",
    "\ud800",
    "a\x00b",
    "\u202e\x1b[31m",
    "x" * 5000,
    "<script>",
    "=1+1",
    "\n\n",
    "\U0001f600",
]

numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(), st.floats())
texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=8))
ids = st.text("abc\u202e \n/%?#&='\"\x1b", min_size=1, max_size=5)


@st.composite
def hostile_steps(draw):
    fields = {
        "timestamp": numbers,
        "duration_ms": numbers,
        "prompt_tokens": st.sampled_from([HUGE, 10**400, -5, 0, 2**63]),
        "completion_tokens": st.sampled_from([HUGE, 10**400, -5, 0, 2**63]),
        "cost_usd": numbers,
        "step_number": st.sampled_from([HUGE, -1, 0]),
        "tool_name": texts,
        "model": texts,
        "tool_result": texts,
        "error": texts,
        "summary": texts,
        "tool_args": st.dictionaries(texts, st.one_of(numbers, texts), max_size=2),
        "children": st.lists(texts, max_size=2),
        "extra": st.dictionaries(st.sampled_from(["later", "and_more"]), numbers, max_size=2),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(fields)), max_size=6))
    kind = draw(st.sampled_from(["llm_call", "tool_execution", "error", "from the future", ""]))
    return TraceStep(kind, **{name: draw(fields[name]) for name in sorted(chosen)})


@st.composite
def hostile_traces(draw):
    return AgentTrace(
        draw(st.lists(hostile_steps(), max_size=3)),
        start_time=draw(numbers),
        run_id=draw(ids),
        parent_run_id=draw(st.one_of(st.none(), texts)),
        metadata=draw(st.dictionaries(texts, st.one_of(numbers, texts), max_size=3)),
    )


# Each hostile value is tried by the slow ones; some of them by all.
SHARES = pytest.mark.parametrize(
    "share",
    [slice(0, None, 9), pytest.param(slice(None), marks=pytest.mark.slow)],
    ids=["some", "all"],
)


OTHER_KINDS = [
    [1],
    [["x"], {"type": [1]}],
    {"a": [1]},
    {"type": {"a": 1}, "role": [1]},
    5,
    True,
    "",
]
KINDS = ["llm_call", "tool_selection", "tool_execution", "graph_node_start", "error"]


def of_other_kinds() -> list[AgentTrace]:
    """Runs of which one field holds what is not of its kind, as files of others may."""
    made = []
    for name in STEP_FIELDS:
        steps = [
            TraceStep(kind, **{name: v}) for v in OTHER_KINDS for kind in KINDS if name != "type"
        ]
        made.append(AgentTrace(steps, run_id=f"step.{name}"))
    for name in (*DETAIL_FIELDS, "parent_run_id"):
        made += [AgentTrace(run_id=f"{name}-{n}", **{name: v}) for n, v in enumerate(OTHER_KINDS)]
    return made


def each_alone(share: slice) -> list[AgentTrace]:
    """Runs with one hostile value each."""
    made = []
    for number in NUMBERS:
        made.append(AgentTrace(metadata={"n": number, "deep": [{"n": number}]}))
        made.append(AgentTrace(start_time=number))
        for name in ("timestamp", "duration_ms", "cost_usd"):
            made.append(AgentTrace([TraceStep("llm_call", **{name: number})]))
            made.append(AgentTrace([TraceStep("tool_execution", **{name: number})] * 3))
        made.append(AgentTrace([TraceStep("llm_call", tool_args={"n": number}, model="m")]))
        if isinstance(number, int):
            made.append(AgentTrace([TraceStep("llm_call", prompt_tokens=number, model="m")] * 2))
            made.append(AgentTrace([TraceStep("llm_call", step_number=number)]))
    return made[share]


def commands_of_all(folder):
    yield ["list", "-n", "500"]
    yield ["list", "-n", "500", "--json"]
    yield ["query", "--min-steps", "0"]
    yield ["tail", "-n", "500"]
    yield ["stats"]
    yield ["stats", "--by", "model"]
    yield ["stats", "--by", "tool", "--json"]
    yield ["stats", "--by", "day"]
    yield ["verify"]
    for form in ("jsonl", "csv", "html"):
        yield ["export", "--format", form, "-o", folder / f"out.{form}", "--force"]
    yield ["copy", folder / "copy.db"]


def commands_of_one(run_id: str, other: str):
    yield ["show", run_id]
    yield ["show", run_id, "--json"]
    yield ["show", run_id, "--step", "0"]
    yield ["compare", run_id, other]
    yield ["compare", other, run_id, "--json"]


def check_all(path, folder, run_ids: list[str]) -> None:
    alone = [each for run_id in run_ids for each in commands_of_one(run_id, run_ids[-1])]
    for arguments in (*commands_of_all(folder), *alone):
        result = run("-s", path, *arguments)
        assert result.returncode in (0, 1, 2), (arguments, result.stderr)
        assert "internal error" not in result.stderr


@pytest.mark.slow
@SHARES
def test_every_command_with_one_hostile_value(tmp_path, share):
    path = tmp_path / "runs.db"
    hostile = each_alone(share)
    with SQLiteTraceStore(path) as store:
        for number, trace in enumerate(hostile):
            trace.run_id = f"run-{number:03}"
            store.save(trace)
    check_all(path, tmp_path, [trace.run_id for trace in hostile])
    shown = run("-s", path, "list", "-n", "500", "--json").stdout
    assert all(trace.run_id in shown for trace in hostile)


@SHARES
def test_every_route_with_one_hostile_value(tmp_path, share):
    httpx = pytest.importorskip("httpx")
    starlette = pytest.importorskip("starlette.testclient")
    from selectools_observe.server import create_app

    assert httpx
    hostile = each_alone(share)
    with SQLiteTraceStore(tmp_path / "runs.db") as store:
        for number, trace in enumerate(hostile):
            trace.run_id = f"run-{number:03}"
            store.save(trace)
        with starlette.TestClient(create_app(store), base_url="http://localhost") as client:
            for path in ("traces?limit=500", "stats", "histogram", "count", "about"):
                assert client.get(f"/api/{path}").status_code == 200, path
            for trace in hostile:
                at = f"/api/traces/{trace.run_id}"
                asked = [at, f"{at}/children", f"{at}?text_limit=10"]
                asked += [f"{at}/steps/0"] if trace.steps else []
                asked += [f"/api/compare?one={trace.run_id}&other=run-000"]
                asked += [f"/api/compare/runs?run_ids={trace.run_id}&run_ids=run-000"]
                asked += [f"{at}/candidates"]
                for path in asked:
                    assert client.get(path).status_code == 200, (path, client.get(path).text)


@pytest.mark.parametrize("share", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_every_view_of_a_run_with_a_field_of_another_kind(tmp_path, share):
    """`show` and the HTML export ended with a TypeError, and so did `save`."""
    starlette = pytest.importorskip("starlette.testclient")
    from selectools_observe.server import create_app

    path = tmp_path / "runs.db"
    with SQLiteTraceStore(path) as store:
        made = of_other_kinds()[share::3]
        store.save_many(made)
        with starlette.TestClient(create_app(store), base_url="http://localhost") as client:
            for trace in made:
                at = f"/api/traces/{trace.run_id}"
                for asked in (at, f"{at}/conversation", f"{at}/candidates"):
                    assert client.get(asked).status_code == 200, asked
    for command in (
        *(["show", trace.run_id] for trace in made),
        ["list", "-n", "500"],
        ["export", "--format", "html", "-o", tmp_path / "out.html"],
    ):
        shown = run("-s", path, *command)
        assert shown.returncode == 0, (command, shown.stderr)


@pytest.mark.slow
@profile(12)
@given(traces=st.lists(hostile_traces(), min_size=1, max_size=2, unique_by=lambda t: t.run_id))
@pytest.mark.parametrize("ending", ["db", "jsonl"])
def test_every_command_with_hostile_runs(ending, traces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / f"runs.{ending}"
    with open_store(path) as store:
        store.save_many(traces)
    check_all(path, folder, [trace.run_id for trace in traces])
