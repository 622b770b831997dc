"""The list as people work with it: columns, views, marks, empty results, annotations."""

from __future__ import annotations

import json
import re

import pytest
from conversations import conversations, run_of

from selectools_observe import AgentTrace, SQLiteTraceStore


@pytest.fixture
def served(serve):
    """The trials of three tasks."""
    return serve([run_of(talk) for talk in conversations() if talk["task_id"] in {0, 1, 2}])


@pytest.fixture
def page(open_page, served):
    """The list."""
    opened = open_page(served.url, tab="conversation")
    opened.locator("#run-0").get_by_text("airline-agent").wait_for()
    return opened


def runs_said(page, text: str) -> None:
    page.get_by_role("status").filter(has_text=re.compile(f"^{text}$")).wait_for()


def test_columns_are_chosen_remembered_and_in_the_address(page):
    page.get_by_text("Columns").click()
    page.get_by_label("Metadata", exact=True).uncheck()
    page.get_by_label("reward", exact=True).check()
    page.get_by_role("columnheader", name="reward").wait_for()
    assert page.get_by_role("columnheader", name="Metadata").count() == 0
    assert "cols=" in page.url
    address = page.url
    page.goto("about:blank")
    page.goto(address.split("#")[0])
    page.get_by_role("columnheader", name="reward").wait_for()
    page.get_by_text("Columns").click()
    page.get_by_role("button", name="The usual ones").click()
    page.get_by_role("columnheader", name="Metadata").wait_for()


def test_a_view_is_saved_and_opened(page):
    page.locator("#search").fill("reward<1")
    page.get_by_role("button", name="Steps").click()
    page.get_by_role("columnheader", name="Steps ↓").wait_for()
    page.get_by_text("Views", exact=True).click()
    page.get_by_label("Name of the view").fill("to look at")
    page.get_by_role("button", name="Save this view").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Steps").click()
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("link", name="to look at").click()
    page.get_by_role("columnheader", name="Steps ↓").wait_for()
    assert page.locator("#search").input_value() == "reward<1"


def test_the_filter_language(page, served):
    with SQLiteTraceStore(served.path) as store:
        runs = list(store.list(100))
    bad = [run for run in runs if run.metadata["reward"] < 1]
    page.locator("#search").fill("reward<1")
    runs_said(page, f"{len(bad)} runs")
    page.locator("#search").fill("-reward<1 (task_id:0 OR task_id:1)")
    some = [r for r in runs if r.metadata["reward"] >= 1 and r.metadata["task_id"] in {0, 1}]
    runs_said(page, f"{len(some)} runs?")
    page.locator("#search").fill("latency>abc")
    page.get_by_role("heading", name="The filter cannot be read").wait_for()
    page.locator("#search").fill("-rew")
    page.get_by_role("option", name="-reward:").wait_for()


def test_nothing_found_says_why(page):
    page.locator("#search").fill("nobodysaidthis")
    page.get_by_text("looked for in what was said, in the ids").wait_for()
    page.locator("#search").fill("task_idd:1 reward<2")
    page.get_by_role("heading", name="No run matches").wait_for()
    page.get_by_role("button", name=re.compile("Without task_idd:1")).wait_for()
    page.get_by_text("No run has the metadata key 'task_idd'").wait_for()
    page.get_by_role("button", name="Use task_id:1 reward<2").click()
    page.locator("#run-0").wait_for()
    assert page.locator("#search").input_value() == "task_id:1 reward<2"


def test_an_or_in_lower_case_is_said_to_be_a_word(page):
    page.locator("#search").fill("task_id:0 or task_id:1")
    page.get_by_text("are words to look for").wait_for()
    page.get_by_role("button", name="Use task_id:0 OR task_id:1").click()
    runs_said(page, "8 runs")
    assert page.get_by_text("are words to look for").count() == 0
    page.locator("#search").fill('"this or that" task_id:1')
    assert page.get_by_text("are words to look for").count() == 0


def test_the_filter_language_shows_where_its_words_were_said(page):
    page.locator("#search").fill("(insurance OR certificate) -tool:no_such_tool")
    page.locator(
        ".runs mark", has_text=re.compile("insurance|certificate", re.IGNORECASE)
    ).first.wait_for()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    found = page.locator("#find-words")
    found.wait_for()
    assert found.input_value() == "insurance"


def test_marked_runs_are_compared_exported_annotated_and_deleted(page, served):
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.get_by_label("Mark airline-agent").nth(1).check()
    page.get_by_role("status").filter(has_text="2 runs marked").wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export").click()
    lines = waiting.value.path().read_text().splitlines()
    assert [len(json.loads(line)["steps"]) > 1 for line in lines] == [True, True]
    page.keyboard.press("a")
    page.get_by_label("Label").fill("bad")
    page.get_by_label("Score").fill("0.25")
    page.get_by_label("Note").fill("double charge")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("columnheader", name="quality").wait_for()
    page.get_by_role("gridcell", name="bad 0.25").nth(1).wait_for()
    page.locator("#search").fill("score.quality<0.5")
    runs_said(page, "2 runs")
    page.locator("#search").fill("")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete them").click()
    page.get_by_role("region", name="Marked runs").wait_for(state="detached")
    with SQLiteTraceStore(served.path) as store:
        left = {run.run_id for run in store.list(100)}
    assert not left & {json.loads(line)["run_id"] for line in lines}


def test_two_runs_are_compared_and_deleted_by_keys_alone(page, served):
    """And the list stands, with its marks, as it was left."""
    marked = page.get_by_role("status").filter(has_text="2 runs marked")
    for key in ("j", "x", "j", "j", "x", "c"):
        page.keyboard.press(key)
    page.get_by_role("heading", name="Compare", exact=True).wait_for()
    page.locator(".back").filter(has_text="Runs").wait_for()
    page.get_by_role("region", name="Diff").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("region", name="Diff").wait_for(state="detached")
    page.keyboard.press("Escape")
    marked.wait_for()
    assert page.locator("#run-0[aria-selected=true], #run-2[aria-selected=true]").count() == 2
    with SQLiteTraceStore(served.path) as store:
        before = [run.run_id for run in store.list(100)]
    page.get_by_role("button", name="Delete…").wait_for()
    page.keyboard.press("Delete")
    page.get_by_role("dialog", name="Delete the marked runs").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    marked.wait_for()
    page.keyboard.press("Delete")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Marked runs").wait_for(state="detached")
    with SQLiteTraceStore(served.path) as store:
        assert [run.run_id for run in store.list(100)] == [before[1], *before[3:]]


def test_marked_runs_go_side_by_side(page):
    for _ in range(3):
        page.keyboard.press("j")
        page.keyboard.press("x")
    page.keyboard.press("c")
    page.get_by_role("heading", name="Compare 3 runs").wait_for()


def test_a_run_and_a_step_are_judged_by_key_and_by_click(page, served):
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("feed").wait_for()
    page.keyboard.press("-")
    page.get_by_role("list", name="Annotations").get_by_text("bad 0").wait_for()
    page.keyboard.press("j")
    page.get_by_role("region", name="Step 1").wait_for()
    page.get_by_role("button", name="The step 1 is good").click()
    chips = page.get_by_role("list", name="Annotations").get_by_role("listitem")
    chips.nth(1).wait_for()
    assert "feedback (step 1)" in chips.nth(1).inner_text()
    with SQLiteTraceStore(served.path) as store:
        (run,) = [one for one in store.list(100) if one.annotations]
        found = [(one.step, one.label, one.score) for one in store.annotations(run.run_id)]
    assert found == [(None, "bad", 0), (0, "good", 1)]
    page.get_by_role("button", name="Remove feedback").first.click()
    page.get_by_role("listitem").filter(has_text="bad 0").wait_for(state="detached")


def test_the_next_run_and_back_to_where_one_was(page):
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_text("2 of 12").wait_for()
    first = page.url
    page.keyboard.press("]")
    page.get_by_text("3 of 12").wait_for()
    assert page.url != first
    page.get_by_role("button", name="Previous run of the list").click()
    page.get_by_text("2 of 12").wait_for()
    assert page.url == first
    page.keyboard.press("]")
    page.get_by_text("3 of 12").wait_for()
    page.keyboard.press("Escape")
    page.locator("#run-2.chosen").wait_for()


NOTE = """
window.asked = [];
const ask = window.fetch;
window.fetch = (url, ...more) => {
  asked.push([String(url), document.querySelector("#run-0 a") !== null]);
  return ask(url, ...more);
};
"""


def test_nothing_is_counted_before_the_first_rows_are_drawn(open_page, serve):
    page = open_page("about:blank")
    page.add_init_script(NOTE)
    page.goto(serve([AgentTrace(run_id=f"run-{n}") for n in range(150)]).url)
    page.locator(".bars").wait_for()
    asked = page.evaluate("asked")
    drawn = {url.split("/api/")[1].split("?")[0]: has_rows for url, has_rows in asked}
    assert not drawn["traces"]
    assert drawn["count"]
    assert drawn["histogram"]
