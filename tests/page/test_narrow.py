"""Narrow windows: a phone, and a screen enlarged to 400 %. Nothing stands beyond the right edge."""

from __future__ import annotations

import pytest

VIEWS = {
    "#/runs": ".runs .vrow .row",
    "#/groups?by=task_id": ".group-table tbody tr",
    "#/thread/3?by=task_id": ".thread article",
    "#/stats?by=tool": ".stats tbody tr",
    "#/run/airline-03-0": ".fall .vrow .row",
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
