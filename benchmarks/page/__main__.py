"""`python -m benchmarks.page [RUNS]`: the page on a generated store, and on huge runs.

Needs the extra server, playwright and Chromium. Prints a table; nothing is asserted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.page.browser import first_rows_ms, longest_task_ms, opened, until_ms

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "page"))

from many import make_store  # noqa: E402
from pageserver import serving  # noqa: E402
from runs import huge_run, long_run  # noqa: E402

from selectools_observe import SQLiteTraceStore  # noqa: E402

ROWS = ".runs .vrow .row:not(.blank)"
TIMES = 5


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(folder) / "traces.db"
        if not path.exists():
            make_store(path, count)
        with serving(path) as served:
            measure_list(served.url, count)
        huge = Path(folder) / "huge.db"
        with SQLiteTraceStore(huge) as store:
            store.save_many([long_run(), huge_run()])
        with serving(huge) as served:
            measure_runs(served.url)


def measure_list(url: str, count: int) -> None:
    with opened(ROWS) as page:
        said(f"first rows of {count:,} runs", [first_rows_ms(page, url) for _ in range(TIMES)])
        page.get_by_role("status").filter(has_text=f"{count:,} runs").wait_for(timeout=60_000)
        said("longest task until then", [longest_task_ms(page)])
        for text, holds in (
            ("user_id:user-7", f".told [role=status] := {count // 20_000} run"),
            ("error:yes", ".runs .vrow .mark := !"),
            ("run:run-0000042", ".runs .id := run-0000042"),
        ):
            typed = [answer_ms(page, text, holds) for _ in range(TIMES)]
            said(f"filter {text}, typing pause included", typed)
        page.locator("#search").fill("")
        page.get_by_role("status").filter(has_text=f"{count:,} runs").wait_for(timeout=60_000)
        longest_task_ms(page)
        page.mouse.move(600, 600)
        for _ in range(60):
            page.mouse.wheel(0, 600)
            page.wait_for_timeout(16)
        said("longest task while the wheel turns", [longest_task_ms(page)])
        scroll = "document.querySelector('.scroll')"
        jump = f"{scroll}.scrollTop = {scroll}.scrollHeight / 2"
        blank = until_ms(page, lambda: page.evaluate(jump), ".runs .id := run-")
        page.wait_for_timeout(500)
        said("scrollbar to the middle", [blank])
        said("longest task then", [longest_task_ms(page)])


def answer_ms(page: Page, text: str, holds: str) -> float:
    page.locator("#search").fill("steps>100000")
    page.get_by_role("heading", name="No run matches").wait_for(timeout=60_000)
    return until_ms(page, lambda: page.locator("#search").fill(text), holds)


def measure_runs(url: str) -> None:
    cases: list[tuple[str, str, Callable | None]] = [
        ("run of 30,000 steps", "#/run/long?step=15000", None),
        ("run with results of 12 MB", "#/run/huge?step=1", None),
        ("12 MB of JSON arguments", "#/run/huge?step=2", None),
        ("12 MB shown whole", "#/run/huge?step=1", show_all),
    ]
    for name, hash_, act in cases:
        with opened(".panel .fields", 1) as page:
            said(f"{name}: the step is there", [first_rows_ms(page, url + hash_)])
            if act:
                act(page)
            said(f"{name}: longest task", [longest_task_ms(page)])


def show_all(page: Page) -> None:
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="Stop").wait_for(state="detached", timeout=120_000)


def said(name: str, values: list[float]) -> None:
    middle = statistics.median(values)
    spread = f" ({min(values):.0f} to {max(values):.0f})" if len(values) > 1 else ""
    print(f"{name:<55} {middle:8.0f} ms{spread}", flush=True)


if __name__ == "__main__":
    main()
