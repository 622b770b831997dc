"""One run: its waterfall, its steps, its JSON, its relatives; and two of them compared."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pageserver import serving_or_skip
from runs import child_run, graph_run, step, until

from selectools_observe import AgentTrace, InMemoryTraceStore, SQLiteTraceStore, TraceStep
from selectools_observe.analytics import compare
from selectools_observe.capture import Recorder
from selectools_observe.server.static_export import standalone_html


@pytest.fixture(scope="module")
def graph_url(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "traces.db"
    with SQLiteTraceStore(path) as store:
        store.save_many([graph_run(), child_run(1), child_run(2)])
    with serving_or_skip(path) as served:
        yield served.url


def names(page):
    rows = page.locator(".fall .vrow .row")
    rows.first.wait_for()
    return [" ".join(text.split()) for text in rows.locator(".name").all_inner_texts()]


def test_steps_stand_inside_their_nodes(open_page, graph_url):
    page = open_page(f"{graph_url}#/run/graph-1")
    assert names(page)[:3] == ["▾ graph_node_start plan", "llm_call gpt-4o", "graph_node_end plan"]
    depths = page.locator(".fall .vrow .name").evaluate_all(
        "all => all.map(one => parseInt(one.style.paddingLeft) / 14)"
    )
    assert depths == [0, 1, 1, 0, 0, 1, 2, 2, 1, 2, 2, 1, 0, 0]
    order = page.locator(".fall .vrow .no").all_inner_texts()
    assert order == ["1", "2", "3", "4", "5", "6", "8", "10", "7", "9", "11", "12", "13", "14"]


def test_folding(open_page, graph_url):
    page = open_page(f"{graph_url}#/run/graph-1?step=5")
    assert len(names(page)) == 14
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Unfold 7 steps").wait_for()
    assert len(names(page)) == 7
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Fold 7 steps").wait_for()
    assert len(names(page)) == 14


def test_a_step_in_full(open_page, graph_url):
    page = open_page(f"{graph_url}#/run/graph-1")
    names(page)
    page.keyboard.press("e")  # the first step that failed
    panel = page.get_by_role("region", name="Step 9")
    panel.get_by_text("HTTP 503").wait_for()
    assert page.url.endswith("#/run/graph-1?step=9")
    page.keyboard.press("k")
    page.keyboard.press("k")
    panel = page.get_by_role("region", name="Step 10")
    panel.wait_for()
    page.goto(f"{graph_url}#/run/graph-1?step=8")  # a link to a step
    panel = page.get_by_role("region", name="Step 8")
    assert panel.get_by_role("row", name="q").inner_text().split() == ["q", "trace", "stores"]
    assert '"found": [\n    1,\n    2\n  ]' in panel.get_by_label("Result").inner_text()
    panel.get_by_role("button", name="As stored").click()
    panel.get_by_text('{"found": [1, 2]}').wait_for()
    panel.get_by_role("button", name="Raw").click()
    panel.get_by_text('"tool_name"').wait_for()
    page.keyboard.press("Escape")
    panel.wait_for(state="detached")


def test_copying(open_page, graph_url):
    page = open_page(
        f"{graph_url}#/run/graph-1?step=8", permissions=["clipboard-read", "clipboard-write"]
    )
    page.get_by_label("Result").get_by_role("button", name="Copy").click()
    page.get_by_text("Copied").wait_for()
    read = "navigator.clipboard.readText()"
    assert page.evaluate(read) == '{\n  "found": [\n    1,\n    2\n  ]\n}'
    page.get_by_role("button", name="Copy JSON").click()
    until(page, f"{read}.then(text => text.includes('graph_parallel_end'))")
    page.get_by_role("button", name="Copy id").click()
    until(page, f"{read}.then(text => text === 'graph-1')")


def test_relatives_are_linked(open_page, graph_url):
    page = open_page(f"{graph_url}#/run/graph-1")
    page.get_by_role("link", name="child-2").click()
    page.get_by_role("heading", name="child-2").wait_for()
    page.get_by_role("link", name="graph-1").click()
    page.get_by_role("heading", name="graph-1").wait_for()


def test_metadata_leads_to_runs_like_it(open_page, graph_url):
    page = open_page(f"{graph_url}#/run/graph-1")
    page.get_by_role("link", name="user_id : alice").click()
    page.get_by_role("status").filter(has_text="1 run").wait_for()
    assert page.locator("#search").input_value() == "user_id:alice"


def test_the_run_as_json(open_page, graph_url):
    page = open_page(f"{graph_url}#/run/graph-1?show=json")
    page.get_by_role("region", name="The run as JSON").get_by_text('"graph_routing"').wait_for()


def test_finding_steps(open_page, graph_url):
    page = open_page(f"{graph_url}#/run/graph-1")
    names(page)
    page.keyboard.press("/")
    page.keyboard.type("papers")
    page.get_by_role("status").filter(has_text="3 of 14 steps").wait_for()


def test_a_run_without_steps(open_page, serve):
    served = serve([AgentTrace(run_id="none", start_time=0)])
    page = open_page(f"{served.url}#/run/none")
    page.get_by_text("This run has no steps").wait_for()


def test_a_run_that_is_not_there(open_page, graph_url):
    page = open_page(f"{graph_url}#/run/nobody")
    page.get_by_role("heading", name="Run not found").wait_for()


def test_stamps_at_the_end_are_understood(open_page, serve):
    """selectools writes a step once it is over: the bars stand where the work was."""
    trace = AgentTrace(run_id="ends", start_time=1_780_000_000.0)
    for one in (
        step("llm_call", 1000, 1000, model="gpt-4o"),
        step("tool_execution", 1500, 500, tool_name="search"),
        step("llm_call", 2000, 500, model="gpt-4o"),
    ):
        trace.add(one)
    page = open_page(f"{serve([trace]).url}#/run/ends")
    names(page)
    lefts = page.locator(".fall .lane .bar").evaluate_all("all => all.map(one => one.style.left)")
    assert lefts == ["0%", "50%", "75%"]


def test_deleting(open_page, serve):
    served = serve([graph_run(), child_run(1)])
    page = open_page(f"{served.url}#/run/child-1")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete it").click()
    page.get_by_role("status").filter(has_text="1 run").wait_for()
    page.goto(f"{served.url}#/run/child-1")
    page.get_by_role("heading", name="Run not found").wait_for()


def test_two_runs_side_by_side(open_page, airline_url, airline_traces):
    by_id = {trace.run_id: trace for trace in airline_traces}
    found = compare(by_id["airline-03-0"], by_id["airline-03-1"])
    page = open_page(f"{airline_url}#/run/airline-03-0")
    names(page)
    page.keyboard.press("c")
    page.get_by_text("Choose the run to compare").wait_for()
    page.locator("#search").fill("airline-03-1")
    page.get_by_role("status").filter(has_text="1 run found").wait_for()
    page.locator(".vrow .row").first.click()
    page.get_by_role("heading", name="Compare").wait_for()
    assert "#/compare/airline-03-0/airline-03-1" in page.url
    first = page.locator(".row.first")
    assert first.get_attribute("id") == f"pair-{found.first_difference}"
    panel = page.get_by_role("region", name="Diff")
    assert panel.locator("del").first.inner_text() == "help"
    assert panel.locator("ins").first.inner_text() == "assist"
    same = sum(pair.change == "same" for pair in found.pairs)
    assert f"{same} steps the same" in page.get_by_role("status").inner_text()
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.locator(f"#pair-{third_difference(found)}.chosen").wait_for()
    page.reload()  # the address holds the comparison and the row
    page.locator(f"#pair-{third_difference(found)}.chosen").wait_for()


def third_difference(found):
    return [at for at, pair in enumerate(found.pairs) if pair.change != "same"][2]


def two_nodes_at_once() -> AgentTrace:
    """Two nodes of one name at work at the same time, each with a call of a model."""
    said = [
        ("graph_node_start", "1", "nodes", None), ("graph_node_start", "2", "nodes", None),
        ("llm_call", "3", "1", "first"), ("llm_call", "4", "2", "second"),
        ("graph_node_end", "1", "nodes", None), ("graph_node_end", "2", "nodes", None),
    ]  # fmt: skip
    trace = AgentTrace(run_id="nodes", start_time=1.0)
    for at, (kind, run_id, parent, model) in enumerate(said):
        ids = {"run_id": run_id, "parent_run_id": parent}
        trace.add(TraceStep(kind, at + 1.0, 1.0, node_name="same", model=model, extra=ids))
    return trace


@pytest.mark.parametrize("where", ["served", "file"])
def test_steps_of_nodes_of_one_name_are_inside_of_their_own(open_page, serve, tmp_path, where):
    if where == "served":
        url = serve([two_nodes_at_once()]).url
    else:
        path = tmp_path / "run.html"
        path.write_text(standalone_html([two_nodes_at_once()]), "utf-8")
        url = path.as_uri()
    page = open_page(f"{url}#/run/nodes")
    page.locator(".fall .vrow").nth(5).wait_for()
    assert page.locator(".fall .vrow .no").all_inner_texts() == ["1", "3", "5", "2", "4", "6"]


def test_a_run_and_itself(open_page, airline_url):
    page = open_page(f"{airline_url}#/compare/airline-03-0/airline-03-0")
    page.get_by_text("No differences.").wait_for()


def test_spans_say_what_stands_inside_what(open_page, serve):
    """Steps of OpenTelemetry and of OpenAI Agents name their spans."""
    trace = AgentTrace(run_id="spans", start_time=1_780_000_000.0)
    root = {"span_id": "a" * 16}
    for one in (
        step("graph_node_start", 0, node_name="agent", extra={"otel": root}),
        step("span", 1, 50, extra={"otel": {"span_id": "b" * 16, "parent_span_id": "a" * 16}}),
        step("llm_call", 2, 9, extra={"otel": {"span_id": "c" * 16, "parent_span_id": "b" * 16}}),
        step(
            "tool_execution",
            60,
            9,
            extra={"otel": {"span_id": "d" * 16, "parent_span_id": "a" * 16}},
        ),
        step("graph_node_end", 70, node_name="agent", extra={"otel": {**root, "end": True}}),
        step("llm_call", 80, 9, extra={"openai": {"span_id": "e", "parent_id": "e"}}),
        step("llm_call", 81, 9, extra={"openai": {"span_id": "f", "parent_id": "g"}}),
        step("llm_call", 82, 9, extra={"openai": {"span_id": "g", "parent_id": "f"}}),
    ):
        trace.add(one)
    page = open_page(f"{serve([trace]).url}#/run/spans")
    names(page)
    depths = page.locator(".fall .vrow .name").evaluate_all(
        "all => all.map(one => parseInt(one.style.paddingLeft) / 14)"
    )
    assert depths[:6] == [0, 1, 2, 1, 1, 0]  # a span inside itself stands at the top
    assert len(depths) == 8  # and none is lost where two are inside each other


def test_recorded_steps_stand_inside_the_step_around_them(open_page, serve):
    store = InMemoryTraceStore()
    with Recorder(store).run(run_id="recorded") as run:
        with run.tool("outer", {}), run.tool("inner", {}):
            pass
        with run.tool("last", {}):
            pass
    page = open_page(f"{serve([store.load('recorded')]).url}#/run/recorded")
    assert names(page) == ["▾ tool_execution outer", "tool_execution inner", "tool_execution last"]


def test_estimated_costs_are_marked_and_unknown_ones_are_dashes(open_page, serve):
    told = {"cost_estimate": {"prices": "2026-01"}}
    guessed = AgentTrace(run_id="guessed", steps=[TraceStep("llm_call", cost_usd=0.5, extra=told)])
    unknown = AgentTrace(run_id="unknown", steps=[TraceStep("llm_call")])
    url = serve([guessed, unknown]).url
    page = open_page(f"{url}#/run/guessed?step=1")
    page.get_by_role("region", name="Step 1").get_by_text("Cost, estimated").wait_for()
    total = page.locator(".totals > div").filter(has_text="Cost, estimated").first
    assert total.inner_text().split("\n") == ["Cost, estimated", "$0.5000"]
    page.goto(f"{url}#/run/unknown")
    page.get_by_role("heading", name="unknown").wait_for()
    assert page.locator(".totals > div").filter(has_text="Cost").inner_text().split("\n") == [
        "Cost",
        "-",
    ]


def test_an_old_run_with_many_keys_and_an_error_that_is_its_result(open_page, serve):
    at = datetime(2021, 5, 17, 12, 30, tzinfo=UTC).timestamp()
    step = TraceStep(
        "tool_execution", at, 5.0, tool_name="pay", tool_result="no money", error="no money"
    )
    metadata = {f"key-{number:02}": number for number in range(60)}
    url = serve([AgentTrace([step], at, "old", metadata=metadata)]).url
    page = open_page(url)
    page.locator("#run-0").get_by_text("old").first.wait_for()
    assert "2021" in page.locator("#run-0").inner_text()
    page = open_page(f"{url}#/run/old?step=1")
    page.get_by_role("button", name="+48").click()
    page.get_by_text("key-59").wait_for()
    panel = page.get_by_role("region", name="Step 1")
    panel.wait_for()
    assert panel.inner_text().count("no money") == 1
