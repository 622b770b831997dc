"""Runs that the tests of the page show: nested ones, huge ones, hostile ones."""

from __future__ import annotations

import time

from selectools_observe import AgentTrace, TraceStep

START = 1_780_000_000.0


def step(kind: str, at_ms: float, took_ms: float = 0.0, **fields) -> TraceStep:
    """A step that began so many milliseconds after the run."""
    return TraceStep(type=kind, timestamp=START + at_ms / 1000, duration_ms=took_ms, **fields)


def graph_run() -> AgentTrace:
    """A graph: a node, two branches side by side of which one fails, and a closing call."""
    trace = AgentTrace(
        run_id="graph-1", start_time=START, metadata={"user_id": "alice", "graph": "research"}
    )
    search = {"tool_name": "web_search", "tool_args": {"q": "trace stores"}, "node_name": "web"}
    for one in (
        step("graph_node_start", 0, node_name="plan"),
        step(
            "llm_call",
            5,
            820,
            node_name="plan",
            model="gpt-4o",
            reasoning="First look, then write.",
        ),
        step("graph_node_end", 830, 830, node_name="plan"),
        step("graph_routing", 831, from_node="plan", to_node="fan_out"),
        step("graph_parallel_start", 835, children=["web", "papers"]),
        step("graph_node_start", 836, node_name="web"),
        step("graph_node_start", 837, node_name="papers"),
        step("tool_execution", 840, 400, tool_result='{"found": [1, 2]}', **search),
        step("tool_execution", 845, 900, node_name="papers", tool_name="papers", error="HTTP 503"),
        step("graph_node_end", 1245, 405, node_name="web"),
        step("graph_node_end", 1750, 905, node_name="papers"),
        step("graph_parallel_end", 1751, 915, children=["web", "papers"]),
        step("guardrail", 1755, 12, summary="no personal data"),
        step("llm_call", 1770, 1400, model="gpt-4o-mini", prompt_tokens=3000, completion_tokens=70),
    ):
        trace.add(one)
    return trace


def child_run(number: int) -> AgentTrace:
    """A run that the graph started."""
    trace = AgentTrace(run_id=f"child-{number}", start_time=START, parent_run_id="graph-1")
    trace.add(step("llm_call", 0, 300, model="gpt-4o-mini", cost_usd=0.01))
    return trace


def long_run(steps: int = 30_000) -> AgentTrace:
    """A run with so many steps."""
    trace = AgentTrace(run_id="long", start_time=START, metadata={"steps": steps})
    for number in range(steps):
        kind = "tool_execution" if number % 3 else "llm_call"
        fields = {"tool_name": f"tool_{number % 7}", "tool_result": f"result {number}"}
        trace.add(step(kind, number * 10, 8, **(fields if number % 3 else {"model": "gpt-4o"})))
    return trace


MEGABYTES = 12

ATTACKS = [
    "<script>canary.push('script')</script>",
    "</script><script>canary.push('close')</script><!--",
    "<img src=x onerror=canary.push('img')>",
    "<svg onload=canary.push('svg')>",
    "javascript:canary.push('link')",
    "[click](javascript:canary.push('markdown'))",
    "data:text/html,<script>parent.canary.push('data')</script>",
    "{{constructor.constructor('canary.push(1)')()}} ${canary.push(2)} <%= canary.push(3) %>",
    "\x1b[31mred\x1b[0m\x1b]8;;https://example.org\x07link\x1b]8;;\x07\x9b2J",
    "user\u202etxt.exe\u2066 \u200b\ufeff\u2029 name",
    '"><iframe srcdoc="<script>parent.canary.push(4)</script>"></iframe>',
    "'; style=x:expression(canary.push(5)) onmouseover='canary.push(6)",
    "__proto__",
    "constructor",
    "toString",
    "\ud800 alone",
    "a\x00b\r\nc",
]


def hostile_runs() -> list[AgentTrace]:
    """Runs that try, with every text they have, to be more than text."""
    runs = []
    for number, attack in enumerate(ATTACKS):
        run_id = attack if "\ud800" not in attack else f"surrogate {number}"
        trace = AgentTrace(
            run_id=run_id,
            start_time=START,
            parent_run_id=ATTACKS[number - 1] if number else None,
            metadata={
                attack: attack,
                "__proto__": {"polluted": True},
                "n": number,
                "deep": [[[attack]]],
            },
        )
        names = {"tool_name": attack, "model": attack, "node_name": attack, "summary": attack}
        trace.add(step(attack, 0, 1, reasoning=attack, **names))
        trace.add(step("tool_execution", 1, 2, tool_args={attack: attack}, tool_result=attack))
        trace.add(step("error", 2, 3, error=attack, tool_args={"a": {"b": [attack]}}))
        trace.add(step("graph_routing", 3, from_node=attack, to_node=attack, children=[attack]))
        runs.append(trace)
    return runs


def huge_run() -> AgentTrace:
    """A run with results of 12 MB: one line without an end, and JSON."""
    trace = AgentTrace(run_id="huge", start_time=START, metadata={"kind": "huge"})
    one_line = "<b>x</b>" * (MEGABYTES * 1024 * 1024 // 8)
    trace.add(step("tool_execution", 0, 5, tool_name="dump", tool_result=one_line))
    rows = [{"row": number, "text": "x" * 90} for number in range(110_000)]
    trace.add(step("tool_execution", 5, 5, tool_name="rows", tool_args={"rows": rows}))
    trace.add(step("error", 10, 5, error="\x1b[31m" * 2_000_000))
    return trace


def until(page, expression: str) -> None:
    """Wait until the page says so. (Playwright's own way needs `eval`, which the page forbids.)"""
    deadline = time.monotonic() + 60
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never: {expression}"
        page.wait_for_timeout(30)
