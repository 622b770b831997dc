"""Narrow windows: a phone, and a screen enlarged to 400 %. Nothing stands beyond the right edge."""

from __future__ import annotations

import pytest

VIEWS = {
    "#/runs": ".runs .vrow .row",
    "#/groups?by=task_id": ".group-table tbody tr",
    "#/thread/3?by=task_id": ".thread article",
    "#/stats?by=tool": ".stats tbody tr",
    "#/run/airline-03-0": ".fall .vrow .row",
    "#/run/airline-03-0?tab=conversation": ".turns article",
    "#/run/airline-03-0?tab=conversation&step=3": ".panel .fields",
    "#/run/airline-03-0?show=json": ".panel pre",
    "#/runs?q=model:nobody": ".state h2",
    "#/compare/airline-03-0/airline-03-1": ".row.first",
    "#/compare/airline-03-0/airline-03-1/airline-03-2": ".runs-table tbody tr",
}


@pytest.mark.parametrize("size", [(390, 800), (320, 256)], ids=["phone", "zoomed"])
@pytest.mark.parametrize("address", VIEWS)
def test_nothing_stands_beyond_the_edge(open_page, airline_url, address, size):
    page = open_page(f"{airline_url}{address}", size=size)
    page.locator(VIEWS[address]).first.wait_for()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    top = page.locator("header.top").bounding_box()
    assert top["x"] + top["width"] <= size[0]
    last = page.locator("header.top button").last.bounding_box()
    assert last["x"] + last["width"] <= size[0] + 1


@pytest.mark.parametrize("tab", ["conversation", "timeline"])
def test_the_head_of_a_run_leaves_a_phone_most_of_its_screen(open_page, airline_url, tab):
    page = open_page(f"{airline_url}#/run/airline-03-0?tab={tab}", size=(390, 844))
    content = page.get_by_role("feed" if tab == "conversation" else "grid")
    content.wait_for()
    assert content.bounding_box()["y"] < 0.35 * 844
    assert not page.get_by_role("button", name="Copy link").is_visible()
    page.get_by_role("button", name="More of the run").click()
    page.get_by_role("button", name="Copy link").wait_for()
    assert page.get_by_role("list", name="Metadata").is_visible()
    assert page.get_by_text("Started").first.is_visible()


def test_a_search_on_a_phone_shows_where_the_words_were_said(open_page, airline_url):
    page = open_page(f"{airline_url}#/runs?q=insurance", size=(390, 844))
    page.locator(".runs .meta mark").first.wait_for()
    assert "insurance" in page.locator(".runs .meta mark").first.inner_text().lower()


@pytest.mark.parametrize("size", [(390, 800), (320, 256)], ids=["phone", "zoomed"])
def test_the_bar_of_marked_runs_fits(open_page, airline_url, size):
    page = open_page(airline_url, size=size)
    page.locator(".runs .vrow .row").first.wait_for()
    for key in ("j", "x"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Delete…").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Keep them").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_help_begins_at_its_beginning(open_page, airline_url):
    page = open_page(airline_url, size=(320, 256))
    page.locator(".runs .vrow .row").first.wait_for()
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keys").wait_for()
    assert page.locator("dialog[open]").evaluate("one => one.scrollTop") == 0
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for(state="detached")
