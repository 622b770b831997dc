"""The statistics: what the page shows is what the library reckons."""

from __future__ import annotations

from selectools_observe import InMemoryTraceStore
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
    page.get_by_role("link", name="By tool").click()
    page.get_by_role("columnheader", name="Tool").wait_for()
    assert [row[:2] for row in table(page)] == [[g.key, f"{g.calls:,}"] for g in told.tools]
    assert page.url.endswith("#/stats?by=tool")


def test_the_filter_holds_here_too(open_page, airline_url, airline_traces):
    page = open_page(f"{airline_url}#/stats?q=tool%3Acalculate")
    wanted = sum(any(s.tool_name == "calculate" for s in t.steps) for t in airline_traces)
    page.get_by_role("status").filter(has_text=f"{wanted} runs.").wait_for()


def test_a_group_leads_to_its_runs(open_page, airline_url, airline_traces):
    page = open_page(f"{airline_url}#/stats?by=tool")
    page.get_by_role("link", name="book_reservation").click()
    wanted = sum(any(s.tool_name == "book_reservation" for s in t.steps) for t in airline_traces)
    page.get_by_role("status").filter(has_text=f"{wanted} runs").wait_for()
