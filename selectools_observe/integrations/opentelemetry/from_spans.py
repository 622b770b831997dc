"""Spans as runs: what an exporter, a receiver and a reader of request bodies have in common."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from ...model import timestamps
from ...model.annotations import Annotation
from ...model.trace import AgentTrace, StepType, TraceStep
from .attributes import Attributes
from .evaluations import Rejected, evaluations_of, only_evaluates, without_evaluations
from .message_memory import Conversation
from .outline import Outline
from .round_trip import Fix, Mark, unmarked, without_additions
from .semconv import FIELDS, IDENTITY, IDENTITY_NAMES, RESOURCE_METADATA, Kind
from .span_names import agent_of, metadata_of
from .span_steps import KEPT, error_of, is_cancelled, kind_of, steps_of, usage_of_node
from .span_tree import Group, begins_a_run, grouped
from .spans import SpanRecord, to_plain

log = logging.getLogger(__name__)

OtherSpans: TypeAlias = Literal["beside", "steps", "drop"]
"""What becomes of spans that are not of the GenAI conventions (an HTTP call) inside a run:
``beside``: kept in the run's ``extra["otel"]["spans"]``, as their time is inside a step's already;
``steps``: steps of the type ``span``; ``drop``: left out."""

OTHER_SPANS: tuple[OtherSpans, ...] = ("beside", "steps", "drop")


_PARTS = ("start", "usage", "end")
"""The parts of a span that steps tell, in the order of their time."""


class _Placed(NamedTuple):
    """A step, its place in time, and the place that a mark gives it."""

    ns: int
    end: bool
    depth: int
    part: int
    mark: int | None
    step: TraceStep


def runs_of_spans(
    records: Iterable[SpanRecord], *, other_spans: OtherSpans = "beside"
) -> list[AgentTrace]:
    """The runs that these spans tell of, in any order; traces without a GenAI span are none.

    A run whose root is not among them has ``unfinished`` in its metadata.
    """
    return [saved.trace for saved in saved_runs_of_spans(records, log.warning, other_spans)]


class RunOfSpans(NamedTuple):
    """A run that spans tell of, and what they say besides.

    Attributes:
        trace: The run.
        created_at: When a store had saved it, if one of ours sent it.
        annotations: Its annotations.
    """

    trace: AgentTrace
    created_at: datetime | None
    annotations: list[Annotation]


def saved_runs_of_spans(
    records: Iterable[SpanRecord], rejected: Rejected, other_spans: OtherSpans = "beside"
) -> Iterator[RunOfSpans]:
    """`runs_of_spans`, with the annotations of the runs.

    Args:
        records: The spans.
        rejected: Called with why an evaluation cannot be read.
        other_spans: See `OtherSpans`.
    """
    for group in grouped(records):
        if is_run(group):
            run = run_of(group, other_spans=other_spans)
            yield RunOfSpans(
                run, created_at_reported(group), evaluations_of(group.records, run, rejected)
            )


def is_run(group: Group) -> bool:
    """Whether some span is of the GenAI conventions."""
    return has_genai(group.records)


def has_genai(records: Iterable[SpanRecord]) -> bool:
    """Whether one of these spans is of the GenAI conventions."""
    return any(
        not only_evaluates(record) if record.partial else kind_of(record) is not Kind.OTHER
        for record in records
    )


def run_of(
    group: Group, *, other_spans: OtherSpans = "beside", is_given_away: bool = False
) -> AgentTrace:
    """The run that these spans are.

    Args:
        group: The spans.
        other_spans: See `OtherSpans`.
        is_given_away: Nobody needs the group any more. It is emptied: the steps of a span take as
            much memory as it did.
    """
    marks = {}
    records = []
    for marked in filter(None, map(without_evaluations, group.records)):
        record, mark = unmarked(marked)
        records.append(record)
        if mark is not None:
            marks[record.span_id] = mark
    root = records[0] if group.root is not None else None
    if is_given_away:
        group.records.clear()
    clean = Group(group.trace_id, records, root)
    outline = Outline(
        clean,
        other_spans=other_spans == "steps",
        marked=[span_id for span_id, mark in marks.items() if mark.steps],
        bare=[span_id for span_id, mark in marks.items() if not mark.steps],
    )
    run = run_header(clean, outline.kinds)
    run.extra = {KEPT: _kept(clean, outline)}
    run.steps, beside = _steps(clean, outline, other_spans, marks)
    if beside:
        run.extra[KEPT]["spans"] = beside
    fix = next((mark.run for mark in marks.values() if mark.run is not None), None)
    return run if fix is None else _fixed_run(run, fix)


def header_of(run: AgentTrace) -> dict[str, Any]:
    """What is said of a run next to its steps."""
    derived = {"steps", "total_duration_ms", "step_count"}
    whole = msgspec.structs.replace(run, steps=[]).to_dict()
    return {name: value for name, value in whole.items() if name not in derived}


def run_id_reported(group: Group) -> str | None:
    """The run's own id, of a run that was sent as spans."""
    mark = _mark_of_run(group)
    return str(mark.run.set["run_id"]) if mark and mark.run and "run_id" in mark.run.set else None


def created_at_reported(group: Group) -> datetime | None:
    """When the store that sent the run had saved it."""
    mark = _mark_of_run(group)
    if mark is None or mark.created_at is None:
        return None
    try:
        return timestamps.from_text(mark.created_at)
    except ValueError:
        return None


def _mark_of_run(group: Group) -> Mark | None:
    marks = (unmarked(record)[1] for record in group.records)
    return next((mark for mark in marks if mark is not None and mark.run is not None), None)


def run_header(group: Group, kinds: Mapping[str, Kind] | None = None) -> AgentTrace:
    """The run that these spans are, without its steps; ``kinds`` of spans if they are known."""
    kinds = kinds or {record.span_id: kind_of(record) for record in group.records}
    metadata = _metadata(group, kinds)
    run = AgentTrace(
        start_time=min(map(_began_ns, group.records)) / 10**9,
        run_id=group.run_id,
        parent_run_id=group.parent_run_id,
        metadata=metadata,
        agent=_text(metadata.get("gen_ai.agent.name")),
        session_id=_text(metadata.get("gen_ai.conversation.id")),
        user_id=_text(metadata.get("user.id")),
        end_time=max(record.end_ns for record in group.records) / 10**9 or None,
    )
    root = group.root
    if metadata.get("unfinished") and _has_failed(group, kinds):
        run.outcome = "error"
    elif root is not None and is_cancelled(root):
        run.outcome = "cancelled"
    if root is not None and kinds[root.span_id] in {Kind.NODE, Kind.OTHER}:
        named = (root.attributes.get(name) for name in _RUN_NAMES)
        run.name = next(
            (name for name in named if isinstance(name, str) and name), root.name or None
        )
        attributes = Attributes(root.attributes)
        for field in ("input", "output"):
            setattr(run, field, attributes.take(field, FIELDS[Kind.NODE][field]))
    return run


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _began_ns(record: SpanRecord) -> int:
    if record.partial:
        return min((event.time_ns for event in record.events), default=0)
    return record.start_ns


def _fixed_run(run: AgentTrace, fix: Fix) -> AgentTrace:
    if not fix.set and not fix.unset:
        return run
    fixed = AgentTrace.from_dict(fix.applied(header_of(run)))
    fixed.steps = run.steps
    return fixed


def _kept(group: Group, outline: Outline) -> dict[str, Any]:
    first = group.records[0]
    kept: dict[str, Any] = {"trace_id": group.trace_id}
    if first.resource:
        kept["resource"] = first.resource
    if group.root is not None and outline.is_the_run(group.root):
        kept["root"] = without_run(group.root)
    return kept


def _steps(
    group: Group, outline: Outline, other_spans: OtherSpans, marks: dict[str, Mark]
) -> tuple[list[TraceStep], list[dict[str, Any]]]:
    """The steps by their time, and the spans that are kept next to them; the group is emptied."""
    placed: list[_Placed] = []
    beside = []
    conversation = Conversation()
    group.records.reverse()
    for depth in range(len(group.records)):
        record = group.records.pop()  # the outline has no other
        mark = marks.get(record.span_id)
        if record is group.root or record.span_id in outline.steps:
            steps = _steps_of(record, outline, group.root, conversation)
            placed += _placed(record, depth, steps, mark)
        elif (
            mark is not None
            or record.partial
            or other_spans != "drop"
            or not _is_other(record, outline)
        ):
            beside.append(without_run(record))
    if all(each.mark is not None for each in placed):
        placed.sort(key=lambda each: each.mark or 0)
    else:
        placed.sort(key=lambda each: each[:4])
    return [each.step for each in placed], beside


def _is_other(record: SpanRecord, outline: Outline) -> bool:
    return outline.kinds[record.span_id] is Kind.OTHER


def _steps_of(
    record: SpanRecord, outline: Outline, root: SpanRecord | None, conversation: Conversation
) -> dict[str, TraceStep]:
    """The steps of a span, by the part of it that they tell."""
    place = outline.places[record.span_id]
    if record is not root or not outline.is_the_run(record):
        return steps_of(record, outline.kinds[record.span_id], place, conversation)
    # The run itself; what went wrong with it is a step, or nothing would show it.
    failed = {"end": _failure(record)} if error_of(record) is not None else {}
    return usage_of_node(record, place, conversation) | failed


def _placed(
    record: SpanRecord, depth: int, steps: dict[str, TraceStep], mark: Mark | None
) -> list[_Placed]:
    if mark is None:
        return [_place(record, depth, part, None, step) for part, step in steps.items()]
    found = []
    for fix in mark.steps:
        reported = steps[fix.part].to_dict() if fix.part in steps else {}
        if mark.native:
            reported = without_additions(reported, fix.keep)
        step = TraceStep.from_dict(fix.applied(reported))
        found.append(_place(record, depth, fix.part, fix.index, step))
    return found


def _place(record: SpanRecord, depth: int, part: str, mark: int | None, step: TraceStep) -> _Placed:
    end = part == "end"
    ns = record.end_ns if end else record.start_ns
    return _Placed(ns, end, -depth if end else depth, _PARTS.index(part), mark, step)


def _failure(root: SpanRecord) -> TraceStep:
    return TraceStep(
        type=StepType.ERROR,
        timestamp=root.end_ns / 10**9,
        error=error_of(root),
        summary=root.name or None,
        extra={KEPT: {"span_id": root.span_id, "end": True}},
    )


def without_run(record: SpanRecord) -> dict[str, Any]:
    """The span as it is kept in a run, which has the rest."""
    plain = to_plain(record)
    return {name: plain[name] for name in plain if name not in {"trace_id", "resource"}}


def _metadata(group: Group, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """What a run is found by: OpenTelemetry's own names, and what the caller gave."""
    first = group.records[0]
    metadata = {name: first.resource[name] for name in RESOURCE_METADATA if name in first.resource}
    given = metadata_of(first)
    metadata |= _identity(group.records)
    metadata["otel.trace_id"] = group.trace_id
    metadata["otel.scope.name"] = next(
        (record.scope for record in group.records if kinds[record.span_id] is not Kind.OTHER),
        first.scope,
    )
    metadata |= given
    tags = next((first.attributes[n] for n in _TAGS if first.attributes.get(n)), None)
    if tags:
        metadata["tags"] = tags
    if group.root is None and not all(map(_is_whole, _tops(group))):
        metadata["unfinished"] = True
    return metadata


def _has_failed(group: Group, kinds: Mapping[str, Kind]) -> bool:
    """Whether the last that is known of a run without its root is a failure that ends it.

    A root may never end: that of a generator which raised, say. A tool that failed is handed back
    to the model and ends nothing.
    """
    last = max(_tops(group), key=lambda record: record.end_ns)
    return kinds[last.span_id] in {Kind.NODE, Kind.MODEL} and error_of(last) is not None


def _tops(group: Group) -> list[SpanRecord]:
    here = {record.span_id for record in group.records}
    return [record for record in group.records if record.parent_span_id not in here]


def _is_whole(top: SpanRecord) -> bool:
    """Whether nothing is to come here: it is another process's side of a call."""
    return top.remote_parent and not begins_a_run(top)


def _identity(records: list[SpanRecord]) -> dict[str, Any]:
    """The agent, the session and the user, by OpenTelemetry's names."""
    found: dict[str, Any] = {}
    left = dict(IDENTITY)
    for record in records:
        has_given = "metadata" in record.attributes
        if not has_given and IDENTITY_NAMES.isdisjoint(record.attributes):
            continue
        given = metadata_of(record) if left and has_given else {}
        for place in (record.attributes, given):
            if not IDENTITY_NAMES.isdisjoint(place):
                for key, names in left.items():
                    if key not in found:
                        value = _first_set(place, names)
                        if value is not None:
                            found[key] = value
        left = {key: names for key, names in left.items() if key not in found}
    agent = next((name for name in map(agent_of, records) if name), None) if left else None
    return found | ({_AGENT: agent} if agent and _AGENT in left else {})


def _first_set(place: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The first of these entries that is set."""
    return next((place[name] for name in names if name in place and _is_set(place[name])), None)


def _is_set(value: object) -> bool:
    """Whether it is a name: 0 may be one."""
    return value not in (None, "") and not isinstance(value, bool)


_AGENT = "gen_ai.agent.name"
_TAGS = ("tag.tags", "langfuse.trace.tags")
_RUN_NAMES = ("langfuse.trace.name", "ai.telemetry.functionId")
