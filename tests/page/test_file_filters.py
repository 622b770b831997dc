"""The filter language in an exported file: it finds the runs that the library finds."""

from __future__ import annotations

import json

import pytest
from conversations import conversations, run_of
from runs import graph_run, hostile_runs

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceFilter, TraceStep
from selectools_observe.interchange import saved_runs
from selectools_observe.server.static_export import standalone_html

MATCHING = """
import { readFileSync } from "node:fs";
import { Embedded } from "SRC/reader/embedded";
import { EmbeddedTraces } from "SRC/reader/traces";
const { blocks, filters } = JSON.parse(readFileSync(0, "utf8"));
const traces = new EmbeddedTraces(new Map(blocks.map((one) => [one.summary.run_id, one.trace])));
const file = new Embedded(blocks, traces);
const found = filters.map(([name, text]) => {
  try {
    return file.list({ [name]: text, limit: 1000 }).traces.map((run) => run.run_id).sort();
  } catch (error) {
    return error.message;
  }
});
console.log(JSON.stringify(found));
"""

FILTERS = [
    "reward<1", "-reward<1", "-tool:think", "status:error", "status:ok", "error:failed",
    "tool:get_*", "tool:book_reservation!error", "tool:calculate!failed OR tool:think",
    "type:llm_call!error", "-type:llm_call!error", "model:gpt-4o*", "model!=gpt-4o",
    "user_id:mia_li_3668", "(task_id:0 OR task_id:1) reward>=1", "task_id:0 OR task_id:1 reward>=1",
    'task_id:"0"', "task_id:0*", "task_id:*", "has:reward", "has:cost", "-has:cost", "has:tool",
    "has:session", "has:parent", "has:tags", "has:annotation", "has:score.quality", "has:note",
    "has:meta.user_id", "score.quality<0.5", "score.quality:*", "score.quality!=1", "label:bad",
    "label.verdict:ba*", "-label:bad", "steps>20", "steps:>=20", "steps=7", "latency>5s",
    "latency<1m", "wall>0.1m", "tokens>10k", "tokens<1.5M", "cost>0.01", "cost<=$0.05",
    "started>2020-01-01", "started<2020-01-01", "saved:today", "since:1h", "until:1h",
    "since:2020-01-01T10:00 steps>2", "started:2026-11-29", "name:airline*", "session:task*",
    "insurance", '"travel insurance"', "insurance OR certificate", "insur -certificate",
    "book_reservation", "INSURANCE", "text:insurance", 'text:"travel insurance"', "naïve", "naive",
    "東京", "京", "straße", "strasse", "3.5", "-(a b)", "NOT tool:think NOT tool:calculate",
    "--reward<1", "AND", "run:conv*", "meta.name:ada", "name:ada", "flags:red", "flags:re*",
    "nothing:null", "nothing:*", "ok:true", '"odd key":1', "a.b:1", "tag:x", "tag:y*",
    # not readable
    "(a", "a)", "reward<x", "latency>abc", "tool:", "tool<3", "status:eror", "started:2h", "OR",
    "user:ada!error", "-", "tool:a!wrong", "tool:a!eror", "tool:a!Failure",
    'tool:"a!eror"', "lattency>5s", "since>2h", "name>3", "score.quality:bad", "cost>much",
]  # fmt: skip
TEXTS = ["insurance", '"travel insurance" certificate', "get_user_details", "東京 tower", "zzz"]


def odd_runs() -> list[AgentTrace]:
    """Runs with what filters may stumble over."""
    steps = [
        TraceStep("llm_call", timestamp=5.0, model="gpt-4o-mini", error="down", cost_usd=0.5),
        TraceStep("tool_execution", timestamp=6.0, tool_name="calculate", error="zero"),
        TraceStep("tool_execution", timestamp=7.0, tool_name="look", tool_result="Straße, naïve"),
    ]
    metadata = {
        "name": "ada", "flags": ["red", 3], "nothing": None, "ok": True, "odd key": 1, "a.b": 1,
        "task_id": "0", "tags": ["x", "yes"], "reward": "high", "__proto__": "x",
    }  # fmt: skip
    other = AgentTrace([TraceStep("llm_call", output="東京 tower 3.5")], run_id="other")
    return [AgentTrace(steps, run_id="odd", metadata=metadata, start_time=5.0), other]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Conversations, graphs, hostile and odd runs, some of them judged."""
    with SQLiteTraceStore(tmp_path_factory.mktemp("filters") / "traces.db") as opened:
        traces = [run_of(talk) for talk in conversations() if talk["task_id"] < 4]
        opened.save_many([*traces, graph_run(), *hostile_runs(), *odd_runs()])
        for number, trace in enumerate(traces[:6]):
            opened.annotate(trace.run_id, "quality", score=number / 5, note="x" * (number % 2))
            opened.annotate(trace.run_id, "verdict", label=["bad", "good"][number % 2])
        yield opened


@pytest.mark.slow
def test_a_file_finds_what_the_library_finds(store, run_script):
    asked = [("filter", text) for text in FILTERS] + [("text", text) for text in TEXTS]
    found = run_script(MATCHING, {"blocks": _blocks(store), "filters": asked})
    wrong = {}
    for (name, text), answer in zip(asked, found, strict=True):
        ours = "an error" if isinstance(answer, str) else answer
        try:
            filters = TraceFilter(where=text) if name == "filter" else TraceFilter(text=text)
            expected = sorted(run.run_id for run in store.iter_summaries(filters))
        except ValueError:
            expected = "an error"
        if ours != expected:
            wrong[text] = (ours, expected)
    assert wrong == {}


def _blocks(store):
    page = standalone_html(saved_runs(store))
    texts = [
        part.split("</script>")[0] for part in page.split('<script type="application/json">')[1:]
    ]
    rows = zip(texts[::3], texts[1::3], texts[2::3], strict=True)
    return [
        {"summary": json.loads(one), "trace": two, "reading": three} for one, two, three in rows
    ]


def test_a_file_is_filtered_sorted_and_searched_as_the_service_is(open_page, store, tmp_path):
    path = tmp_path / "runs.html"
    path.write_text(standalone_html(saved_runs(store)), "utf-8")
    page = open_page(path.as_uri())
    box = page.locator("#search")
    for text in ("-tool:think (task_id:0 OR task_id:1)", "insurance", "label:bad"):
        box.fill(text)
        many = store.count(TraceFilter(where=text))
        page.get_by_role("status").filter(has_text=f"{many} run").first.wait_for()
    box.fill("latency>abc")
    page.get_by_role("heading", name="The filter cannot be read").wait_for()
    box.fill("")
    page.get_by_role("button", name="Steps").click()
    page.get_by_role("columnheader", name="Steps ↓").wait_for()
    most = max(run.steps for run in store.iter_summaries())
    page.locator("#run-0").filter(has_text=f"{most:,}").wait_for()
