"""How long the page takes over few and over many runs: `python -m benchmarks.page.many FEW MANY`.

Both are addresses of services; `tests/page/many.py` makes stores of any size. Each step is timed in
Chromium, from the key or click until what it leads to is drawn, in turns over both, five times.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from statistics import median

from playwright.sync_api import Page, sync_playwright

ROUNDS = 5
ROW = ".runs .vrow .row:not(.blank) .id, .runs .vrow .row:not(.blank) a"
FILTERS = ("user_id:user-7", "error:yes tool:calculate")


def first_rows(page: Page, url: str) -> None:
    """Open the list."""
    page.goto("about:blank")
    page.goto(url)
    page.locator(ROW).first.wait_for()


def statistics(page: Page, url: str) -> None:
    """Open the statistics of all runs."""
    page.goto("about:blank")
    page.goto(f"{url}#/stats")
    page.locator(".stats tbody tr").first.wait_for(timeout=120_000)


def sort(page: Page, _url: str) -> None:
    """Sort by cost; the list stands there already."""
    page.get_by_role("button", name="Cost").click()
    page.locator("[aria-sort=descending]").first.wait_for()
    page.wait_for_function(ANSWERED, timeout=120_000)


def filtered(text: str) -> Callable[[Page, str], None]:
    """Type a filter; the list stands there already."""

    def run(page: Page, _url: str) -> None:
        page.locator("#search").fill(text)
        page.wait_for_function(ANSWERED, timeout=120_000)

    return run


# What was asked since the mark has been answered, and drawn.
MARK = "() => { window.asked = performance.now(); performance.clearResourceTimings(); }"
DONE = """performance.getEntriesByType('resource').some((one) =>
  one.name.includes('api/traces?') && one.startTime > window.asked && one.responseEnd > 0)"""
ANSWERED = f"() => {DONE}"


def timed(page: Page, url: str, work: Callable[[Page, str], None]) -> float:
    """Milliseconds of a step."""
    page.evaluate(MARK)
    began = time.perf_counter()
    work(page, url)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    return (time.perf_counter() - began) * 1000


def main(few: str, many: str) -> None:
    """Print a line for each step: median of few, of many, and their ratio."""
    steps: list[tuple[str, Callable[[Page, str], None], bool]] = [
        ("first rows", first_rows, False),
        ("sort by cost", sort, True),
        *((f"filter {text}", filtered(text), True) for text in FILTERS),
        ("statistics", statistics, False),
    ]
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, work, stands in steps:
            found: dict[str, list[float]] = {few: [], many: []}
            for _ in range(ROUNDS):
                for url, times in found.items():
                    page = browser.new_page()
                    if stands:
                        first_rows(page, url)
                        page.wait_for_timeout(500)
                    times.append(timed(page, url, work))
                    page.close()
            one, other = (median(times) for times in found.values())
            print(f"{name:32} {one:8.0f} ms {other:8.0f} ms  {other / one:5.2f}", flush=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
