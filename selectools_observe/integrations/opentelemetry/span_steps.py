"""A span as the steps of a run.

A call of a model or a tool is one step. What such calls happen in (an agent, a chain, a graph's
node) is two: its start and its end, as selectools tells of graph nodes. A step's duration is its
own time, without that of the steps inside it, so that a run's total counts no moment twice; where
that differs from the span's, ``extra["wall_ms"]`` is the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...model.json_values import copied, is_one_of
from ...model.limits import loads_limited
from ...model.messages import normalised
from ...model.trace import STEP_FIELDS, StepType, TraceStep
from .attributes import Attributes, count, number, parsed_text
from .message_forms import normalise, take_requests
from .message_memory import Conversation
from .raw_responses import complete_call, model_named_in
from .semconv import (
    ASKED_FOR,
    CACHE_WRITE_PARTS,
    CALL_PARAMETERS,
    COST_PARTS,
    DETAIL_EVENTS,
    FIELDS,
    KIND_BY_COMPONENT,
    KIND_BY_NAME,
    KIND_BY_NAME_START,
    KIND_BY_PRESENCE,
    KIND_BY_VALUE,
    MESSAGE_EVENTS,
    MESSAGE_NAMES,
    NO_TOOLS,
    REASONING_PARTS,
    REQUEST_MODELS,
    SYSTEM_TEXT,
    TOOL_CALLS,
    Kind,
)
from .span_names import langgraph_metadata, name_of_tool_span, node_name_of, tool_name_of
from .spans import LOG_MARK, SpanEvent, SpanRecord, to_plain
from .tool_values import arguments_in, error_in, response_in, result_of
from .usage_attributes import usage_in

KEPT = "otel"
"""The entry of a step's and of a run's ``extra`` that holds what has no field."""

STEP_TYPES = {
    Kind.MODEL: StepType.LLM_CALL,
    Kind.TOOL: StepType.TOOL_EXECUTION,
    Kind.GUARDRAIL: StepType.GUARDRAIL,
    Kind.NODE: StepType.GRAPH_NODE_START,
    Kind.OTHER: StepType("span"),
}
USAGE = StepType("usage")
"""A step for tokens and costs that only the span around several model calls reports."""

# OpenInference makes spans also of methods that help to make a call: `OpenAI._prepare_chat`.
_HELPER = re.compile(r"\._[a-z]\w*$")
# What other spans say of the same call may fill in; the rest is a span's own.
_SHARED = {kind: tuple(fields) for kind, fields in FIELDS.items()}
_USAGE_FIELDS = tuple(
    name for name in FIELDS[Kind.MODEL] if name.endswith("tokens") or name == "model"
)


@dataclass(slots=True)
class Place:
    """Where a span is in its run.

    Attributes:
        node_name: The nearest agent or node around it.
        own_ns: Its time without that of the steps inside it, nanoseconds.
        also: Further spans that report the same call.
        tokens: It reports tokens of model calls inside it, which report none.
        cost: It reports their cost, which they do not.
        calls: Model calls inside it are steps.
    """

    node_name: str | None = None
    own_ns: int = 0
    also: Sequence[SpanRecord] = ()
    tokens: bool = False
    cost: bool = False
    calls: bool = False


def kind_of(record: SpanRecord) -> Kind:
    """What the span is for a run."""
    if record.partial:
        return Kind.OTHER
    attributes = record.attributes
    kind = KIND_BY_NAME.get(record.name) or _kind_reported(attributes)
    if kind is Kind.OTHER and "gen_ai.operation.name" not in attributes:
        kind = _kind_named(record.name)
    if kind is Kind.TOOL and (
        tool_name_of(record) in NO_TOOLS
        or (record.name.startswith(ASKED_FOR) and "agentops.span.kind" in attributes)
    ):
        return Kind.OTHER
    if kind is Kind.MODEL and "." in record.name and _HELPER.search(record.name):
        names = FIELDS[Kind.MODEL]["prompt_tokens"]
        return Kind.OTHER if attributes.keys().isdisjoint(names) else kind
    return kind


def _kind_reported(attributes: dict[str, Any]) -> Kind:
    for name, kinds in KIND_BY_VALUE.items():
        value = attributes.get(name)
        if isinstance(value, str):
            kind = kinds.get(value) or kinds.get(_word(value))
            if kind is not None:
                return kind
    component = attributes.get("haystack.component.type")
    if isinstance(component, str):
        return next(
            (k for end, k in KIND_BY_COMPONENT.items() if component.endswith(end)), Kind.NODE
        )
    for name, kind in KIND_BY_PRESENCE:
        if name in attributes:
            return kind
        if name.endswith(".") and any(key.startswith(name) for key in attributes):
            return kind
    return Kind.OTHER


def _word(value: str) -> str:
    """The word that a value is, or that JSON in it says as its type: Braintrust."""
    told = parsed_text(value) if value[:1] == "{" else value
    return str(told.get("type") if isinstance(told, dict) else told).strip('"').lower()


def _kind_named(name: str) -> Kind:
    return next((kind for start, kind in KIND_BY_NAME_START if name.startswith(start)), Kind.OTHER)


def error_of(record: SpanRecord) -> str | None:
    """What went wrong, as ``Type: message``; None if nothing did."""
    exceptions = [event for event in record.events if event.name == "exception"]
    failed = record.status == "error" or _reports_failure(record)
    if record.status == "ok" or not (failed or exceptions):
        return None
    for reported in [*(event.attributes for event in exceptions[::-1]), record.attributes]:
        text = _exception_in(reported)
        if text:
            return text
    said = [record.attributes.get(name) for name in _ERROR_TEXTS]
    said += [event.attributes.get("message") for event in record.events if event.name == "error"]
    text = next((each for each in said if isinstance(each, str) and each not in _NO_ERRORS), "")
    return record.status_message or text or str(record.attributes.get("error.type") or "error")


def is_cancelled(record: SpanRecord) -> bool:
    """Whether what ended it is a cancellation or an interrupt, which languages name differently."""
    kind = record.attributes.get("error.type")
    named = [str(kind), (error_of(record) or "").partition(":")[0]]
    return any(name.rpartition(".")[2] in _CANCELLATIONS for name in named)


_CANCELLATIONS = frozenset(
    {
        "AbortError", "Cancelled", "CancelledError", "CancellationException", "GeneratorExit",
        "KeyboardInterrupt", "OperationCanceledException", "TaskCanceledException",
    }
)  # fmt: skip
_ERROR_TEXTS = (
    "error.message", "otel.status_description", "langfuse.observation.status_message", "error",
)  # fmt: skip
_NO_ERRORS = frozenset({"", "false", "False", "true", "True", "0", "none", "None", "null"})


def _exception_in(reported: Mapping[str, Any]) -> str:
    """What attributes say of an exception, or the last line of its traceback."""
    kind = str(reported.get("exception.type") or "").rpartition(".")[2]
    text = ": ".join(filter(None, [kind, str(reported.get("exception.message") or "")]))
    trace = reported.get("exception.stacktrace")
    return text or (trace.strip().rpartition("\n")[2] if isinstance(trace, str) else "")


def _reports_failure(record: SpanRecord) -> bool:
    """Whether its attributes say that it failed, where no status does."""
    attributes = record.attributes
    if record.name in KIND_BY_NAME and attributes.get("success") in (False, "false"):
        return True  # Claude Code
    if any(attributes.get(name) for name in ("error.type", "exception.type", "exception.message")):
        return True
    error = attributes.get("error")
    if error is True or (isinstance(error, str) and error not in _NO_ERRORS - {"true", "True"}):
        return True
    return (
        attributes.get("otel.status_code") == "ERROR"
        or attributes.get("langfuse.observation.level") == "ERROR"
        or any(attributes.get(name) is True for name in _FAILED_TOOLS)
    )


_FAILED_TOOLS = ("lk.function_tool.is_error", "haystack.tool.error")


def steps_of(
    record: SpanRecord, kind: Kind, place: Place, conversation: Conversation
) -> dict[str, TraceStep]:
    """The steps of one span, by which part of it each tells: its ``start`` or its ``end``."""
    found, attributes, events = _taken(record, kind, conversation)
    errors = [error_of(record), found.pop("error", None)]
    for other in place.also:
        reported, _, _ = _taken(other, kind, conversation)
        reported.pop("error", None)
        found |= {
            name: reported[name] for name in _SHARED[kind] if name in reported and name not in found
        }
    errors.append(_error_of_last(place.also))
    error = next(filter(None, errors), None)
    if kind is Kind.TOOL and errors[0] is not None and errors[1] is not None:
        error = errors[1]  # a tool's own words say more than a framework's code
    step = _step(record, kind, found, place, None if kind is Kind.NODE else error)
    step.extra = {name: value for name, value in found.items() if name not in STEP_FIELDS}
    whole_ns = max(record.end_ns - record.start_ns, 0)
    if kind is not Kind.NODE and place.own_ns != whole_ns:
        step.extra["wall_ms"] = whole_ns / 10**6
    step.extra[KEPT] = _kept(record, attributes, events)
    if kind is not Kind.NODE:
        return {"start": step}
    usage = usage_of_node(record, place, conversation, step)
    return {"start": step, "end": _end(record, step, place)} | usage


def usage_of_node(
    record: SpanRecord,
    place: Place,
    conversation: Conversation,
    start: TraceStep | None = None,
) -> dict[str, TraceStep]:
    """The step, if there is one, for tokens and costs that nothing inside a span reports."""
    if not (place.tokens or place.cost):
        return {}
    attributes = Attributes(record.attributes)
    wanted = [*(_USAGE_FIELDS if place.tokens else ()), *(["cost_usd"] if place.cost else [])]
    found = {name: attributes.take(name, FIELDS[Kind.MODEL][name]) for name in wanted}
    found = {name: value for name, value in found.items() if value is not None}
    for name, value in usage_in(attributes.left).items():
        if name in wanted:
            found.setdefault(name, value)
    is_call = not place.calls and place.tokens
    step = TraceStep(
        type=StepType.LLM_CALL if is_call else USAGE,
        timestamp=record.start_ns / 10**9,
        node_name=start.node_name if start is not None else node_name_of(record, Kind.NODE),
        summary=None if is_call else f"usage that {record.name} reports",
        **{name: value for name, value in found.items() if name in STEP_FIELDS},
    )
    step.extra = {name: value for name, value in found.items() if name not in STEP_FIELDS}
    if is_call:
        whole_ns = max(record.end_ns - record.start_ns, 0)
        # Of an agent inside, its end has the time.
        step.duration_ms = place.own_ns / 10**6 if start is None else 0.0
        step.extra |= {"wall_ms": whole_ns / 10**6} if whole_ns != place.own_ns else {}
        reported, _, _ = _taken(record, Kind.NODE, conversation)
        step.input = normalised(reported.get("input"), "user")
        step.output = normalised(reported.get("output"), "assistant")
    step.extra[KEPT] = {"span_id": record.span_id, "usage": True}
    return {"usage": step}


def _taken(
    record: SpanRecord, kind: Kind, conversation: Conversation
) -> tuple[dict[str, Any], Attributes, list[SpanEvent]]:
    """What a span says by meaning, what is left of its attributes, and of its events."""
    attributes = Attributes(record.attributes, conversation)
    events = _take_details(record.events, attributes.left)
    found = attributes.take_all(kind)
    messages, events = _take_messages(events, found, kind)
    found |= {name: value for name, value in messages.items() if found.get(name) is None}
    if kind is Kind.TOOL:
        _refine_tool(found, attributes, record)
    elif kind is Kind.MODEL:
        _refine_call(found, attributes)
    if kind in {Kind.MODEL, Kind.NODE}:
        _put_system_first(found, attributes)
        if kind is Kind.MODEL or MESSAGE_NAMES.issuperset(attributes.found.values()):
            attributes.forms = normalise(found, attributes, conversation)
        if kind is Kind.MODEL:
            attributes.requests = take_requests(found, attributes, conversation)
            if "finish_reason" not in found:
                reason = _finish_reason(found.get("output"))
                found |= {} if reason is None else {"finish_reason": reason}
    for name in ("input", "output"):
        if isinstance(found.get(name), list):
            found[name] = copied(found[name])
    return found, attributes, events


def _step(
    record: SpanRecord, kind: Kind, found: dict[str, Any], place: Place, error: str | None
) -> TraceStep:
    node = kind is Kind.NODE
    fields = {name: value for name, value in found.items() if name in STEP_FIELDS}
    reported = langgraph_metadata(record)
    if "step_number" in reported:
        fields["step_number"] = reported["step_number"]
    own = node_name_of(record, kind)
    inside = kind in {Kind.MODEL, Kind.TOOL} and own is None
    fields["node_name"] = place.node_name if inside else own or place.node_name
    return TraceStep(
        type=STEP_TYPES[kind],
        timestamp=record.start_ns / 10**9,
        duration_ms=0.0 if node else place.own_ns / 10**6,
        error=error,
        reasoning=_reasoning(found.get("output")),
        summary=record.name if kind in {Kind.NODE, Kind.GUARDRAIL, Kind.OTHER} else None,
        **fields,
    )


def _error_of_last(also: Sequence[SpanRecord]) -> str | None:
    """The error of the span that ended last: an earlier attempt may have failed."""
    return error_of(max(also, key=lambda each: each.end_ns)) if also else None


def _end(record: SpanRecord, start: TraceStep, place: Place) -> TraceStep:
    return TraceStep(
        type=StepType.GRAPH_NODE_END,
        timestamp=max(record.end_ns, record.start_ns) / 10**9,
        duration_ms=place.own_ns / 10**6,
        node_name=start.node_name,
        step_number=start.step_number,
        summary=start.summary,
        error=error_of(record),
        extra={KEPT: {"span_id": record.span_id, "end": True}},
    )


def _kept(record: SpanRecord, attributes: Attributes, events: list[SpanEvent]) -> dict[str, Any]:
    """The span without what went into fields, and where that was found."""
    kept = to_plain(record)
    for name in ("trace_id", "resource"):  # the run has them
        kept.pop(name, None)
    for name, value in (("attributes", attributes.left), ("events", events)):
        kept.pop(name, None)
        if value:
            kept[name] = _plain_events(value) if name == "events" else value
    if attributes.found:
        kept["found"] = attributes.found
    if attributes.forms:
        kept["forms"] = attributes.forms
    if attributes.requests:
        kept["requests"] = attributes.requests
    return kept


def _plain_events(events: Any) -> list[dict[str, Any]]:
    return [
        {"name": event.name, "time_ns": event.time_ns, "attributes": event.attributes}
        for event in events
    ]


def _take_details(events: list[SpanEvent], attributes: dict[str, Any]) -> list[SpanEvent]:
    """Treat the attributes of events that only carry some as the span's; return the others."""
    others = []
    for event in events:
        if event.name in DETAIL_EVENTS and attributes.keys().isdisjoint(event.attributes):
            attributes |= {n: v for n, v in event.attributes.items() if n != LOG_MARK}
        else:
            others.append(event)
    return others


def _take_messages(
    events: list[SpanEvent], found: dict[str, Any], kind: Kind
) -> tuple[dict[str, Any], list[SpanEvent]]:
    """What is told as events, unless the span's attributes tell it; the other events."""
    if kind is Kind.TOOL:
        return _take_tool_events(events, found)
    messages: dict[str, Any] = {}
    others = []
    for event in events:
        meaning = MESSAGE_EVENTS.get(event.name)
        if meaning is None or found.get(meaning) is not None or LOG_MARK in event.attributes:
            others.append(event)  # of what came as logs more may come: it is kept as it came
        if meaning is not None and found.get(meaning) is None:
            role = event.name.split(".")[1]
            reported = {
                name: parsed_text(value)
                for name, value in event.attributes.items()
                if name != LOG_MARK
            }
            default = {} if role == "choice" else {"role": role}
            messages.setdefault(meaning, []).append(default | reported)
    return messages, others


def _take_tool_events(
    events: list[SpanEvent], found: dict[str, Any]
) -> tuple[dict[str, Any], list[SpanEvent]]:
    """The arguments and the result of a tool, told as messages to it and from it."""
    reported: dict[str, Any] = {}
    for event in events:
        said = event.attributes
        if event.name == "gen_ai.tool.message" and "tool_args" not in found:
            arguments = parsed_text(said.get("content"))
            reported["tool_args"] = (
                arguments if isinstance(arguments, dict) else {"input": arguments}
            )
        elif event.name == "gen_ai.choice" and "tool_result" not in found:
            result = said.get("message", said.get("content"))
            reported["tool_result"] = result_of(result).text
        if isinstance(said.get("id"), str) and "tool_call_id" not in found and reported:
            reported["tool_call_id"] = said["id"]
    return reported, events


def _refine_tool(found: dict[str, Any], attributes: Attributes, record: SpanRecord) -> None:
    """Take a tool's name, arguments and result out of what they are wrapped in."""
    name = tool_name_of(record)
    if found.get("tool_name") not in (None, name):
        attributes.keep("tool_name")
    found["tool_name"] = name or name_of_tool_span(record.name)
    _refine_arguments(found, attributes)
    _refine_result(found, attributes)
    if "tool_args" not in found:
        shown = {key: record.attributes.get(key) for key in _SHOWN_ARGUMENTS}
        shown = {key: value for key, value in shown.items() if value is not None}
        if shown:
            found["tool_args"] = shown


# What Claude Code says of a tool's input.
_SHOWN_ARGUMENTS = ("full_command", "file_path", "skill_name", "subagent_type")


def _refine_arguments(found: dict[str, Any], attributes: Attributes) -> None:
    args = found.get("tool_args")
    if not isinstance(args, dict):
        return
    asked = arguments_in(args["input"]) if args.keys() == {"input"} else None
    again = parsed_text(_quoted(args["input"])) if args.keys() == {"input"} else None
    if asked is not None or isinstance(again, dict):
        found["tool_args"] = asked if asked is not None else again
    elif args == {"input": ""}:
        del found["tool_args"]
    elif isinstance(args.get("inputs"), dict) and "input_str" in args:
        found["tool_args"] = args["inputs"]  # OpenLLMetry, of LangChain's tools
    elif (
        isinstance(args.get("kwargs"), dict)
        and not args.get("args")
        and args.keys() <= {"args", "kwargs", "sanitize_inputs_outputs"}
    ):
        found["tool_args"] = args["kwargs"]  # a tool whose call is told as `args` and `kwargs`
    else:
        return
    attributes.keep("tool_args")


def _refine_result(found: dict[str, Any], attributes: Attributes) -> None:
    raw = found.get("tool_result")
    if raw is None:
        return
    text = _quoted(raw)
    if text is not None:
        found["tool_result"] = raw = text
        attributes.keep("tool_result")
    answered = response_in(raw)
    is_adk = any(name.startswith("gcp.vertex.agent.") for name in attributes.left)
    result = result_of(raw if answered is None else answered, is_wrapped=is_adk)
    if result.wrapped or answered is not None:
        found["tool_result"] = result.text
        attributes.keep("tool_result")
    error = result.error or error_in(result.text)
    if error is not None:
        found["error"] = error


def _quoted(raw: Any) -> str | None:
    """The text in a JSON text that is nothing else."""
    if not (isinstance(raw, str) and len(raw) > 1 and raw[0] == raw[-1] == '"'):
        return None
    try:
        text = loads_limited(raw)
    except ValueError:
        return None
    return text if isinstance(text, str) else None


def _refine_call(found: dict[str, Any], attributes: Attributes) -> None:
    """Find the model, the tokens and the cost of a call also where they are told in parts."""
    reported = attributes.left
    complete_call(found, attributes)
    if not found.get("model"):
        if found.pop("model", None) is not None:
            attributes.keep("model")
        model = _model_in_parameters(reported) or model_named_in(found.get("input"))
        if model is not None:
            found["model"] = model
    asked = next((reported[n] for n in REQUEST_MODELS if isinstance(reported.get(n), str)), None)
    asked = asked or _model_in_parameters(reported)
    if asked and asked != found.get("model"):
        found["request_model"] = asked
    _complete_usage(found, reported)
    calls = parsed_text(reported.get(TOOL_CALLS))
    if isinstance(calls, list) and calls:
        attributes.keep("output")
        said = {"role": "assistant", "content": found.get("output"), "tool_calls": calls}
        found["output"] = [said]


def _complete_usage(found: dict[str, Any], reported: dict[str, Any]) -> None:
    """Find tokens and costs under other names, and those that are told in parts."""
    for name, value in usage_in(reported).items():
        found.setdefault(name, value)
    if "cost_usd" not in found:
        for names in COST_PARTS:
            parts = [number(reported[name]) for name in names if name in reported]
            if any(part is not None for part in parts):
                found["cost_usd"] = sum(part for part in parts if part is not None)
                break
    if not found.get("cache_write_tokens"):
        _add_cache_writes(found, reported)


def _add_cache_writes(found: dict[str, Any], reported: dict[str, Any]) -> None:
    for name, value in reported.items():
        part = CACHE_WRITE_PARTS.get(name.rpartition(".")[2])
        tokens = count(value) if part is not None else None
        if part is not None and tokens:
            found[part] = tokens
    total = sum(found[part] for part in CACHE_WRITE_PARTS.values() if part in found)
    if total:
        found["cache_write_tokens"] = total


def _model_in_parameters(reported: dict[str, Any]) -> str | None:
    for name in CALL_PARAMETERS:
        given = parsed_text(reported.get(name))
        if (model := model_named_in(given)) is not None:
            return model
        written = _PYTHON_MODEL.search(given) if isinstance(given, str) else None
        if written is not None:
            return written[1]
    return None


# A dictionary as Python shows it, which some instrumentations write.
_PYTHON_MODEL = re.compile(r"'model(?:_name|_id)?': '([^']+)'")


def _finish_reason(output: Any) -> str | None:
    for message in output if isinstance(output, list) else []:
        reason = message.get("finish_reason") if isinstance(message, dict) else None
        if isinstance(reason, str) and reason:
            return reason
    return None


def _put_system_first(found: dict[str, Any], attributes: Attributes) -> None:
    """Put the system's text, which is distinguished from the messages, before them."""
    said = parsed_text(attributes.left.get(SYSTEM_TEXT))
    if not said:
        return
    parts = said if isinstance(said, list) else [{"type": "text", "content": said}]
    system = {"role": "system", "parts": parts}
    messages = found.get("input", [])
    if not isinstance(messages, list):
        messages = [{"role": "user", "content": messages}]
    if not any(isinstance(each, dict) and each.get("role") == "system" for each in messages):
        attributes.keep("input")
        found["input"] = [system, *messages]


def _reasoning(output: Any) -> str | None:
    """The model's thoughts, from wherever its messages have them."""
    return "\n".join(_thoughts(output)) or None


def _thoughts(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _thoughts(item, depth + 1)
    elif isinstance(value, dict):
        if is_one_of(value.get("type"), REASONING_PARTS):
            yield from _texts(value[name] for name in _THOUGHTS if name in value)
        elif value.get("thought") is True:
            yield from _texts([value.get("text")])
        else:
            for name, item in value.items():
                if name not in {"arguments", "input", "tool_calls"}:
                    yield from _thoughts(item, depth + 1)


_DEEPEST = 12
_THOUGHTS = ("content", "thinking", "reasoning", "text", "summary")


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """The texts among values; of a list of parts, theirs."""
    for value in values:
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, list):
            yield from _texts(part.get("text") for part in value if isinstance(part, dict))
