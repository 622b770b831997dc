"""Runs of the OpenAI Agents SDK: no moment counted twice, and each row by its own name."""

from __future__ import annotations

from selectools_observe.integrations.openai_agents.steps import EndedSpan, steps_of


def span(span_id, kind, start, end, parent=None, **data):
    return EndedSpan(span_id, parent, float(start), float(end), kind, data)


def test_an_agent_as_a_tool():
    steps, _ = steps_of(
        [
            span("outer", "agent", 0, 10, name="outer"),
            span("turn", "turn", 0, 10, "outer", turn=1, agent_name="outer"),
            span("tool", "function", 1, 9, "turn", name="ask"),
            span("inner", "agent", 1, 9, "tool", name="inner"),
            span("turn2", "turn", 1, 9, "inner", turn=1, agent_name="inner"),
            span("call", "generation", 2, 8, "turn2", model="m"),
        ]
    )
    assert sum(step.duration_ms for step in steps) == 10_000
    by_type = {step.type.value: step for step in steps if step.type.value != "graph_node_end"}
    tool, call = by_type["tool_execution"], by_type["llm_call"]
    assert (tool.duration_ms, tool.extra["wall_ms"]) == (0, 8_000)
    assert call.duration_ms == 6_000
    ends = {step.node_name: step.duration_ms for step in steps if step.type == "graph_node_end"}
    assert ends == {"inner": 2_000, "outer": 2_000}


def test_guardrails_and_servers_have_their_own_names():
    steps, _ = steps_of(
        [
            span("agent", "agent", 0, 10, name="support"),
            span("guard", "guardrail", 1, 2, "agent", name="polite", triggered=False),
            span("tools", "mcp_tools", 2, 3, "agent", server="orders", result=["find"]),
        ]
    )
    guard = next(step for step in steps if step.type == "guardrail")
    assert (guard.summary, guard.node_name, guard.extra["agent"]) == (
        "polite: passed", None, "support",
    )  # fmt: skip
    tools = [step for step in steps if step.node_name == "orders"]
    assert [step.type.value for step in tools] == ["graph_node_start", "graph_node_end"]
