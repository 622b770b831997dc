"""A run read as a conversation, in a real Chromium."""

from __future__ import annotations

import base64
import re

import pytest

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
    page.locator("mark", has_text=re.compile("^Refund$")).first.wait_for()  # all letters are there
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
    "<svg onload=canary.push(6)><script>canary.push(7)</script></svg>",
    "<math><mtext><script>canary.push(8)</script></mtext></math>",
    "[x](JaVaScRiPt:canary.push(9)) [x](data:text/html,x) [x]: javascript:canary.push(10)",
    "<style>*{display:none}@import 'http://127.0.0.1:9/c.css';</style>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'><base href=http://127.0.0.1:9/>",
    "[![a](http://127.0.0.1:9/x.png)](http://127.0.0.1:9/)",
    "\x1b]8;;http://127.0.0.1:9/\x07link\x1b]8;;\x07",
    "|" + "a|" * 1_000 + "\n|" + "-|" * 1_000 + "\n|" + "b|" * 1_000,
    "".join("  " * n + "- x\n" for n in range(90)),
    "```\nnever closed <script>canary.push(11)</script>\n" * 40,
    "**a *b" * 1_000,
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


MOST_ELEMENTS = 3_000


def long_talk() -> AgentTrace:
    """Six hundred tool calls, each with its result; one says more than is sent at once."""
    steps = [
        TraceStep(
            "tool_execution", timestamp=float(number + 1), tool_name="look",
            tool_args={"n": number},
            tool_result="x" * 50_000 + " needle" if number == 400 else f"row {number}",
            error="lost" if number == 500 else None,
        )
        for number in range(600)
    ]  # fmt: skip
    return AgentTrace(run_id="long", steps=steps)


@pytest.fixture(params=["served", "file"])
def long_url(request, serve, tmp_path):
    """The long run, served or in a file."""
    if request.param == "served":
        return serve([long_talk()]).url
    path = tmp_path / "run.html"
    path.write_text(standalone_html([long_talk()]), encoding="utf-8")
    return path.as_uri()


def test_only_what_is_in_sight_exists_and_all_can_be_reached(open_page, long_url):
    page = open_page(f"{long_url}#/run/long", tab="conversation")
    page.get_by_role("status").filter(has_text="600 messages").wait_for()
    page.locator("#turn-0").wait_for()
    page.keyboard.press("G")
    page.locator("article.chosen#turn-599").wait_for()
    page.locator("#turn-0").wait_for(state="detached")
    page.keyboard.press("E")
    page.locator("article.chosen.bad#turn-500").wait_for()
    page.keyboard.press("g")
    page.locator("article.chosen#turn-0").wait_for()
    assert page.evaluate("document.querySelectorAll('*').length") < MOST_ELEMENTS


def test_words_behind_what_was_sent_are_found_and_marked(open_page, long_url):
    page = open_page(f"{long_url}#/run/long", tab="conversation")
    page.locator("#turn-0").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("NEEDLE")
    page.get_by_role("status").filter(has_text="1 of 1").wait_for()
    page.locator("article.hit#turn-400 mark").first.wait_for()
    assert page.locator("article.hit mark").first.inner_text() == "needle"
    page.locator("#find-words").fill("nobody said this")
    page.get_by_role("status").filter(has_text="Nothing found").wait_for()


def test_what_capture_cut_is_said(open_page, serve):
    cut = "Refund please… [1,234 characters more]"
    trace = AgentTrace(run_id="cut", steps=[TraceStep("llm_call", input=cut, output="Done.")])
    page = open_page(f"{serve([trace]).url}#/run/cut", tab="conversation")
    page.get_by_text("Capture cut 1,234 characters of 1 message: not stored").wait_for()
    said = page.locator("#turn-0 header").inner_text()
    assert "cut at capture: 1,234 characters not stored" in said


def test_a_file_says_what_capture_cut_and_lost(open_page, tmp_path):
    step = TraceStep("llm_call", input="Refund… [9 characters more]", output="Done.")
    lost = {"langchain": {"lost_events": ["on_llm_end: KeyError", "on_tool_end: KeyError"]}}
    path = tmp_path / "run.html"
    path.write_text(standalone_html([AgentTrace(run_id="cut", steps=[step], extra=lost)]), "utf-8")
    page = open_page(f"{path.as_uri()}#/run/cut", tab="conversation")
    said = "Capture cut 9 characters of 1 message; capture lost 2 events: not stored"
    page.get_by_text(said).wait_for()


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
        .locator("article")
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


def test_a_picture_is_shown_whole_though_texts_are_cut(open_page, serve):
    picture = base64.b64encode(b"GIF89a" + b"\0" * 30_000).decode()
    url = {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{picture}"}}
    asked = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, url]}]
    step = TraceStep("llm_call", timestamp=1.0, model="m", input=asked, output=ANSWER)
    run = AgentTrace(run_id="seen", name="seen", start_time=1.0, steps=[step])
    page = open_page(f"{serve([run]).url}#/run/seen", tab="conversation")
    shown = page.locator("img.thumb")
    shown.wait_for(state="attached")
    page.wait_for_function("() => document.querySelector('img.thumb').src.length > 40000")
    assert shown.get_attribute("src") == f"data:image/gif;base64,{picture}"
    assert page.get_by_role("button", name="Show all").count() == 0
