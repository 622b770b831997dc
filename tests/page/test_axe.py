"""Accessibility: axe-core finds nothing, in light and dark, on a wide screen and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

AXE = (
    Path(__file__).resolve().parents[2]
    / "selectools_observe" / "server" / "page" / "node_modules" / "axe-core" / "axe.min.js"
)  # fmt: skip
VIEWS = {
    "list": "",
    "run": "#/run/airline-03-0?step=5",
    "conversation": "#/run/airline-03-0?tab=conversation&step=2",
    "json": "#/run/airline-03-0?show=json",
    "compare": "#/compare/airline-03-0/airline-03-1",
    "table": "#/compare/airline-03-0/airline-03-1/airline-03-2",
    "groups": "#/groups?by=task_id",
    "thread": "#/thread/3?by=task_id",
    "stats": "#/stats?by=tool",
    "nothing": "#/runs?q=model:nobody",
    "missing": "#/run/nobody",
}
READY = {
    "list": ".runs .row.chosen",
    "run": ".panel .field",
    "conversation": ".turns article",
    "json": ".panel pre",
    "compare": ".row.first",
    "table": ".runs-table tbody tr",
    "groups": ".group-table tbody tr",
    "thread": ".thread article",
    "stats": ".stats tbody tr",
    "nothing": ".state h2",
    "missing": ".state h1",
}


@pytest.mark.parametrize("width", [1280, 390], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(open_page, airline_url, view, scheme, width):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in the page's folder")
    page = open_page(f"{airline_url}{VIEWS[view]}", scheme=scheme, size=(width, 800))
    if view == "list":
        page.locator(".runs .row").nth(3).wait_for()
        page.keyboard.press("j")
    page.locator(READY[view]).first.wait_for()
    page.wait_for_timeout(300)  # what fades in has done so
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        (one["id"], node["target"], node["failureSummary"])
        for one in found["violations"]
        for node in one["nodes"][:2]
    ]
    assert told == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_whole_head_of_a_phone(open_page, airline_url, scheme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in the page's folder")
    page = open_page(f"{airline_url}#/run/airline-03-0", scheme=scheme, size=(390, 844))
    page.get_by_role("button", name="More of the run").click()
    page.get_by_role("button", name="Copy link").wait_for()
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(one["id"], one["nodes"][0]["target"]) for one in found["violations"]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_help_and_the_completions(open_page, airline_url, scheme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in the page's folder")
    page = open_page(airline_url, scheme=scheme)
    page.locator(".runs .row").nth(3).wait_for()
    for key, ready in (
        ("/", ".choices"),
        ("Escape", ".runs .row"),
        ("Escape", ".row"),
        ("?", "dialog[open]"),
    ):
        page.keyboard.press(key)
        page.locator(ready).first.wait_for()
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [(one["id"], one["nodes"][0]["target"]) for one in found["violations"]] == []
