"""Very many runs: 20,000 in the ordinary run, a million with SELECTOOLS_OBSERVE_TESTS=long."""

from __future__ import annotations

import pytest
from many import make_store
from pageserver import LONG, serving_or_skip
from runs import until

MOST_ELEMENTS = 2_500


@pytest.fixture(
    scope="module", params=[20_000, pytest.param(1_000_000, marks=pytest.mark.timeout(1200))]
)
def many(request, tmp_path_factory):
    count = request.param
    if count > 20_000 and not LONG:
        pytest.skip("a million runs: with SELECTOOLS_OBSERVE_TESTS=long")
    path = tmp_path_factory.mktemp("many") / "traces.db"
    make_store(path, count)
    with serving_or_skip(path) as served:
        yield served.url, count


def told(page, text):
    page.get_by_role("status").filter(has_text=text).first.wait_for(timeout=60_000)


def first_row(page) -> int:
    """The number of the run that stands at the top of the list."""
    ids = page.locator(".runs .vrow .row:not(.blank) .id").all_inner_texts()
    return max(int(run_id.removeprefix("run-")) for run_id in ids)


ROWS = "[...document.querySelectorAll('.runs .vrow .row')]"


def place(page) -> str:
    """Which rows stand in the page."""
    return page.evaluate(f"{ROWS}[0].getAttribute('aria-rowindex')")


def settle(page, before: str) -> None:
    """Wait until others stand there, all of them read."""
    moved = f"{ROWS}[0]?.getAttribute('aria-rowindex') !== '{before}'"
    until(page, f"{moved} && {ROWS}.every((row) => !row.classList.contains('blank'))")


def elements(page) -> int:
    return page.evaluate("document.querySelectorAll('*').length")


def test_all_of_them_scroll(open_page, many):
    url, count = many
    page = open_page(url)
    told(page, f"{count:,} runs")
    assert elements(page) < MOST_ELEMENTS
    page.keyboard.press("G")  # the oldest
    page.locator(".row.chosen .id", has_text="run-0000000").wait_for(timeout=60_000)
    page.keyboard.press("k")
    page.locator(".row.chosen .id", has_text="run-0000001").wait_for()
    scroll = "document.querySelector('.scroll')"
    was = place(page)
    page.evaluate(f"{scroll}.scrollTop = {scroll}.scrollHeight / 2")  # as one drags its bar
    settle(page, was)
    assert abs(first_row(page) - count / 2) < count / 100
    before, was = first_row(page), place(page)
    page.mouse.move(600, 600)
    page.mouse.wheel(0, 3_200)
    settle(page, was)
    page.wait_for_timeout(500)  # wheels run out slowly
    assert 80 <= before - first_row(page) <= 120  # a hundred rows, not a share of all
    page.keyboard.press("g")
    page.locator(".row.chosen .id", has_text=f"run-{count - 1:07}").wait_for(timeout=60_000)
    assert elements(page) < MOST_ELEMENTS


def test_filters_reach_all_of_them(open_page, many):
    url, count = many
    page = open_page(url)
    told(page, f"{count:,} runs")
    page.locator("#search").fill("user_id:user-7")
    told(page, f"{count // 20_000} run")
    page.locator("#search").fill("run:run-0000042")
    told(page, "1 run")
    page.locator("#search").fill("task_id:77")
    told(page, f"{count // 1_000:,} runs")
    page.locator("#search").fill("run-0000042")  # a whole id is found however old it is
    page.locator(".runs .id", has_text="run-0000042").wait_for(timeout=60_000)


def test_a_filtered_list_is_walked_to_its_end(open_page, many):
    url, count = many
    page = open_page(f"{url}#/runs?q=error:yes")
    page.locator(".runs .vrow .row").first.wait_for()
    page.wait_for_timeout(1_000)
    if count > 20_000:
        return  # 300,000 runs are walked a thousand at a time: a benchmark, no test
    page.keyboard.press("G")
    until(page, "document.querySelector('.row.chosen:not(.blank)') !== null")
    page.keyboard.press("k")
    assert elements(page) < MOST_ELEMENTS
