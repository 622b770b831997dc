"""`python -m benchmarks.page.jobs OURS PHOENIX`: six jobs of a reader, in both pages.

Both services run already and hold the same conversations, sent to each over OTLP; PHOENIX is the
address of the project. Counted are clicks, keys, and the seconds until what was looked for can be
seen, the median of `TIMES` rounds; a person's own time is not in them. Needs playwright.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page

from benchmarks.page.browser import opened

TIMES = 5
WORD = "insurance"


class Reader:
    """Does what a person would, and counts it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url.rstrip("/")
        self.clicks = self.keys = 0

    def click(self, what: Locator) -> None:
        self.clicks += 1
        what.click()

    def type(self, text: str) -> None:
        self.keys += len(text)
        self.page.keyboard.type(text)

    def press(self, key: str) -> None:
        self.keys += 1
        self.page.keyboard.press(key)

    def sees(self, what: Locator) -> None:
        what.first.wait_for(timeout=90_000)


Job = Callable[[Reader], None]


def our_failure(reader: Reader) -> None:
    page = reader.page
    reader.click(page.get_by_label("Status"))
    reader.clicks += 1
    page.get_by_label("Status").select_option("error:yes")
    reader.sees(page.get_by_text("36 runs"))
    reader.click(page.locator(".runs .vrow .row:not(.blank) a").first)
    reader.sees(page.get_by_role("button", name="Next error"))
    reader.press("e")
    reader.sees(page.locator("article .bad"))


def our_talk(reader: Reader) -> None:
    reader.click(reader.page.locator(".runs .vrow .row:not(.blank) a").first)
    reader.sees(reader.page.get_by_role("feed", name="Conversation").locator("article"))


def our_search(reader: Reader) -> None:
    page = reader.page
    reader.press("/")
    reader.type(WORD)
    reader.sees(page.locator("mark"))


def our_comparison(reader: Reader) -> None:
    page = reader.page
    reader.click(page.locator(".runs .vrow .row:not(.blank) a").first)
    reader.click(page.get_by_text("Compare with…"))
    reader.click(page.locator("section li a").first)
    reader.sees(page.get_by_role("heading", name="Compare"))


def our_costs(reader: Reader) -> None:
    reader.click(reader.page.get_by_role("link", name="Statistics"))
    reader.sees(reader.page.locator(".stats tbody tr").filter(has_text="$"))


def our_judgement(reader: Reader) -> None:
    page = reader.page
    reader.click(page.locator(".runs .vrow .row:not(.blank) a").first)
    reader.sees(page.get_by_role("button", name="The run is bad"))
    reader.press("-")
    reader.sees(page.get_by_role("list", name="Annotations"))


def our_session(reader: Reader) -> None:
    page = reader.page
    reader.click(page.get_by_role("link", name="Groups"))
    reader.click(page.locator(".group-table tbody th a").first)
    reader.sees(page.locator("main.thread article"))


def their_failure(reader: Reader) -> None:
    page = reader.page
    reader.click(page.get_by_role("tab", name="Spans"))
    _condition(reader, "status_code == 'ERROR'")
    reader.sees(page.locator("table tbody tr").filter(has_not_text="agent"))
    reader.click(page.locator("table tbody tr a").first)
    reader.sees(page.get_by_text("Events").first)


def their_talk(reader: Reader) -> None:
    page = reader.page
    reader.click(page.locator("table tbody tr a").first)
    reader.click(page.get_by_text("ChatCompletion").last)
    reader.sees(page.get_by_text("user", exact=True))


def their_search(reader: Reader) -> None:
    page = reader.page
    reader.click(page.get_by_role("tab", name="Spans"))
    _condition(reader, f"'{WORD}' in output.value")
    reader.sees(page.locator("table tbody tr").filter(has_text=WORD))


def their_costs(reader: Reader) -> None:
    reader.click(reader.page.get_by_role("tab", name="Metrics"))
    reader.sees(reader.page.get_by_text("gpt-4o-mini"))


def their_judgement(reader: Reader) -> None:
    page = reader.page
    reader.click(page.locator("table tbody tr a").first)
    reader.click(page.get_by_role("button", name="Annotate").first)
    reader.sees(page.get_by_role("dialog"))


def their_session(reader: Reader) -> None:
    page = reader.page
    reader.click(page.get_by_role("tab", name="Sessions"))
    page.wait_for_url("**/sessions**")
    reader.click(page.get_by_text("task-", exact=False).first)
    page.wait_for_url("**/sessions/**")
    reader.sees(page.get_by_text("Session", exact=False))


def _condition(reader: Reader, text: str) -> None:
    box = reader.page.locator(".cm-content").first
    reader.click(box)
    reader.keys += 2  # what stands there is marked, and replaced
    reader.page.keyboard.press("Control+A")
    reader.page.keyboard.press("Backspace")
    reader.type(text)
    reader.press("Enter")


# A job that the other page cannot do has nothing there.
JOBS: dict[str, tuple[Job, Job | None]] = {
    "a failed run, and why": (our_failure, their_failure),
    "what was asked; the talk": (our_talk, their_talk),
    f"runs where {WORD} was said": (our_search, their_search),
    "good next to bad": (our_comparison, None),
    "the last week's cost by model": (our_costs, their_costs),
    "mark a run as bad": (our_judgement, their_judgement),
    "the runs of a session": (our_session, their_session),
}


def main() -> None:
    ours, theirs = sys.argv[1:]
    print(
        f"{'':32}{'ours: clicks':>14}{'keys':>6}{'s':>7}{'Phoenix: clicks':>18}{'keys':>6}{'s':>7}"
    )
    for name, (our, their) in JOBS.items():
        line = f"{name:32}" + "{:>14}{:>6}{:>7.2f}".format(*_done(our, ours, ".runs .vrow .row"))
        if their is not None:
            line += "{:>18}{:>6}{:>7.2f}".format(
                *_done(their, f"{theirs}/traces", "table tbody tr")
            )
        print(line, flush=True)


def _done(job: Job, url: str, rows: str) -> tuple[int, int, float]:
    """Clicks, keys and seconds of a job, from a page that stands."""
    seconds = []
    with opened(rows) as page:
        for _ in range(TIMES):
            page.goto("about:blank")
            page.goto(url)
            page.locator(rows).nth(2).wait_for(timeout=90_000)
            reader = Reader(page, url)
            began = time.perf_counter()
            job(reader)
            seconds.append(time.perf_counter() - began)
    return reader.clicks, reader.keys, statistics.median(seconds)


if __name__ == "__main__":
    main()
