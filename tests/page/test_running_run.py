"""A run that is under way, in a real Chromium: its steps come as they are acknowledged."""

from __future__ import annotations

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
