"""The list of runs, through real clicks and keys."""

from __future__ import annotations

import re

from pageserver import serving
from runs import child_run, graph_run, until

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceStep

ROWS = ".runs .vrow .row:not(.blank)"


def told(page, text):
    page.get_by_role("status").filter(has_text=text).first.wait_for()


def test_all_runs_newest_first(open_page, airline_url, airline_traces):
    page = open_page(airline_url)
    told(page, "200 runs")
    ids = page.locator(f"{ROWS} .id").all_inner_texts()
    assert ids == [trace.run_id for trace in reversed(airline_traces)][: len(ids)]
    assert len(ids) >= 15


def test_typing_filters(open_page, airline_url, airline_traces):
    page = open_page(airline_url)
    told(page, "200 runs")
    user = airline_traces[0].metadata["user_id"]
    page.keyboard.press("/")
    page.keyboard.type(f"user_id:{user}")
    wanted = [trace for trace in airline_traces if trace.metadata["user_id"] == user]
    told(page, f"{len(wanted)} runs")
    page.reload()  # the address holds the filter
    told(page, f"{len(wanted)} runs")
    assert page.locator("#search").input_value() == f"user_id:{user}"


def test_every_kind_of_filter(open_page, airline_url, airline_traces):
    page = open_page(airline_url)
    told(page, "200 runs")

    def cost(trace):
        return sum(step.cost_usd or 0 for step in trace.steps)

    cases = {
        "tool:calculate": lambda trace: any(s.tool_name == "calculate" for s in trace.steps),
        "model:gpt-4o": lambda trace: any(s.model == "gpt-4o" for s in trace.steps),
        "error:yes": lambda trace: any(s.error or s.type == "error" for s in trace.steps),
        "ms>5s": lambda trace: trace.total_duration_ms >= 5000,
        "steps<10": lambda trace: len(trace.steps) <= 10,
        "cost>0.1": lambda trace: cost(trace) >= 0.1,
        "task_id:3 error:no": lambda trace: (
            trace.metadata["task_id"] == 3
            and not any(s.error or s.type == "error" for s in trace.steps)
        ),
        "since:101h": lambda trace: int(airline_traces.index(trace)) >= 0,
    }
    for text, holds in cases.items():
        wanted = sum(map(holds, airline_traces))
        page.locator("#search").fill(text)
        told(page, re.compile(f"^{wanted} runs?$"))


def test_a_bad_filter_says_what_is_wrong(open_page, airline_url):
    page = open_page(airline_url)
    told(page, "200 runs")
    page.locator("#search").fill("ms>soon")
    told(page, "'soon' is not a time such as 500ms, 5s or 2m")


def test_menus_write_into_the_search_box(open_page, airline_url, airline_traces):
    page = open_page(airline_url)
    page.get_by_label("Status").select_option("error:yes")
    failed = sum(any(s.error or s.type == "error" for s in t.steps) for t in airline_traces)
    told(page, f"{failed} runs")
    assert page.locator("#search").input_value() == "error:yes"
    page.get_by_role("button", name="Clear").click()
    told(page, "200 runs")


def test_completion(open_page, airline_url):
    page = open_page(airline_url)
    page.get_by_label("Tool", exact=True).wait_for()  # what occurs is known
    page.keyboard.press("/")
    page.keyboard.type("tool:calc")
    page.get_by_role("option", name="tool:calculate").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#search").input_value() == "tool:calculate "
    told(page, re.compile(r"^\d\d runs$"))


def test_words_are_looked_for(open_page, airline_url, airline_traces):
    page = open_page(airline_url)
    page.locator("#search").fill("airline-07")
    wanted = sum("airline-07" in trace.run_id for trace in airline_traces)
    told(page, f"{wanted} runs found in the newest 200: that is all of them")


def test_brushing_asks_for_a_time(open_page, airline_url):
    page = open_page(airline_url)
    told(page, "200 runs")
    bars = page.locator(".bars")
    bars.wait_for()
    box = bars.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20, steps=4)
    page.mouse.up()
    until(page, "document.querySelector('#search').value.includes('started>=')")
    told(page, re.compile(r"^(7|8|9)\d runs$"))
    page.locator(".brush").wait_for()
    bars.focus()
    page.keyboard.press("Escape")
    told(page, "200 runs")
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#search').value.includes('started>=')")


def test_keys_alone(open_page, airline_url, airline_traces):
    page = open_page(airline_url)
    told(page, "200 runs")
    newest = [trace.run_id for trace in reversed(airline_traces)]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.locator(".row.chosen .id").inner_text() == newest[1]
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=newest[1]).wait_for()
    page.keyboard.press("Escape")
    told(page, "200 runs")
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("G")
    page.locator(".row.chosen .id", has_text=newest[-1]).wait_for()
    page.keyboard.press("3")
    page.locator(".by select").wait_for()


def test_the_last_row_before_all_are_counted(open_page, airline_url, airline_traces):
    """The list reads itself anew when one comes back from a run."""
    page = open_page(airline_url)
    told(page, "200 runs")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=airline_traces[-1].run_id).wait_for()
    held, counts = True, []
    page.route("**/api/count*", lambda route: counts.append(route) if held else route.continue_())
    with page.expect_request(re.compile(r"/api/count")):
        page.keyboard.press("Escape")
    page.keyboard.press("G")
    held = False
    for count in counts:
        count.continue_()
    last = page.locator(".row.chosen .id", has_text=airline_traces[0].run_id)
    last.wait_for()
    told(page, "200 runs")


def test_the_last_row_of_a_list_that_is_new(open_page, airline_url, airline_traces):
    page = open_page("about:blank")
    held, counts = True, []
    page.route("**/api/count*", lambda route: counts.append(route) if held else route.continue_())
    with page.expect_request(re.compile(r"/api/count")):
        page.goto(airline_url)
    told(page, "101 runs or more")
    page.keyboard.press("End")
    page.locator(".row.chosen").wait_for()
    held = False
    for count in counts:
        count.continue_()
    page.locator(".row.chosen .id", has_text=airline_traces[0].run_id).wait_for()


def test_following_new_runs(open_page, serve):
    served = serve([graph_run()])
    page = open_page(served.url)
    told(page, "1 run")
    page.locator("button.live.open").wait_for()
    with SQLiteTraceStore(served.path) as store:
        store.save(AgentTrace(run_id="just-now", steps=[TraceStep(type="llm_call")]))
    told(page, "2 runs")
    assert page.locator(f"{ROWS} .id").first.inner_text() == "just-now"


def test_an_empty_store_says_what_to_do(open_page, serve):
    page = open_page(serve([]).url)
    page.get_by_role("heading", name="No runs yet").wait_for()
    assert "selectools-observe demo" in page.locator(".state").inner_text()


def test_nothing_matches(open_page, airline_url):
    page = open_page(f"{airline_url}#/runs?q=model:nobody")
    page.get_by_role("heading", name="No run matches").wait_for()


def test_the_service_goes_and_comes_back(open_page, serve):
    served = serve([graph_run(), child_run(1)])
    page = open_page(served.url)
    told(page, "2 runs")
    served.end()
    page.locator("#search").fill("error:yes")
    page.get_by_role("heading", name="Cannot reach the server").wait_for()
    assert "selectools-observe serve" in page.get_by_role("alert").inner_text()
    assert page.get_by_text("runs or more").count() == 0
    with serving(served.path, served.port):
        told(page, "1 run")
        assert page.get_by_role("alert").count() == 0


def test_a_tab_of_its_own(open_page, airline_url):
    """Runs are links: the middle button and the menu work on them."""
    page = open_page(airline_url)
    told(page, "200 runs")
    link = page.locator(f"{ROWS} .id a").first
    assert link.get_attribute("href").startswith("#/run/")
