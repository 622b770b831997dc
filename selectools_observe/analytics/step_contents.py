"""What the steps of a run did, without what differs between any two runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from ..model.json_values import loads, plain
from ..model.messages import (
    Message,
    Part,
    RawPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    messages_from,
)
from ..model.trace import AgentTrace, StepType, TraceStep
from .new_messages import NewMessages

StepContents: TypeAlias = Mapping[str, Any]
"""The fields of a step that are set, as JSON values, in the order of `COMPARED`."""

COMPARED = (
    "type", "tool_name", "tool_args", "tool_result", "model", "input", "output", "reasoning",
    "error", "node_name", "step_number", "interrupt_key", "from_node", "to_node", "children",
)  # fmt: skip
"""The fields in which steps can differ. When a step ran, how long it took and what it cost are not
among them: those differ between any two runs. Of the input of a model call only what is new counts,
and of messages not the ids that a provider gave. A `summary` counts where it is all that a step
says: elsewhere it is made of the other fields. Fields that other programs put into a step count by
their own names, but for numbers, ids and times."""

_TOOL_STEPS = frozenset({StepType.TOOL_EXECUTION, StepType.TOOL_SELECTION})
_CONTENT = frozenset(
    {"tool_args", "tool_result", "input", "output", "reasoning", "error", "children"}
)
_OF_CAPTURE = frozenset({"otel", "cost_estimate"})
_OF_THE_RUN = re.compile(
    r"(?:^|[._-])(?:id|ids|uuid|time|timestamp|at|date|duration|latency)$", re.IGNORECASE
)
_LONGEST_DECODED = 1_000_000  # characters of text that may be JSON


def contents_of(trace: AgentTrace) -> list[StepContents]:
    """What each step did, comparable with the steps of another run.

    Messages have one shape whatever framework they come from. Text that is a JSON object or array
    is read, so that the order of keys and the spaces between them do not matter.
    """
    new = NewMessages()
    return [_contents(step, new) for step in trace.steps]


def messages_to_compare(value: object, role: str) -> list[Any]:
    """Messages of any shape as JSON values without ids."""
    return [_said(message) for message in messages_from(value, role)]


def _contents(step: TraceStep, new: NewMessages) -> StepContents:
    said = {} if step.type in _TOOL_STEPS else _messages(step, new)
    found: dict[str, Any] = {}
    for name in COMPARED:
        value = said[name] if name in said else decoded(plain(getattr(step, name)))
        if value is not None:
            found[name] = value
    if step.summary and not _CONTENT & found.keys():
        found["summary"] = step.summary
    for name, value in (step.extra or {}).items():
        if (
            name not in _OF_CAPTURE
            and not _OF_THE_RUN.search(name)
            and type(value) not in {int, float}
        ):
            found[name] = decoded(plain(value))
    return found


def _messages(step: TraceStep, new: NewMessages) -> dict[str, Any]:
    """The new input and the output; ``reasoning`` stands in a field of its own."""
    given, answered = new.of(msgspec.structs.replace(step, reasoning=None))
    return {
        "input": [_said(message) for message in given] or None,
        "output": [_said(message) for message in answered] or None,
    }


def _said(message: Message) -> dict[str, Any]:
    """A message without ids, names of its parts that people read."""
    parts = message.parts
    fields = {
        "text": message.text or None,
        "reasoning": _each(parts, ReasoningPart, lambda part: part.content) or None,
        "tool_calls": _each(parts, ToolCallPart, _call) or None,
        "results": _each(parts, ToolResultPart, lambda part: decoded(plain(part.response))) or None,
        "other": [_other(part) for part in parts if not isinstance(part, _SHOWN)] or None,
    }
    set_fields = {name: value for name, value in fields.items() if value is not None}
    return {"role": message.role, **set_fields}


_SHOWN = (TextPart, ReasoningPart, ToolCallPart, ToolResultPart)


def _each(parts: Sequence[Part], kind: type[Any], read: Callable[[Any], Any]) -> list[Any]:
    return [read(part) for part in parts if isinstance(part, kind)]


def _call(part: ToolCallPart) -> dict[str, Any]:
    return {"name": part.name, "arguments": decoded(plain(part.arguments))}


def _other(part: Part) -> Any:
    return plain(part.value) if isinstance(part, RawPart) else msgspec.to_builtins(part)


def decoded(value: Any) -> Any:
    """The JSON object or array that a text is, if it is one."""
    if not isinstance(value, str) or len(value) > _LONGEST_DECODED:
        return value
    if value[:1] not in {"{", "["} and value.lstrip()[:1] not in {"{", "["}:
        return value
    try:
        return loads(value)
    except (ValueError, RecursionError):
        return value
