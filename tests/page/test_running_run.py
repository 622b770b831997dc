"""A run that is under way, in a real Chromium: its steps come as they are acknowledged."""

from __future__ import annotations

from runs import until

from selectools_observe import AgentTrace, SQLiteTraceStore
from selectools_observe.capture import Recorder


def test_steps_come_as_they_are_acknowledged(open_page, serve):
    served = serve([AgentTrace(run_id="old")])
    with SQLiteTraceStore(served.path) as store, Recorder(store, live=True) as recorder:
        with recorder.run("refund") as run:
            with run.llm_call("gpt-4o", input="Where is my kettle?") as call:
                call.output = "I look."
            page = open_page(served.url, tab="conversation")
            strip = page.get_by_role("list", name="Runs under way")
            strip.get_by_text("1 step").wait_for()
            strip.get_by_role("link", name="refund").click()
            page.get_by_role("article").filter(has_text="I look.").wait_for()
            page.get_by_role("status").filter(has_text="Running").wait_for()
            with run.tool("find_order", {"number": 1042}) as call:
                call.tool_result = "shipped"
            page.get_by_role("article").filter(has_text="shipped").wait_for()
        page.get_by_role("status").filter(has_text="Running").wait_for(state="detached")
        assert page.get_by_role("article").count() == 3


def test_whoever_reads_the_end_of_a_running_run_goes_on_reading_it(open_page, serve):
    """As in a terminal; nothing moves under whoever reads elsewhere."""
    served = serve([AgentTrace(run_id="old")])
    with (
        SQLiteTraceStore(served.path) as store,
        Recorder(store, live=True) as recorder,
        recorder.run("refund") as run,
    ):

        def say(first, last):
            for number in range(first, last):
                with run.llm_call("gpt-4o") as call:
                    call.output = f"said {number}."

        say(0, 40)
        page = open_page(f"{served.url}#/run/{run.run_id}", tab="conversation")
        page.get_by_text("said 3.").wait_for()
        feed = page.get_by_role("feed")
        say(40, 45)
        page.get_by_role("status").filter(has_text="45 messages").wait_for()
        assert feed.evaluate("one => one.scrollTop") == 0
        feed.evaluate("one => one.scrollTo(0, one.scrollHeight)")
        page.get_by_text("said 44.").wait_for()
        feed.evaluate("one => one.scrollTo(0, one.scrollHeight)")
        say(45, 70)
        page.get_by_text("said 69.").wait_for()
        until(page, AT_END)
        say(70, 75)
        page.get_by_text("said 74.").wait_for()
        until(page, AT_END)


AT_END = """(() => {
  const one = document.querySelector("[role=feed]");
  return one.scrollTop + one.clientHeight > one.scrollHeight - 80;
})()"""
