"""What a span calls its agent, its node or its tool."""

from __future__ import annotations

import re
from typing import Any

from ...model.limits import loads_limited
from .attributes import parsed_text
from .semconv import FIELDS, METADATA_FIELDS, NAMELESS_TOOLS, NODE_NAMES, Kind
from .spans import SpanRecord

_VERBS = re.compile(r"^(?:execute_tool|tools/call|running tool:?|tool:)\s+(?=\S)", re.IGNORECASE)
_AGENT_NAMES = re.compile(r"^(?:agent_run \[|invoke_agent |invoke_workflow )([^\]]+)\]?$")
_CALL = ".__call__"
_RUN = re.compile(r"\.a?run$")  # smolagents: an agent's span is named after its method too
_AGENTS = frozenset({"invoke_agent", "AGENT", "agent"})


def tool_name_of(record: SpanRecord) -> str | None:
    """The tool's name; None of a span that reports a call which another names."""
    if record.name in NAMELESS_TOOLS:
        return None
    for name in FIELDS[Kind.TOOL]["tool_name"]:
        value = record.attributes.get(name)
        if isinstance(value, str) and value:
            return value.removesuffix(_CALL) or value
    return name_of_tool_span(_without_kind(record))


def name_of_tool_span(name: str) -> str:
    """The tool that a span is named after: ``execute_tool find_order`` is ``find_order``."""
    plain = _VERBS.sub("", name)
    return plain.removesuffix(_CALL) or name


def node_name_of(record: SpanRecord, kind: Kind) -> str | None:
    """The agent or node that a span itself names."""
    metadata = langgraph_metadata(record)
    node = metadata.get("node_name")
    own = _agent_name(record, metadata) if kind is Kind.NODE else None
    if own is not None:
        return own
    if isinstance(node, str):
        return node
    for name in NODE_NAMES:
        value = record.attributes.get(name)
        if isinstance(value, str) and value:
            return value
    if kind is not Kind.NODE:
        return None
    named = _AGENT_NAMES.match(record.name)
    if named:
        return named[1]
    is_agent = record.attributes.get("openinference.span.kind") == "AGENT"
    return (_RUN.sub("", record.name) if is_agent else _without_kind(record)) or None


def _without_kind(record: SpanRecord) -> str:
    """A span's name without the kind that AgentOps puts behind it: ``clerk.agent``."""
    return record.name.removesuffix(f".{record.attributes.get('agentops.span.kind')}")


def agent_of(record: SpanRecord) -> str | None:
    """The name of a span that is an agent without saying more of it than its name."""
    kinds = map(record.attributes.get, ("openinference.span.kind", "haystack.component.type"))
    if not any(isinstance(kind, str) and kind in {"AGENT", "Agent"} for kind in kinds):
        return None
    return node_name_of(record, Kind.NODE)


def _agent_name(record: SpanRecord, metadata: dict[str, Any]) -> str | None:
    """The name of a span that is an agent, which may run inside of a graph's node."""
    reported = record.attributes.get("gen_ai.agent.name") or record.attributes.get("agent.name")
    kinds = {
        record.attributes.get("gen_ai.operation.name"),
        record.attributes.get("openinference.span.kind"),
    }
    if not kinds.isdisjoint(_AGENTS):
        inside = metadata.get("node_name") is not None
        return (
            reported
            if isinstance(reported, str) and reported
            else (record.name or None if inside else None)
        )
    return record.name if record.name and metadata.get("agent") == record.name else None


def langgraph_metadata(record: SpanRecord) -> dict[str, Any]:
    """What LangGraph says of a span, by the names of a step's fields; and ``agent``."""
    raw = record.attributes.get("metadata")
    if not isinstance(raw, str) or ("langgraph_" not in raw and "lc_agent_name" not in raw):
        return {}
    try:
        reported = loads_limited(raw)
    except ValueError:
        return {}
    if not isinstance(reported, dict):
        return {}
    found = {field: reported[name] for name, field in METADATA_FIELDS.items() if reported.get(name)}
    return found | ({"agent": reported["lc_agent_name"]} if reported.get("lc_agent_name") else {})


def metadata_of(record: SpanRecord) -> dict[str, Any]:
    """OpenInference's `metadata` attribute: a JSON object of what the caller gave."""
    given = parsed_text(record.attributes.get("metadata"))
    return given if isinstance(given, dict) else {}
