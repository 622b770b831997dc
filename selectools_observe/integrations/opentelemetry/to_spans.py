"""A run as spans: as it came, if it came as spans; or else one span a step under a root."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from ...analytics.prices import ESTIMATE
from ...backends.files.journal_file import UNFINISHED
from ...model import timestamps
from ...model.codec import decode, encode
from ...model.json_values import json_text
from ...model.saved_trace import as_saved
from ...model.trace import AgentTrace, StepType, TraceStep
from .attributes import write
from .evaluations import with_evaluations
from .from_spans import header_of, run_header, run_of
from .message_forms import in_form, request_of
from .otlp_values import sendable
from .round_trip import Mark, StepMark, difference, marked, without_additions
from .semconv import ALSO_AS, FIELDS, KIND_WRITTEN, Kind
from .span_ids import root_id_of, step_id_of, trace_id_of
from .span_names import name_of_tool_span
from .span_steps import KEPT, STEP_TYPES, kind_of
from .span_tree import grouped
from .spans import SpanLink, SpanRecord, from_plain, has_logs

SCOPE = "selectools_observe"

_SPAN_KIND = "openinference.span.kind"
_AGENT_OPERATIONS = frozenset({"create_agent", "invoke_agent"})
_KINDS = {
    StepType.LLM_CALL: Kind.MODEL,
    StepType.TOOL_EXECUTION: Kind.TOOL,
    StepType.GUARDRAIL: Kind.GUARDRAIL,
}
_MESSAGES = frozenset({"input", "output"})
_LATEST_NS = 2**63 - 1


def spans_of_run(trace: object) -> list[SpanRecord]:
    """The spans of a run, parents first; the same ids each time.

    A run that came as spans gives those spans. `runs_of_spans` makes of them the run as it was.

    Args:
        trace: A trace, or a `SavedTrace`: its annotations become events of the spans.

    Raises:
        InvalidTraceError: It is not a trace, or could not be stored.
    """
    saved = as_saved(trace)
    run = decode(encode(trace if saved is None else saved.trace).trace)
    came = _as_they_came(run)
    moment = None if saved is None else saved.created_at
    if came is None:
        records = _marked(run, _made(run), moment, native=True)
    else:
        records = _marked(run, came, moment)
    if saved is None or not saved.annotations:
        return records
    return with_evaluations(records, span_ids_of(run, records), saved.annotations)


def span_ids_of(run: AgentTrace, records: Iterable[SpanRecord]) -> list[str | None]:
    """The span of each step of a run among its spans; None where there is none."""
    there = {record.span_id for record in records}
    found: list[str | None] = []
    for number, step in enumerate(run.steps):
        kept = (step.extra or {}).get(KEPT)
        came = kept.get("span_id") if isinstance(kept, dict) else None
        ids = (came, step_id_of(run.run_id, number))
        found.append(next((each for each in ids if each in there), None))
    return found


def spans_to_join(run: AgentTrace) -> tuple[list[SpanRecord], Additions]:
    """The spans of a stored run, to be joined by others of its trace; and what else it has."""
    estimates = {}
    for step in run.steps:
        extra = step.extra or {}
        if ESTIMATE in extra and isinstance(extra.get(KEPT), dict):
            estimates[_key(step)] = step.cost_usd, extra[ESTIMATE]
            step.cost_usd = None  # or else the span would report it
    came = _as_they_came(run)
    if came is None:  # recorded otherwise: its marks say how
        return spans_of_run(run), Additions({}, {})
    (group,) = grouped(came)
    derived = run_header(group)
    metadata = {
        name: value
        for name, value in run.metadata.items()
        if name != UNFINISHED and derived.metadata.get(name) != value
    }
    fields, known = header_of(run), header_of(derived)
    others = {
        name: value
        for name, value in fields.items()
        if name not in _DECIDED and known.get(name) != value
    }
    return group.records, Additions(metadata, others, estimates)


class Additions(NamedTuple):
    """What somebody gave a stored run next to what its spans tell.

    Attributes:
        metadata: Entries of its metadata.
        fields: Other fields and entries of ``extra``.
        estimates: Costs that were estimated and where from, by the step's span.
    """

    metadata: dict[str, Any]
    fields: dict[str, Any]
    estimates: Mapping[tuple[str, str], tuple[Any, Any]] = MappingProxyType({})

    def added_to(self, run: AgentTrace) -> AgentTrace:
        """The run with these."""
        if self.fields:
            steps = run.steps
            run = AgentTrace.from_dict(header_of(run) | self.fields)
            run.steps = steps
        run.metadata |= self.metadata
        for step in run.steps if self.estimates else ():
            cost, estimate = self.estimates.get(_key(step), (None, None))
            if cost is not None and step.cost_usd is None:
                step.cost_usd, step.extra = cost, {**(step.extra or {}), ESTIMATE: estimate}
        return run


_DECIDED = frozenset({"run_id", "parent_run_id", "start_time", "end_time", "metadata", KEPT})


def as_many(traces: object) -> Iterable[object]:
    """The traces of an iterable, or the one that was given: that is iterable too, over steps."""
    is_one = hasattr(traces, "steps") or as_saved(traces) is not None
    return traces if isinstance(traces, Iterable) and not is_one else [traces]


def _as_they_came(run: AgentTrace) -> list[SpanRecord] | None:
    """The spans that a run was made of; None if it was made otherwise."""
    kept = (run.extra or {}).get(KEPT)
    if not isinstance(kept, dict) or "trace_id" not in kept:
        return None
    common = {"trace_id": kept["trace_id"]}
    try:
        records = [from_plain(root | common) for root in [kept.get("root")] if root]
        records += [from_plain(span | common) for span in kept.get("spans", ())]
        keys = [_key(step) for step in run.steps]
        records += [
            _with_fields(step, from_plain(step.extra[KEPT] | common))
            for step, (_, part) in zip(run.steps, keys, strict=True)
            if step.extra is not None and part == "start"
        ]
        resource = msgspec.convert(kept.get("resource", {}), dict[str, Any])
    except (KeyError, TypeError, msgspec.ValidationError):
        return None  # somebody has changed it since
    for record in records:
        record.resource = resource  # one of many spans
    ids = {record.span_id for record in records}
    whole = len(ids) == len(records) and all(span_id in ids for span_id, _ in keys)
    return records if records and whole and len(grouped(records)) == 1 else None


def _with_fields(step: TraceStep, record: SpanRecord) -> SpanRecord:
    """The span with those attributes that went into fields of the step."""
    kept = (step.extra or {})[KEPT]
    forms = kept.get("forms", {})
    said = step.to_dict()
    for meaning, name in kept.get("found", {}).items():
        if meaning in said:
            record.attributes |= write(name, in_form(forms.get(meaning), said[meaning]))
    for name, told in kept.get("requests", {}).items():
        request = request_of(told, said.get("input"))
        if request is not None:
            record.attributes[name] = request
    # What was told by events, or is known only since; but no name that the reader made up.
    for meaning, names in FIELDS[kind_of(record)].items():
        made_up = meaning == "tool_name" and said.get(meaning) == name_of_tool_span(record.name)
        if meaning in _MESSAGES and has_logs(record):
            continue  # its events say it
        if meaning in said and not made_up and record.attributes.keys().isdisjoint(names):
            record.attributes |= write(names[0], said[meaning])
    return record


def _made(run: AgentTrace) -> list[SpanRecord]:
    trace_id, root_id = trace_id_of(run.run_id), root_id_of(run.run_id)
    records = [
        _span_of(step, trace_id, root_id, step_id_of(run.run_id, number))
        for number, step in enumerate(run.steps)
    ]
    start = _ns(run.start_time) or min([record.start_ns for record in records], default=0)
    failed = any(step.type == StepType.ERROR for step in run.steps)
    links = []
    if isinstance(run.parent_run_id, str):
        links = [SpanLink(trace_id_of(run.parent_run_id), root_id_of(run.parent_run_id))]
    root = SpanRecord(
        trace_id=trace_id,
        span_id=root_id,
        name=str(run.metadata.get("gen_ai.agent.name") or "run"),
        start_ns=start,
        end_ns=max([start, _ns(run.end_time or 0), *(record.end_ns for record in records)]),
        status="error" if failed else "unset",
        attributes={
            _SPAN_KIND: "AGENT",
            "gen_ai.operation.name": "invoke_agent",
            "metadata": json_text(run.metadata),
        },
        links=links,
        scope=SCOPE,
    )
    return [root, *records]


def _span_of(step: TraceStep, trace_id: str, root_id: str, span_id: str) -> SpanRecord:
    kind = _KINDS.get(step.type, Kind.NODE)
    said = step.to_dict()
    attributes: dict[str, Any] = dict(KIND_WRITTEN[kind])
    for meaning, names in FIELDS[kind].items():
        if meaning in said:
            attributes |= write(names[0], said[meaning])
    # What is shown of a call and has no attribute of its own.
    shown = {Kind.MODEL: ("output.value", "reasoning"), Kind.NODE: ("input.value", "tool_args")}
    name, field = shown.get(kind, ("", ""))
    if field in said and name.partition(".")[0] not in said:
        attributes |= write(name, said[field])
    if step.node_name is not None:
        attributes["graph.node.id"] = str(step.node_name)
    start = _ns(step.timestamp)
    failed = step.error is not None
    return SpanRecord(
        trace_id=trace_id,
        span_id=span_id,
        name=_name(step, kind),
        start_ns=start,
        end_ns=min(start + _ns(step.duration_ms, 10**6), _LATEST_NS),
        parent_span_id=root_id,
        kind="client" if kind is Kind.MODEL else "internal",
        status="error" if failed else "unset",
        status_message=str(step.error) if failed else "",
        attributes=attributes,
        scope=SCOPE,
    )


def _name(step: TraceStep, kind: Kind) -> str:
    if kind is Kind.MODEL:
        return f"chat {step.model or ''}".rstrip()
    if kind is Kind.TOOL:
        return f"execute_tool {step.tool_name or ''}".rstrip()
    return f"{step.type.value} {step.tool_name or step.node_name or ''}".rstrip()


def _ns(time: object, unit: int = 10**9) -> int:
    """Nanoseconds, exact; 0 for what is not a time that OTLP can say."""
    if isinstance(time, float) and not math.isfinite(time):
        return 0
    if not isinstance(time, int | float):
        return 0
    above, below = time.as_integer_ratio()
    nanoseconds = (2 * above * unit + below) // (2 * below)
    return nanoseconds if 0 <= nanoseconds <= _LATEST_NS else 0


def _marked(
    run: AgentTrace,
    records: list[SpanRecord],
    created_at: datetime | None,
    *,
    native: bool = False,
) -> list[SpanRecord]:
    """The spans with what a reader of them alone would get wrong."""
    (group,) = grouped(map(sendable, records))
    others = any(step.type == STEP_TYPES[Kind.OTHER] for step in run.steps)
    reported = run_of(group, other_spans="steps" if others else "beside")
    found = {_key(step): step.to_dict() for step in reported.steps}
    steps: dict[str, list[StepMark]] = defaultdict(list)
    for index, step in enumerate(run.steps):
        span_id, part = (records[index + 1].span_id, "start") if native else _key(step)
        seen, said = found.get((span_id, part), {}), step.to_dict()
        keep = [name for name in (*(step.extra or ()), *_messages_in(step)) if name in seen]
        keep = keep if native else []
        fix = difference(without_additions(seen, keep) if native else seen, said)
        mark = StepMark(fix.set, fix.unset, index, part == "end", keep, part == "usage")
        steps[span_id].append(mark)
    fix = difference(header_of(reported), header_of(run))
    marks = [Mark([], steps[record.span_id], native) for record in group.records]
    marks[0].run = fix
    marks[0].created_at = None if created_at is None else timestamps.to_text(created_at)
    return list(map(_with_mark, group.records, marks))


def _key(step: TraceStep) -> tuple[str, str]:
    """Which span tells of the step, and by which part of it.

    Raises:
        KeyError: None does.
    """
    kept = (step.extra or {})[KEPT]
    part = next((name for name in ("end", "usage") if kept.get(name)), "start")
    return kept["span_id"], part


def _with_mark(record: SpanRecord, mark: Mark) -> SpanRecord:
    added = _repeated(record)
    whole = msgspec.structs.replace(record, attributes=record.attributes | added)
    return marked(whole, msgspec.structs.replace(mark, added=[*added]))


def _repeated(record: SpanRecord) -> dict[str, Any]:
    """Attributes for readers of OpenInference alone, those that the span does not have."""
    kind = kind_of(record)
    said: dict[str, Any] = {}
    if kind is not Kind.OTHER:
        agent = record.attributes.get("gen_ai.operation.name") in _AGENT_OPERATIONS
        said[_SPAN_KIND] = "AGENT" if agent else KIND_WRITTEN[kind][_SPAN_KIND]
    for meaning, others in ALSO_AS[kind].items():
        names = FIELDS[kind].get(meaning, ())
        value = next((record.attributes[n] for n in names if n in record.attributes), None)
        if value is not None:
            said |= dict.fromkeys(others, value)
    return {name: value for name, value in said.items() if name not in record.attributes}


def _messages_in(step: TraceStep) -> list[str]:
    """Which of the fields for messages a step has."""
    return [name for name in ("input", "output") if getattr(step, name) is not None]
