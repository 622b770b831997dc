"""Spans of the OpenAI Agents SDK as the steps of a run.

A model call, a function, a handoff and a guardrail are one step each. An agent is two, its start
and its end, as selectools tells of graph nodes. A step's duration is its own time, without that of
the steps inside it: an agent as a tool takes what its model takes, once. The spans of a whole run
and of a turn are kept next to the steps: a turn's number is the ``step_number`` of what happened in
it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from ...capture.error_text import error_text
from ...capture.foreign_values import as_text, plain_attribute
from ...model.json_values import is_nested_deeply, is_one_of, json_text, loads
from ...model.messages import normalised
from ...model.trace import StepType, TraceStep

KEPT = "openai"
"""The entry of a step's and of a run's ``extra`` that holds what has no field."""

_NODES = frozenset({"agent", "custom", "mcp_tools", "speech_group"})
_GROUPING = frozenset({"task", "turn"})


class EndedSpan(msgspec.Struct):
    """A span that has ended.

    Attributes:
        span_id: Its id.
        parent_id: The span it is inside of.
        start: When it began, seconds since the epoch.
        end: When it ended.
        type: What it is, in the SDK's words: ``agent``, ``function``, ``generation``, ...
        data: What the SDK says about it.
        error: What went wrong.
        error_data: What the SDK says about that.
    """

    span_id: str
    parent_id: str | None
    start: float
    end: float
    type: str
    data: dict[str, Any]
    error: str | None = None
    error_data: dict[str, Any] | None = None


def ended_span(span: Any) -> EndedSpan:
    """A span of the SDK, copied: plain JSON values throughout.

    What its data hold may be anything; of a value that cannot be read a note is kept.
    """
    data = span.span_data
    names = [name for kind in type(data).__mro__ for name in getattr(kind, "__slots__", ())]
    attributes = {name.lstrip("_"): plain_attribute(data, name) for name in names}
    error = plain_attribute(span, "error")
    start = _seconds(span.started_at)
    kind, attributes = _grouping(data.type, attributes)
    return EndedSpan(
        span_id=span.span_id,
        parent_id=span.parent_id,
        start=start,
        end=max(_seconds(span.ended_at), start),
        type=kind,
        data={name: value for name, value in attributes.items() if value is not None},
        error=None if error is None else _error_text(error),
        error_data=error.get("data") if isinstance(error, dict) else None,
    )


def _grouping(kind: str, attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A span's type and data; newer SDKs tell of turns and whole runs by custom spans."""
    inner = attributes.get("data") if kind == "custom" else None
    if isinstance(inner, dict) and is_one_of(inner.get("sdk_span_type"), _GROUPING):
        return inner["sdk_span_type"], {**attributes, **inner}
    return kind, attributes


def steps_of(
    spans: Iterable[EndedSpan], still_open: Collection[EndedSpan] = ()
) -> tuple[list[TraceStep], list[dict[str, Any]]]:
    """The steps of a run, the oldest first, and the spans that are kept next to them.

    Of a span that is still open, only the start of an agent is a step.
    """
    by_id = {span.span_id: span for span in still_open}
    by_id |= {span.span_id: span for span in spans}
    unended = {span.span_id for span in still_open}
    inside = _inside(by_id)
    placed: list[tuple[float, int, int, TraceStep]] = []
    beside = []
    for number, span in enumerate(sorted(by_id.values(), key=lambda span: span.start)):
        ended = span.span_id not in unended
        if span.type in _GROUPING and ended:
            beside.append(msgspec.to_builtins(span))
            if span.error is not None:
                placed.append((span.end, 1, -number, _failure(span)))
        elif ended or span.type in _NODES:
            own = _own_seconds(span, inside.get(span.span_id, ())) * 1000
            step = _any_step(span, list(_around(span, by_id)), own)
            placed.append((span.start, 0, number, step))
            if ended and span.type in _NODES:
                placed.append((span.end, 1, -number, _end(span, step, own)))
    placed.sort(key=lambda each: each[:3])
    return [step for *_, step in placed], beside


def asked_and_answered(steps: Iterable[TraceStep]) -> tuple[Any, Any]:
    """What a run was asked, and what it answered, which the SDK reports of its model calls only.

    What is asked is what the first call was given since the model last said something; what is
    answered is what the last call says, unless it only asks for tools.
    """
    calls = [step for step in steps if step.type == StepType.LLM_CALL]
    if not calls:
        return None, None
    asked: list[Any] = []
    for message in _dicts(calls[0].input):
        asked = [] if message.get("role") == "assistant" else [*asked, message]
    given = [message for message in asked if message.get("role") == "user"]
    came = [message for message in _dicts(calls[-1].output) if _says(message)]
    return given or None, came or None if calls[-1].error is None else None


def _says(message: dict[str, Any]) -> bool:
    """Whether a message says something in words."""
    return any(part.get("type") == "text" for part in _dicts(message.get("parts")))


def key_of(step: TraceStep) -> tuple[Any, bool]:
    """Which span a step is of, and whether of its end; itself if of none."""
    kept = (step.extra or {}).get(KEPT)
    if not isinstance(kept, dict):
        return id(step), False
    return kept.get("span_id"), bool(kept.get("end"))


def _inside(by_id: dict[str, EndedSpan]) -> dict[str, list[EndedSpan]]:
    """The spans that become steps, by the one that they are directly inside of, by their start."""
    found: dict[str, list[EndedSpan]] = {}
    for span in sorted(by_id.values(), key=lambda span: (span.start, span.end)):
        if span.type not in _GROUPING:
            outer = next(
                (each for each in _around(span, by_id) if each.type not in _GROUPING), None
            )
            if outer is not None:
                found.setdefault(outer.span_id, []).append(span)
    return found


def _any_step(span: EndedSpan, around: list[EndedSpan], own: float) -> TraceStep:
    """The step of a span; of one whose data are of no known form, with them as they are."""
    try:
        return _step(span, around, own)
    except Exception as error:  # noqa: BLE001 - they come from everywhere
        bare = msgspec.structs.replace(span, type="custom", data={})
        step = _step(bare, around, own)
        step.type = _TYPES.get(span.type, step.type)
        kept = {"type": span.type, "data": span.data, "unread": error_text(error)}
        step.extra = {**(step.extra or {}), KEPT: {**(step.extra or {})[KEPT], **kept}}
        return step


def _step(span: EndedSpan, around: list[EndedSpan], own: float) -> TraceStep:
    fields, used = _FIELDS.get(span.type, _node)(span.data)
    node = span.type in _NODES
    extra = {name: value for name, value in fields.items() if name not in _STEP_FIELDS}
    extra[KEPT] = {"span_id": span.span_id, "type": span.type}
    if span.parent_id is not None:
        extra[KEPT]["parent_id"] = span.parent_id
    rest = {name: value for name, value in span.data.items() if name not in used}
    if rest:
        extra[KEPT]["data"] = rest
    if span.error_data:
        extra[KEPT]["error_data"] = span.error_data
    whole = (span.end - span.start) * 1000
    if not node and whole != own:
        extra["wall_ms"] = whole
    agent = _agent_of(around)
    if "node_name" not in fields:
        fields["node_name"] = agent
    elif agent is not None and fields["node_name"] != agent and span.type != "agent":
        extra["agent"] = agent
    return TraceStep(
        timestamp=span.start,
        duration_ms=0.0 if node else own,
        error=None if node else span.error,
        step_number=next((s.data.get("turn") for s in around if s.type == "turn"), None),
        extra=extra,
        **{name: value for name, value in fields.items() if name in _STEP_FIELDS},
    )


_STEP_FIELDS = frozenset(TraceStep.__struct_fields__) - {"extra"}


def _end(span: EndedSpan, start: TraceStep, own: float) -> TraceStep:
    return TraceStep(
        type=StepType.GRAPH_NODE_END,
        timestamp=span.end,
        duration_ms=own,
        node_name=start.node_name,
        step_number=start.step_number,
        summary=start.summary,
        error=span.error,
        extra={KEPT: {"span_id": span.span_id, "end": True}},
    )


def _failure(span: EndedSpan) -> TraceStep:
    return TraceStep(
        type=StepType.ERROR,
        timestamp=span.end,
        error=span.error,
        extra={KEPT: {"span_id": span.span_id, "end": True}},
    )


def _own_seconds(span: EndedSpan, inside: Iterable[EndedSpan]) -> float:
    """The span's time that none of these covers."""
    own, at = 0.0, span.start
    for each in inside:
        own += max(min(each.start, span.end) - at, 0.0)
        at = max(at, each.end)
    return own + max(span.end - at, 0.0)


def _around(span: EndedSpan, by_id: dict[str, EndedSpan]) -> Iterator[EndedSpan]:
    """The spans that this one is inside of, the nearest first."""
    seen = {span.span_id}
    while span.parent_id in by_id and span.parent_id not in seen:
        span = by_id[span.parent_id]
        seen.add(span.span_id)
        yield span


def _agent_of(around: list[EndedSpan]) -> str | None:
    for span in around:
        name = span.data.get("agent_name" if span.type == "turn" else "name")
        if span.type in {"agent", "turn"} and isinstance(name, str):
            return name
    return None


# What becomes of a span's data: fields of a step and entries of its extra, and the names used.
_Fields = tuple[dict[str, Any], set[str]]


def _generation(data: dict[str, Any]) -> _Fields:
    fields = {"type": StepType.LLM_CALL, "model": data.get("model"), **_usage(data.get("usage"))}
    return _with_messages(fields, data, data), {"model", "usage", "input", "output"}


def _response(data: dict[str, Any]) -> _Fields:
    response = _dict(data.get("response"))
    fields = {
        "type": StepType.LLM_CALL,
        "model": response.get("model"),
        "reasoning": _reasoning(response.get("output")),
        **_usage(data.get("usage") or response.get("usage")),
    }
    rest = {name: value for name, value in response.items() if value is not None}
    for name in ("model", "output", "usage"):
        rest.pop(name, None)
    instructions = rest.get("instructions")
    has_system = isinstance(instructions, str) and bool(instructions)
    if has_system:
        del rest["instructions"]
    _with_messages(fields, data, response, instructions if has_system else None)
    if _finish_reason(response):
        fields["finish_reason"] = _finish_reason(response)
    if rest:
        fields["response"] = rest
    used = {"usage", "input"} | ({"response"} if isinstance(data.get("response"), dict) else set())
    return fields, used


def _with_messages(
    fields: dict[str, Any],
    asked: dict[str, Any],
    answered: dict[str, Any],
    instructions: str | None = None,
) -> dict[str, Any]:
    """The fields with the messages of a call, the instructions first, which the SDK keeps apart."""
    given = normalised(asked.get("input"))
    if instructions is not None:
        system = normalised([{"role": "system", "content": instructions}])
        given = system + (given if isinstance(given, list) else [given] if given else [])
    reported = {"input": given, "output": normalised(answered.get("output"), "assistant")}
    return _with(fields, reported, *reported)


def _finish_reason(response: dict[str, Any]) -> str | None:
    """Why the model stopped: what was incomplete, or else the response's status."""
    status = _dict(response.get("incomplete_details")).get("reason") or response.get("status")
    return status if isinstance(status, str) else None


def _function(data: dict[str, Any]) -> _Fields:
    fields = {"type": StepType.TOOL_EXECUTION, "tool_name": data.get("name")}
    if data.get("input") is not None:
        args = _parsed(data["input"])
        fields["tool_args"] = args if isinstance(args, dict) else {"input": args}
    if data.get("output") is not None:
        output = data["output"]
        fields["tool_result"] = as_text(output)
    return fields, {"name", "input", "output"}


def _handoff(data: dict[str, Any]) -> _Fields:
    ends = {"from_node": data.get("from_agent"), "to_node": data.get("to_agent")}
    return {"type": StepType.GRAPH_ROUTING, **ends}, {"from_agent", "to_agent"}


def _guardrail(data: dict[str, Any]) -> _Fields:
    triggered = "triggered" if data.get("triggered") else "passed"
    # Without a node: it would be shown by the agent's name, and not by its own.
    summary = f"{data.get('name')}: {triggered}"
    return {"type": StepType.GUARDRAIL, "summary": summary, "node_name": None}, set()


def _agent(data: dict[str, Any]) -> _Fields:
    name = data.get("name")
    return {"type": StepType.GRAPH_NODE_START, "node_name": name, "summary": name}, {"name"}


def _node(data: dict[str, Any]) -> _Fields:
    name = data.get("name") or data.get("server")
    return {"type": StepType.GRAPH_NODE_START, "node_name": name, "summary": name}, {"name"}


def _speech(data: dict[str, Any]) -> _Fields:
    fields = {"type": StepType.LLM_CALL, "model": data.get("model")}
    return _with(fields, data, "input", "output"), {"model", "input", "output"}


_TYPES = {
    "function": StepType.TOOL_EXECUTION,
    "generation": StepType.LLM_CALL,
    "guardrail": StepType.GUARDRAIL,
    "handoff": StepType.GRAPH_ROUTING,
    "response": StepType.LLM_CALL,
    "speech": StepType.LLM_CALL,
    "transcription": StepType.LLM_CALL,
}
_FIELDS: dict[str, Callable[[dict[str, Any]], _Fields]] = {
    "agent": _agent,
    "function": _function,
    "generation": _generation,
    "guardrail": _guardrail,
    "handoff": _handoff,
    "response": _response,
    "speech": _speech,
    "transcription": _speech,
}


def _with(fields: dict[str, Any], data: dict[str, Any], *names: str) -> dict[str, Any]:
    fields |= {name: data[name] for name in names if data.get(name) is not None}
    return fields


def _usage(usage: Any) -> dict[str, Any]:
    """Tokens, in the words of the Responses API or of Chat Completions."""
    if not isinstance(usage, dict):
        return {}
    sent = _dict(usage.get("input_tokens_details") or usage.get("prompt_tokens_details"))
    wrote = _dict(usage.get("output_tokens_details") or usage.get("completion_tokens_details"))
    reported = {
        "prompt_tokens": usage.get("input_tokens", usage.get("prompt_tokens")),
        "completion_tokens": usage.get("output_tokens", usage.get("completion_tokens")),
        "cache_read_tokens": sent.get("cached_tokens") or None,
        "cache_write_tokens": sent.get("cache_write_tokens") or None,
        "reasoning_tokens": wrote.get("reasoning_tokens") or None,
        "audio_input_tokens": sent.get("audio_tokens") or None,
        "audio_output_tokens": wrote.get("audio_tokens") or None,
    }
    return {name: value for name, value in reported.items() if value is not None}


def _reasoning(output: Any) -> str | None:
    texts = [
        part["text"]
        for item in _dicts(output)
        if item.get("type") == "reasoning"
        for part in _dicts(item.get("summary"))
        if isinstance(part.get("text"), str)
    ]
    return "\n".join(texts) or None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _error_text(error: Any) -> str:
    if not isinstance(error, dict):
        return as_text(error)
    message = as_text(error.get("message") or "error")
    data = error.get("data") or {}
    detail = data.get("error") if isinstance(data, dict) else None
    return f"{message}: {as_text(detail)}" if detail else message


def _parsed(text: Any) -> Any:
    try:
        value = loads(text) if isinstance(text, str) else text
    except ValueError:
        return text
    if not is_nested_deeply([value]):
        return value
    # More deeply than a store takes: a text.
    return text if isinstance(text, str) else json_text(text)


def _seconds(time: str | None) -> float:
    return 0.0 if time is None else datetime.fromisoformat(time).timestamp()
