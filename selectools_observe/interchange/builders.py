"""Runs and steps from the fields that other tools have; what is absent is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..model.limits import loads_limited
from ..model.messages import messages_from
from ..model.trace import AgentTrace, TraceStep


def step(kind: str, began: float, ended: float | None = None, **fields: Any) -> TraceStep:
    """A step of a type, from and until seconds since the epoch; fields that are None are absent."""
    known = {name: value for name, value in fields.items() if value is not None}
    duration = 0.0 if ended is None else max(ended - began, 0.0) * 1000
    return TraceStep.from_dict(
        {"type": kind, "timestamp": began, "duration_ms": round(duration, 3)} | known
    )


def run(run_id: str, began: float, steps: list[TraceStep], **fields: Any) -> AgentTrace:
    """A run; fields that are None, and metadata that is None, are absent."""
    known = {name: value for name, value in fields.items() if value is not None}
    metadata = known.get("metadata") or {}
    known["metadata"] = {name: value for name, value in metadata.items() if value is not None}
    found = AgentTrace.from_dict({"run_id": run_id, "start_time": began} | known)
    found.steps = steps
    return found


def seconds(text: Any) -> float | None:
    """Seconds since the epoch of an ISO time (UTC if it names no zone); None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def whole(value: Any) -> int | None:
    """A count of tokens; None if it is not a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def total(*values: Any) -> int | None:
    """The sum of the counts that are known; None if none is."""
    known = [value for value in map(whole, values) if value is not None]
    return sum(known) if known else None


def text_of(content: Any) -> str | None:
    """The text of a message's content: text itself, or the texts of its parts."""
    if isinstance(content, str):
        return content
    messages = messages_from(content, "assistant") if isinstance(content, list) else []
    return "\n".join([message.text for message in messages if message.text]) or None


def parsed(value: Any) -> Any:
    """A value that may be JSON text; text that is not JSON stays text."""
    if not isinstance(value, str):
        return value
    try:
        return loads_limited(value)
    except ValueError:
        return value


def an_object(value: Any) -> dict[str, Any]:
    """A value that is to be an object; empty if it is none."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a value that is to be an array of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def parsed_object(value: Any) -> dict[str, Any]:
    """`parsed`, where only an object makes sense; an empty one if it is none."""
    found = parsed(value)
    return found if isinstance(found, dict) else {}


_LONGEST_NAME = 100


def short(text: str | None) -> str | None:
    """A text as a name: one line, not too long."""
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"
