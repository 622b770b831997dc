"""The page as one file: no server, no network, the same answers."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime

from runs import ATTACKS, graph_run, hostile_runs

from selectools_observe import AgentTrace, InMemoryTraceStore
from selectools_observe.analytics import compare
from selectools_observe.interchange import saved_runs
from selectools_observe.server.static_export import standalone_html, write_standalone_html


def written(tmp_path, traces, name="runs.html"):
    path = tmp_path / name
    path.write_text(standalone_html(traces), "utf-8")
    return path.as_uri()


def test_it_shows_what_the_service_shows(open_page, airline_traces, tmp_path):
    url = written(tmp_path, airline_traces)
    page = open_page(url)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.get_by_role("status").filter(has_text="200 runs").wait_for()
    page.locator("#search").fill("tool:calculate error:no")
    wanted = sum(
        any(s.tool_name == "calculate" for s in t.steps)
        and not any(s.error or s.type == "error" for s in t.steps)
        for t in airline_traces
    )
    page.get_by_role("status").filter(has_text=f"{wanted} runs").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.locator(".fall .vrow .row").first.wait_for()
    page.keyboard.press("j")
    page.get_by_role("region", name="Step 1").wait_for()
    page.keyboard.press("3")
    page.locator(".stats tbody tr").first.wait_for()
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []


def test_comparisons_are_the_library_s(open_page, airline_traces, tmp_path):
    url = written(tmp_path, airline_traces)
    by_id = {trace.run_id: trace for trace in airline_traces}
    for one, other in (("03-0", "03-1"), ("46-3", "46-2"), ("00-0", "31-3"), ("10-1", "10-1")):
        pair = f"airline-{one}", f"airline-{other}"
        found = compare(by_id[pair[0]], by_id[pair[1]])
        page = open_page(f"{url}#/compare/{pair[0]}/{pair[1]}")
        counts = [sum(p.change == change for p in found.pairs) for change in CHANGES]
        same = "No differences."
        if found.first_difference is not None:
            same = "{} steps the same, {} different, {} only left, {} only right.".format(*counts)
        page.get_by_role("status").filter(has_text=same).wait_for()


CHANGES = ("same", "changed", "removed", "added")


def test_hostile_runs_stay_text(open_page, tmp_path):
    page = open_page(written(tmp_path, hostile_runs()))
    page.get_by_role("status").filter(has_text=f"{len(ATTACKS)} runs").wait_for()
    page.keyboard.press("j")
    for _ in ATTACKS:
        page.keyboard.press("Enter")
        page.locator(".fall .vrow .row").first.wait_for()
        page.keyboard.press("j")
        page.locator(".panel .field").first.wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.locator(".runs .row").first.wait_for()
        page.keyboard.press("j")
    # That nothing ran is looked at when the page closes.


def test_no_text_ends_its_block():
    html = standalone_html(hostile_runs())
    assert html.count("<script") == 3 * len(ATTACKS) + 1
    assert html.count("</script>") == 3 * len(ATTACKS) + 1
    assert "<!--" not in html


def test_an_empty_file_says_so(open_page, tmp_path):
    page = open_page(written(tmp_path, []))
    page.get_by_role("heading", name="No runs yet").wait_for()


def test_the_title_is_text(open_page, tmp_path):
    path = tmp_path / "runs.html"
    path.write_text(
        standalone_html([graph_run()], title="\"><script>canary.push('t')</script>"), "utf-8"
    )
    page = open_page(f"{path.as_uri()}#/runs")
    page.get_by_role("status").filter(has_text="1 run").wait_for()


def test_runs_are_written_as_they_come():
    file = io.StringIO()
    seen = []

    def traces():
        for number in range(3):
            seen.append(file.tell())
            yield AgentTrace(run_id=str(number))

    assert write_standalone_html(traces(), file) == 3
    assert seen == sorted(set(seen))


def test_it_needs_no_optional_package():
    program = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = None\n"
        "from selectools_observe.server.static_export import standalone_html\n"
        "assert 'data-embedded' in standalone_html([])"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_file_shows_what_was_said(open_page, tmp_path):
    saved = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with InMemoryTraceStore() as store:
        store.save_many([graph_run(), AgentTrace(run_id="other")], created_at=[saved, saved])
        run_id = graph_run().run_id
        store.annotate(run_id, "quality", label="good", score=0.25)
        store.annotate(run_id, "quality", label="bad", score=-1, note="</script>" * 50)
        store.annotate(run_id, "tone", label="curt", step=1)
        page = open_page(written(tmp_path, saved_runs(store)))
    page.get_by_role("status").filter(has_text="2 runs").wait_for()
    page.goto(f"{page.url}#/stats")
    page.get_by_role("region", name="Annotations").get_by_text("quality").wait_for()
    page.goto(f"{page.url.partition('#')[0]}#/run/{run_id}")
    chips = page.get_by_role("list", name="Annotations")
    chips.first.wait_for()
    assert "bad" in chips.first.inner_text()
    html = (tmp_path / "runs.html").read_text("utf-8")
    assert '"created_at":"2026-03-01T12:00:00' in html
    assert html.count('"label":"good"') == 1


def test_a_file_of_one_run_opens_on_it(open_page, airline_traces, tmp_path):
    page = open_page(written(tmp_path, airline_traces[:1]))
    page.locator("dl.totals").wait_for()
    assert "#/run/" in page.url
    assert page.title() != "selectools-observe"
    page.keyboard.press("Escape")
    page.get_by_role("status").filter(has_text="1 run").wait_for()
