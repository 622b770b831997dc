"""The statistics: what the page shows is what the library reckons, and leads to its runs."""

from __future__ import annotations

import re
import time

from conversations import conversations, run_of

from selectools_observe import AgentTrace, InMemoryTraceStore, TraceStep
from selectools_observe.analytics import collect


def table(page):
    rows = page.locator(".stats tbody tr")
    rows.first.wait_for()
    return [[cell.strip() for cell in row.split("\t")] for row in rows.all_inner_texts()]


def test_by_model_and_tool(open_page, airline_url, airline_traces):
    store = InMemoryTraceStore(max_size=1000)
    store.save_many(airline_traces)
    told = collect(store)
    page = open_page(f"{airline_url}#/stats")
    (row,) = table(page)
    assert row[:2] == ["gpt-4o", f"{told.models[0].calls:,}"]
    assert f"${told.models[0].cost_usd.total:,.2f}" in row
    page.locator(".by select").select_option("tool")
    page.get_by_role("columnheader", name="Tool").wait_for()
    assert [row[:2] for row in table(page)] == [[g.key, f"{g.calls:,}"] for g in told.tools]
    assert page.url.endswith("#/stats?by=tool")


def test_the_last_week_comes_first_if_some_run_began_then(open_page, serve):
    now = time.time()
    old, new = (
        AgentTrace([TraceStep("llm_call", model=name, timestamp=at)], run_id=name, start_time=at)
        for name, at in (("old-model", now - 20 * 86_400), ("new-model", now - 3600))
    )
    served = serve([old, new])
    page = open_page(served.url)
    page.get_by_role("link", name="Statistics").click()
    page.get_by_role("status").filter(has_text="1 run.").wait_for()
    assert [row[0] for row in table(page)] == ["new-model"]
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("status").filter(has_text="2 runs.").wait_for()
    page.goto(f"{served.url}#/stats?q=started%3E7d")
    page.keyboard.press("1")
    page.get_by_role("status").filter(has_text="2 runs").wait_for()


def test_all_runs_are_summed_up_if_none_began_in_the_last_week(open_page, airline_url):
    page = open_page(airline_url)
    page.get_by_role("link", name="Statistics").click()
    page.get_by_role("status").filter(has_text="200 runs.").wait_for()
    assert page.url.endswith("#/stats")


def test_the_filter_holds_here_too(open_page, airline_url, airline_traces):
    page = open_page(f"{airline_url}#/stats?q=tool%3Acalculate")
    wanted = sum(any(s.tool_name == "calculate" for s in t.steps) for t in airline_traces)
    page.get_by_role("status").filter(has_text=f"{wanted} runs.").wait_for()


def test_a_group_leads_to_its_runs(open_page, airline_url, airline_traces):
    page = open_page(f"{airline_url}#/stats?by=tool")
    page.get_by_role("link", name="book_reservation").click()
    wanted = sum(any(s.tool_name == "book_reservation" for s in t.steps) for t in airline_traces)
    page.get_by_role("status").filter(has_text=f"{wanted} runs").wait_for()


def test_failed_calls_lead_to_the_runs_in_which_that_tool_failed(
    open_page, airline_url, airline_traces
):
    page = open_page(f"{airline_url}#/stats?by=tool")
    row = page.locator("tbody tr").filter(has_text="book_reservation")
    row.locator("td.bad a").click()
    wanted = sum(
        any(s.tool_name == "book_reservation" and s.error for s in t.steps) for t in airline_traces
    )
    page.get_by_role("status").filter(has_text=re.compile(f"^{wanted} runs?$")).wait_for()


def test_figures_lead_to_their_runs(open_page, serve):
    traces = [run_of(talk) for talk in conversations() if talk["task_id"] < 5]
    for trace in traces[:3]:
        trace.steps[0].error = "down"
    served = serve(traces)
    page = open_page(f"{served.url}#/stats")
    figure = page.locator("dl.totals > div").filter(has_text="Runs with errors")
    assert figure.locator("a").inner_text() == "3"
    figure.locator("a").click()
    page.get_by_role("status").filter(has_text=re.compile("^3 runs$")).wait_for()
    page.goto(f"{served.url}#/stats")
    page.locator("dl.totals > div").filter(has_text="p95 latency").locator("a").click()
    page.get_by_role("status").filter(has_text=re.compile("^[12] runs?$")).wait_for()


def test_by_any_key_and_what_was_said_of_the_runs(open_page, serve):
    from selectools_observe import SQLiteTraceStore

    traces = [run_of(talk) for talk in conversations() if talk["task_id"] < 3]
    served = serve(traces)
    with SQLiteTraceStore(served.path) as store:
        for trace in traces[:2]:
            store.annotate(trace.run_id, "quality", label="bad", score=0.5)
    page = open_page(f"{served.url}#/stats?by=task_id")
    page.get_by_role("columnheader", name="task_id").wait_for()
    rows = page.get_by_role("region", name="By task_id").locator("tbody tr").all_inner_texts()
    assert sorted(row.replace("\n", "").split("\t")[:2] for row in rows) == [
        ["0", "4"],
        ["1", "4"],
        ["2", "4"],
    ]
    judged = page.get_by_role("region", name="Annotations")
    assert judged.locator("tbody tr").inner_text().split("\t")[:3] == ["quality", "2", "0.5"]
    judged.get_by_role("link", name="bad").click()
    page.get_by_role("status").filter(has_text=re.compile("^2 runs$")).wait_for()
    page.goto(f"{served.url}#/stats?by=task_id")
    page.get_by_role("region", name="By task_id").get_by_role("link", name="1", exact=True).click()
    page.get_by_role("status").filter(has_text=re.compile("^4 runs$")).wait_for()


def test_cost_and_tokens_are_stacked_by_model_over_time(open_page, serve):
    now = time.time()
    traces = [
        AgentTrace(
            [
                TraceStep("llm_call", model=model, timestamp=at, cost_usd=cost, prompt_tokens=10)
                for model, cost in (("dear", 0.75), ("cheap", 0.25), ("free", None))
            ],
            run_id=f"run-{number}",
            start_time=at,
        )
        for number, at in enumerate((now - 86_400, now - 3 * 86_400))
    ]
    page = open_page(f"{serve(traces).url}#/stats")
    costs = page.locator("figure").filter(has_text="Cost by day and model")
    costs.get_by_role("link", name="cheap").wait_for()
    assert costs.locator("figcaption small").all_inner_texts() == ["dear $1.50", "cheap $0.5000"]
    heights = "all => all.map((bar) => Math.round(bar.getAttribute('height')))"
    stacks = costs.locator("g").evaluate_all(
        f"all => all.map((one) => ({heights})([...one.querySelectorAll('rect.bar')]))"
    )
    assert stacks == [[96, 24], [96, 24]]  # the cheap one stands before the sum of both
    tokens = page.locator("figure").filter(has_text="Tokens by day and model")
    assert len(tokens.locator("figcaption small").all()) == 3
    costs.get_by_role("link", name="cheap").click()
    page.get_by_role("status").filter(has_text=re.compile("^2 runs$")).wait_for()


def test_a_key_that_no_run_has_is_said_with_the_nearest_one(open_page, serve):
    traces = [run_of(talk) for talk in conversations() if talk["task_id"] < 2]
    url = serve(traces).url
    for view in ("runs", "groups", "stats"):
        page = open_page(f"{url}#/{view}?q=(task_idd%3A1%20OR%20task_idd%3A2)%20-tool%3Athink")
        page.get_by_text("No run has the metadata key 'task_idd'").wait_for()
        page.get_by_role("button", name="Use").click()
        page.wait_for_function(
            "() => document.getElementById('search').value.includes('(task_id:1')"
        )
