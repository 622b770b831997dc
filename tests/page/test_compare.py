"""Runs next to each other, in a real Chromium."""

from __future__ import annotations

import json
import re

import pytest
from conversations import conversations, run_of

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.analytics import compare
from selectools_observe.analytics.conversation import conversation_of, turns_as_json
from selectools_observe.server.static_export import standalone_html


@pytest.fixture(scope="module")
def trials():
    """The trials of one task."""
    return [run_of(talk) for talk in conversations() if talk["task_id"] == 0]


@pytest.fixture(params=["served", "file"])
def at(request, serve, trials, tmp_path):
    """Where the runs can be seen: a service, or a file."""
    if request.param == "served":
        return serve(trials).url
    path = tmp_path / "runs.html"
    path.write_text(standalone_html(trials), encoding="utf-8")
    return path.as_uri()


def test_words_and_numbers_that_differ(open_page, at):
    page = open_page(f"{at}#/compare/task-0-0/task-0-1")
    page.get_by_role("status").filter(has_text="different").wait_for()
    panel = page.get_by_role("region", name="Diff")
    panel.locator("del, ins").first.wait_for()
    assert panel.locator(".field h3").first.inner_text().startswith(("input", "output"))
    deltas = page.locator("dl.deltas").inner_text()
    assert re.search(r"Steps\s+\d+ → \d+", deltas)
    assert "Cost\n- → -" in deltas


def test_a_run_offers_the_runs_worth_comparing_with(open_page, at):
    page = open_page(f"{at}#/run/task-0-0")
    page.get_by_text("Compare with…").click()
    page.get_by_role("heading", name="Same task_id: 0").wait_for()
    page.locator(".dropped li a").first.click()
    page.get_by_role("heading", name="Compare").wait_for()
    assert "#/compare/task-0-0/task-0-" in page.url


def test_more_than_two_are_a_table(open_page, at):
    page = open_page(f"{at}#/compare/task-0-0/task-0-1/task-0-2")
    page.get_by_role("heading", name="Compare 3 runs").wait_for()
    row = page.get_by_role("row").filter(has_text="Steps that differ")
    assert row.get_by_role("cell").first.inner_text() == "0"
    assert row.get_by_role("cell").nth(1).inner_text() != "0"
    page.get_by_role("link", name="Compare with the first").nth(1).click()
    page.get_by_role("grid", name="Steps of both runs").wait_for()
    assert "#/compare/task-0-0/task-0-2" in page.url


def kinds() -> list[tuple[AgentTrace, AgentTrace]]:
    """Two runs that differ in one thing, of each kind."""
    fields: list[dict[str, object]] = [
        {name: "{}"}
        for name in ("tool_name", "tool_result", "model", "error", "node_name", "summary")
    ]
    fields += [{"output": {"role": "assistant", "content": "{}"}}, {"tool_args": {"x": "{}"}}]
    fields += [{"input": [{"role": "user", "content": "{}"}]}, {"reasoning": "{}"}]
    fields += [{"extra": {name: "{}"}} for name in ("verdict", "request_id", "started_at", "otel")]
    fields += [{"output": "same", "summary": "{}"}, {"output": "same"}]

    def run(of: dict[str, object], text: str) -> AgentTrace:
        filled = json.loads(json.dumps(of).replace("{}", text))
        return AgentTrace(steps=[TraceStep("llm_call", **filled)])

    return [(run(of, "left"), run(of, "right")) for of in fields]


def test_a_file_finds_the_differences_that_the_package_finds(run_script):
    def read(trace: AgentTrace) -> list[object]:
        said = json.loads(json.dumps(list(turns_as_json(conversation_of(trace)))))
        return [trace.to_dict()["steps"], said]

    script = """
    import { readFileSync } from "node:fs";
    import { compareSteps, contentsOf } from "SRC/reader/compare.ts";
    const given = JSON.parse(readFileSync(0, "utf-8"));
    const first = (pair) => compareSteps(...pair.map((one) => contentsOf(...one))).first;
    console.log(JSON.stringify(given.map((pair) => first(pair) < 0)));
    """
    found = run_script(script, [[read(one), read(other)] for one, other in kinds()])
    assert found == [compare(one, other).is_same for one, other in kinds()]
    assert found.count(True) == 5
