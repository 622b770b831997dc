"""Chromium, and what is measured in it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, sync_playwright

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

# The time at which so many rows stand in the page, taken after the frame that painted them.
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) longest = Math.max(longest, entry.duration);
}).observe({ type: "longtask", buffered: true });
window.rowsAt = new Promise((resolve) => {
  const look = () => {
    if (document.querySelectorAll(`%s`).length >= %d) {
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
    } else requestAnimationFrame(look);
  };
  look();
});
"""


@contextmanager
def opened(rows: str, least: int = 10) -> Iterator[Page]:
    """A page that knows when rows first stood in it."""
    with sync_playwright() as driver:
        binary = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = driver.chromium.launch(executable_path=binary, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(90_000)
        page.add_init_script(WATCH % (rows, least))
        yield page
        browser.close()


def first_rows_ms(page: Page, url: str) -> float:
    """From the navigation until the rows were painted, milliseconds."""
    page.goto("about:blank")
    page.goto(url, wait_until="commit")
    return float(page.evaluate("rowsAt"))


def longest_task_ms(page: Page) -> float:
    """The longest time for which the page did not answer, since it was opened or last asked."""
    page.wait_for_timeout(300)
    return float(page.evaluate("(() => { const was = longest; longest = 0; return was; })()"))


def until_ms(page: Page, act: Any, holds: str, limit: float = 60, begins: str = "input") -> float:
    """From an action until the page says so, milliseconds; looked at in every frame."""
    page.evaluate(
        """([holds, begins]) => {
          const test = () => holds.every(([selector, text]) =>
            [...document.querySelectorAll(selector)].some((one) => one.textContent.includes(text)));
          window.began = performance.now();
          window.done = new Promise((resolve) => {
            const look = () =>
              test() ? resolve(performance.now() - began) : requestAnimationFrame(look);
            addEventListener(begins, () => { began = performance.now(); }, { once: true });
            requestAnimationFrame(look);
          });
        }""",
        [[holds.split(" := ")], begins],
    )
    started = time.monotonic()
    act()
    took = float(page.evaluate("done"))
    if time.monotonic() - started > limit:
        raise TimeoutError(holds)
    return took
