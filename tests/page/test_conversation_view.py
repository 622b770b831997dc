"""A run read as a conversation, in a real Chromium."""

from __future__ import annotations

import base64
import re

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.server.static_export import standalone_html

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "Refund **order 7**, please."}
FUNCTION = {"name": "refund", "arguments": '{"order": 7}'}
CALL = {
    "role": "assistant", "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": FUNCTION}],
}  # fmt: skip
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "no such order"}
ANSWER = {"role": "assistant", "content": "It is `done`:\n\n- one\n- two"}


def talk(run_id: str = "talk") -> AgentTrace:
    tool = TraceStep(
        "tool_execution", timestamp=2.0, tool_name="refund", tool_args={"order": 7},
        error="no such order",
    )  # fmt: skip
    first = TraceStep("llm_call", timestamp=1.0, model="m", input=[SYSTEM, ASK], output=CALL)
    history = [SYSTEM, ASK, CALL, RESULT]
    last = TraceStep("llm_call", timestamp=3.0, model="m", input=history, output=ANSWER)
    return AgentTrace(run_id=run_id, name="support", start_time=1.0, steps=[first, tool, last])


def test_a_run_opens_on_what_was_said(open_page, serve):
    page = open_page(f"{serve([talk()]).url}#/run/talk", tab="conversation")
    page.get_by_role("heading", name="support").wait_for()
    turns = page.get_by_role("article")
    turns.nth(3).wait_for()
    assert turns.count() == 4
    assert turns.nth(0).get_by_text("Be brief.").first.is_visible()
    assert turns.nth(1).locator("strong").inner_text() == "order 7"
    assert "refund(order=7)" in turns.nth(2).inner_text()
    assert "no such order" in turns.nth(2).inner_text()
    assert turns.nth(3).locator("li").all_inner_texts() == ["one", "two"]


def test_a_click_shows_the_step_beside_it(open_page, serve):
    page = open_page(f"{serve([talk()]).url}#/run/talk", tab="conversation")
    page.get_by_role("article").nth(2).locator("header").click()
    page.get_by_role("region", name="Step 2").wait_for()
    assert "step=2" in page.url
    page.keyboard.press("t")
    page.get_by_role("grid", name="Steps in order").wait_for()
    page.keyboard.press("m")
    page.get_by_role("feed").wait_for()


def test_keys_move_and_find_errors(open_page, serve):
    page = open_page(f"{serve([talk()]).url}#/run/talk", tab="conversation")
    page.get_by_role("feed").wait_for()
    page.keyboard.press("e")
    page.locator("article.chosen.bad").wait_for()
    page.keyboard.press("j")
    page.locator("article.chosen#turn-3").wait_for()


def test_words_are_searched_and_marked(open_page, serve):
    page = open_page(f"{serve([talk()]).url}#/run/talk", tab="conversation")
    page.get_by_role("feed").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("REFUND")
    page.get_by_role("status").filter(has_text="1 of 2").wait_for()
    assert page.locator("mark").first.inner_text() == "Refund"
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="2 of 2").wait_for()


def test_a_run_is_found_by_what_was_said_and_opens_there(open_page, serve):
    others = [AgentTrace(run_id=f"other-{n}", input="hello") for n in range(3)]
    page = open_page(f"{serve([talk(), *others]).url}", tab="conversation")
    page.locator("#search").fill('"order 7"')
    page.get_by_role("status").filter(has_text=re.compile("^1 run$")).wait_for()
    row = page.locator("#run-0")
    row.locator("mark").first.wait_for()
    assert row.locator("mark").all_inner_texts() == ["order", "7"]
    assert re.search(r"step \d input|input|output", row.inner_text())
    page.get_by_role("link", name="support").click()
    page.get_by_role("feed", name="Conversation").wait_for()
    page.locator("mark").first.wait_for()
    assert page.locator("mark").first.inner_text() == "order 7"


def test_the_list_is_sorted_by_a_click(open_page, serve):
    runs = [AgentTrace(run_id=f"run-{n}", steps=[TraceStep("llm_call")] * n) for n in (2, 9, 5)]
    page = open_page(serve(runs).url)
    page.get_by_role("button", name="Steps").click()
    page.get_by_role("columnheader", name="Steps ↓").wait_for()
    page.locator("#run-0").get_by_text("run-9").wait_for()
    assert page.locator(".row .id").all_inner_texts() == ["run-9", "run-5", "run-2"]
    page.get_by_role("button", name="Steps").click()
    page.locator("#run-0").get_by_text("run-2").wait_for()
    assert "sort=steps" in page.url


ATTACKS = [
    "<script>canary.push(1)</script>",
    "<img src=x onerror=canary.push(2)>",
    "[click](javascript:canary.push(3))",
    "![pixel](http://127.0.0.1:9/pixel.png)",
    "{{constructor.constructor('canary.push(4)')()}}",
    "<iframe src='http://127.0.0.1:9/'></iframe>",
    "<a href='javascript:canary.push(5)'>x</a>",
    "> " * 500 + "deep",
    "\u202egnp.exe",
]


def test_nothing_of_a_hostile_conversation_runs_or_is_fetched(open_page, serve):
    messages = [{"role": "user", "content": text} for text in ATTACKS]
    svg = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>").decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/svg+xml;base64,{svg}"}}
    remote = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/a.png"}}
    messages.append({"role": "user", "content": [image, remote]})
    trace = AgentTrace(run_id="bad", steps=[TraceStep("llm_call", input=messages, output="ok")])
    served = serve([trace])
    page = open_page(f"{served.url}#/run/bad", tab="conversation")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("article").nth(len(ATTACKS)).wait_for()
    page.get_by_role("article").nth(len(ATTACKS)).scroll_into_view_if_needed()
    assert page.locator(".turns img, .turns iframe, .turns script").count() == 0
    assert page.locator('.turns a[href^="javascript"]').count() == 0
    assert all(url.startswith((served.url, "data:", "blob:")) for url in asked)
    assert page.evaluate("canary") == []


def test_two_thousand_messages_scroll(open_page, serve):
    history: list = []
    steps = []
    for number in range(1000):
        history = [*history, {"role": "user", "content": f"question {number}"}]
        answer = {"role": "assistant", "content": f"answer {number}"}
        steps.append(
            TraceStep("llm_call", timestamp=float(number + 1), input=history, output=answer)
        )
        history = [*history, answer]
    page = open_page(f"{serve([AgentTrace(run_id='long', steps=steps)]).url}#/run/long",
                     tab="conversation")  # fmt: skip
    page.get_by_role("status").filter(has_text="2,000 messages").wait_for(timeout=30_000)
    page.locator("#find-words").fill("answer 999")
    page.get_by_role("status").filter(has_text="1 of 1").wait_for(timeout=30_000)
    page.locator("article.hit").get_by_text("answer 999").first.wait_for()


def test_the_exported_file_has_the_conversation(open_page, tmp_path):
    path = tmp_path / "run.html"
    path.write_text(standalone_html([talk()]), encoding="utf-8")
    page = open_page(f"{path.as_uri()}#/run/talk", tab="conversation")
    page.get_by_role("article").nth(3).wait_for()
    assert page.get_by_role("article").count() == 4


def test_child_runs_stand_where_they_began_and_open_in_place(open_page, serve):
    child = AgentTrace(
        run_id="child", name="researcher", parent_run_id="talk", start_time=2.5,
        steps=[TraceStep("llm_call", timestamp=2.5, input="Look it up.", output="Found.")],
    )  # fmt: skip
    page = open_page(f"{serve([talk(), child]).url}#/run/talk", tab="conversation")
    card = page.get_by_role("article", name="Child run researcher")
    card.wait_for()
    names = (
        page.get_by_role("feed")
        .locator("> article")
        .evaluate_all("all => all.map(one => one.getAttribute('aria-label').split(',')[0])")
    )
    assert names[-2:] == ["Child run researcher", "Assistant"]
    card.locator("summary").first.click()
    card.get_by_text("Look it up.").wait_for()
    card.get_by_text("Found.").wait_for()
    card.get_by_role("link", name="Open it").click()
    page.get_by_role("heading", name="researcher").wait_for()


def test_a_run_says_where_it_stands_in_its_session(open_page, serve):
    runs = [AgentTrace(run_id=f"run-{n}", session_id="s", start_time=n + 1.0) for n in range(3)]
    page = open_page(f"{serve(runs).url}#/run/run-1")
    page.get_by_text("Run 2 of 3 in session").wait_for()
    page.get_by_role("link", name="Next").click()
    page.get_by_text("Run 3 of 3 in session").wait_for()
