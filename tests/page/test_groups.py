"""Sessions, users and other groups of runs, in a real Chromium."""

from __future__ import annotations

import pytest

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.server.static_export import standalone_html

HISTORY = [
    {"role": "user", "content": "Where is my kettle?"},
    {"role": "assistant", "content": "On its way."},
]


def runs() -> list[AgentTrace]:
    """A session of two runs, whose second has the first in its input, and another session."""
    first = TraceStep("llm_call", timestamp=100.0, input=HISTORY[:1], output=HISTORY[1], cost_usd=1)
    again = [*HISTORY, {"role": "user", "content": "And my cup?"}]
    second = TraceStep("llm_call", timestamp=200.0, input=again, output="Lost.", error="too late")
    other = TraceStep("llm_call", timestamp=300.0, input="Hi", output="Hello.")
    keys = ({"trial": 1}, {"trial": "1"}, {"trial": 2})
    made = [
        AgentTrace(run_id=f"run-{n}", session_id=session, user_id="ada", steps=[step], metadata=key,
                   start_time=step.timestamp)
        for n, (session, step, key) in enumerate(zip(("s 1", "s 1", "s2"), (first, second, other),
                                                     keys, strict=True))
    ]  # fmt: skip
    return made[::-1]  # saved in another order than they began


@pytest.fixture(params=["served", "file"])
def at(request, serve, tmp_path):
    """Where the runs can be seen: a service, or a file."""
    if request.param == "served":
        return serve(runs()).url
    path = tmp_path / "runs.html"
    path.write_text(standalone_html(runs()), encoding="utf-8")
    return path.as_uri()


def rows(page):
    page.locator(".group-table tbody tr").first.wait_for()
    return [row.split("\t")[:3] for row in page.locator(".group-table tbody tr").all_inner_texts()]


def test_sessions_and_what_they_add_up_to(open_page, at):
    page = open_page(f"{at}#/groups")
    assert rows(page) == [["s2", "1", "0"], ["s 1", "2", "1"]]
    assert "Where is my kettle? → Lost." in page.locator(".group-table").inner_text()
    page.get_by_role("button", name="Cost").click()
    page.get_by_role("columnheader", name="Cost ↓").wait_for()
    page.locator("tbody tr").first.get_by_text("s 1").wait_for()
    page.locator("tbody tr").first.get_by_role("link", name="2").click()
    page.get_by_role("status").filter(has_text="2 runs").wait_for()


def test_any_key(open_page, at):
    page = open_page(f"{at}#/groups")
    page.locator(".by select").select_option("user")
    page.get_by_role("link", name="ada").wait_for()
    assert rows(page) == [["ada", "3", "1"]]
    page.get_by_role("option", name="trial").wait_for(state="attached")
    page.locator(".by select").select_option("trial")
    page.get_by_role("link", name="2").first.wait_for()
    assert sorted(row[:2] for row in rows(page)) in (
        [["1", "2"], ["2", "1"]],
        [["1", "1"], ["1", "1"], ["2", "1"]],
    )


def test_a_session_is_read_as_one_conversation(open_page, at):
    page = open_page(f"{at}#/groups")
    page.get_by_role("link", name="s 1").click()
    page.get_by_role("region", name="Conversation").wait_for()
    turns = page.get_by_role("article")
    turns.nth(3).wait_for()
    texts = [text.split("\n")[-1] for text in turns.all_inner_texts()]
    assert [text for text in texts if text != "too late"] == [
        "Where is my kettle?", "On its way.", "And my cup?", "Lost.",
    ]  # fmt: skip
    assert page.get_by_role("heading", level=2).count() == 2
    page.get_by_role("link", name="As a list").click()
    page.get_by_role("status").filter(has_text="2 runs").wait_for()
