"""The forms in which selectools 1.3.0 shows a run: timeline, span dictionaries, JSON file."""

from __future__ import annotations

import os
import uuid
from functools import partial
from typing import Any, TypeAlias

import msgspec

from .amounts import Number, finite
from .json_values import is_nested_deeply
from .shapes import RunShape, StepShape

SpanDict: TypeAlias = dict[str, Any]

_NANOSECONDS = 1_000_000_000
_LONGEST_ERROR, _LONGEST_SUMMARY = 500, 200  # characters of an attribute
_OF_A_MODEL = {"llm_call", "cache_hit"}
_OF_A_TOOL = {"tool_execution", "tool_selection"}
_OF_AN_ERROR = {"error", "structured_retry"}


def timeline(trace: RunShape) -> str:
    """One line a step, then the totals."""
    rows = [_row(number, step) for number, step in enumerate(trace.steps, 1)]
    total, llm, tools = trace.total_duration_ms, trace.llm_duration_ms, trace.tool_duration_ms
    return "\n".join([*rows, f"  Total: {total:.1f}ms (LLM: {llm:.1f}ms, Tools: {tools:.1f}ms)"])


def _row(number: int, step: StepShape) -> str:
    kind = _kind(step)
    text = " ".join(str(step.summary or kind).split())  # one line, whatever is in it
    return f"  {number}. [{kind:18s}] {finite(step.duration_ms):7.1f}ms  {text}"


def write_json(data: bytes, path: str | os.PathLike[str]) -> None:
    """A run's JSON in a file, indented; a new file is the user's alone."""
    with open(path, "wb", opener=partial(os.open, mode=0o600)) as file:
        file.write(msgspec.json.format(data, indent=2))


def span_dicts(trace: RunShape) -> list[SpanDict]:
    """A span for the run, then one for each step, its child."""
    root = _span(trace, "agent.run", trace.start_time, trace.total_duration_ms)
    root["attributes"] |= {
        "selectools.run_id": trace.run_id,
        "selectools.step_count": len(trace.steps),
    }
    if trace.parent_run_id:
        root["parent_span_id"] = trace.parent_run_id
        root["attributes"]["selectools.parent_run_id"] = trace.parent_run_id
    for key, value in trace.metadata.items():
        root["attributes"][f"selectools.metadata.{key}"] = _text(value)
    return [root, *(_step_span(trace, step, root["span_id"]) for step in trace.steps)]


def _text(value: object) -> str:
    """The value as text; what no store takes has none that is the same on every Python."""
    return "..." if is_nested_deeply(value) else str(value)


def _step_span(trace: RunShape, step: StepShape, parent: str) -> SpanDict:
    kind = _kind(step)
    span = _span(trace, _name(step, kind), step.timestamp, finite(step.duration_ms))
    span["parent_span_id"] = parent
    span["attributes"] = _attributes(step, kind)
    if kind == "error":
        span["status"] = {"code": "ERROR"}
    return span


def _span(trace: RunShape, name: str, start: Number, milliseconds: Number) -> SpanDict:
    began = _nanoseconds(start)
    return {
        "trace_id": trace.run_id,
        "span_id": uuid.uuid4().hex[:16],
        "name": name,
        "kind": "INTERNAL",
        "start_time_unix_nano": began,
        "end_time_unix_nano": began + int(milliseconds * 1_000_000),
        "attributes": {},
        "status": {"code": "OK"},
    }


def _name(step: StepShape, kind: str) -> str:
    if kind == "llm_call":
        return f"llm.{step.model or 'unknown'}"
    if kind in _OF_A_TOOL:
        return f"tool.{step.tool_name or 'unknown'}"
    if kind == "error":
        return f"error.{step.tool_name or 'agent'}"
    return {"cache_hit": "cache.hit", "structured_retry": "structured.retry"}.get(kind, kind)


def _attributes(step: StepShape, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {"selectools.step_type": kind}
    if kind == "llm_call":
        tokens = {"prompt": step.prompt_tokens, "completion": step.completion_tokens}
        found |= {f"llm.{of}_tokens": n for of, n in tokens.items() if n is not None}
    if kind in _OF_A_MODEL and step.model:
        found["llm.model"] = step.model
    if kind in _OF_A_TOOL and step.tool_name:
        found["tool.name"] = step.tool_name
    if kind in _OF_AN_ERROR and step.error:
        found["error.message"] = str(step.error)[:_LONGEST_ERROR]
    if step.summary:
        found["selectools.summary"] = str(step.summary)[:_LONGEST_SUMMARY]
    return found


def _kind(step: StepShape) -> str:
    return str(getattr(step.type, "value", step.type))


def _nanoseconds(seconds: Number) -> int:
    return int(finite(seconds) * _NANOSECONDS)
