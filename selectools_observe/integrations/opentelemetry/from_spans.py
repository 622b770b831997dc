"""Spans as runs: what an exporter, a receiver and a reader of request bodies have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from ...model.trace import AgentTrace, StepType, TraceStep
from .attributes import parsed_text
from .round_trip import Fix, Mark, unmarked, without_additions
from .semconv import FIELDS, RESOURCE_METADATA, RUN_METADATA, Kind
from .span_steps import KEPT, Place, error_of, kind_of, steps_of
from .span_tree import Group, grouped, places
from .spans import SpanRecord, to_plain

OtherSpans: TypeAlias = Literal["beside", "steps", "drop"]
"""What becomes of spans that are not of the GenAI conventions (an HTTP call) inside a run:
``beside``: kept in the run's ``extra["otel"]["spans"]``, as their time is inside a step's already;
``steps``: steps of the type ``span``; ``drop``: left out."""

OTHER_SPANS: tuple[OtherSpans, ...] = ("beside", "steps", "drop")


class _Placed(NamedTuple):
    """A step, its place in time, and the place that a mark gives it."""

    ns: int
    end: int
    depth: int
    mark: int | None
    step: TraceStep


def runs_of_spans(
    records: Iterable[SpanRecord], *, other_spans: OtherSpans = "beside"
) -> list[AgentTrace]:
    """The runs that these spans tell of, in any order; traces without a GenAI span are none.

    A run whose root is not among them has ``unfinished`` in its metadata.
    """
    groups = [group for group in grouped(records) if is_run(group)]
    return [run_of(group, other_spans=other_spans) for group in groups]


def is_run(group: Group) -> bool:
    """Whether some span is of the GenAI conventions."""
    return any(kind_of(record) is not Kind.OTHER for record in group.records)


def run_of(group: Group, *, other_spans: OtherSpans = "beside") -> AgentTrace:
    """The run that these spans are."""
    marks = {}
    records = []
    for marked in group.records:
        record, mark = unmarked(marked)
        records.append(record)
        if mark is not None:
            marks[record.span_id] = mark
    root = records[0] if group.root is not None else None
    clean = Group(group.trace_id, records, root)
    steps, beside = _steps(clean, other_spans, marks)
    run = AgentTrace(
        steps=steps,
        start_time=min(record.start_ns for record in records) / 10**9,
        run_id=clean.run_id,
        parent_run_id=clean.parent_run_id,
        metadata=_metadata(clean),
        extra={KEPT: _kept(clean, beside)},
    )
    fix = next((mark.run for mark in marks.values() if mark.run is not None), None)
    return run if fix is None else _fixed_run(run, fix)


def header_of(run: AgentTrace) -> dict[str, Any]:
    """What is said of a run beside its steps."""
    derived = {"steps", "total_duration_ms", "step_count"}
    whole = msgspec.structs.replace(run, steps=[]).to_dict()
    return {name: value for name, value in whole.items() if name not in derived}


def _fixed_run(run: AgentTrace, fix: Fix) -> AgentTrace:
    fixed = AgentTrace.from_dict(fix.applied(header_of(run)))
    fixed.steps = run.steps
    return fixed


def _kept(group: Group, beside: list[dict[str, Any]]) -> dict[str, Any]:
    first = group.records[0]
    kept: dict[str, Any] = {"trace_id": group.trace_id}
    if first.resource:
        kept["resource"] = first.resource
    if group.root is not None and is_the_run(group.root):
        kept["root"] = without_run(group.root)
    if beside:
        kept["spans"] = beside
    return kept


def is_the_run(root: SpanRecord) -> bool:
    """Whether a root is the run itself and no step of it, as a lone model call is."""
    return kind_of(root) in {Kind.NODE, Kind.OTHER}


def _steps(
    group: Group, other_spans: OtherSpans, marks: dict[str, Mark]
) -> tuple[list[TraceStep], list[dict[str, Any]]]:
    """The steps by their time, and the spans that are kept beside them."""
    where = places(group)
    told = _calls_told_by_their_caller(group)
    placed: list[_Placed] = []
    beside = []
    for depth, record in enumerate(group.records):
        mark = marks.get(record.span_id)
        other = kind_of(record) is Kind.OTHER and record is not group.root
        if mark is not None:
            apart = not mark.steps and record is not group.root
        else:
            apart = record.span_id in told or (other and other_spans == "beside")
        if apart:
            beside.append(without_run(record))
        elif mark is not None or not other or other_spans == "steps":
            steps = _steps_of(record, where[record.span_id], group.root)
            placed += _placed(record, depth, steps, mark)
    if all(each.mark is not None for each in placed):
        placed.sort(key=lambda each: each.mark or 0)
    else:
        placed.sort(key=lambda each: each[:3])
    return [each.step for each in placed], beside


def _steps_of(record: SpanRecord, place: Place, root: SpanRecord | None) -> dict[bool, TraceStep]:
    """The steps of a span: of its start (False) and of its end (True)."""
    if record is not root or not is_the_run(record):
        return dict(zip((False, True), steps_of(record, place), strict=False))
    # The run itself; what went wrong with it is a step, or nothing would show it.
    return {} if error_of(record) is None else {True: _failure(record)}


def _placed(
    record: SpanRecord, depth: int, steps: dict[bool, TraceStep], mark: Mark | None
) -> list[_Placed]:
    if mark is None:
        return [
            _Placed(
                record.end_ns if end else record.start_ns, end, -depth if end else depth, None, s
            )
            for end, s in steps.items()
        ]
    found = []
    for fix in mark.steps:
        told = steps[fix.end].to_dict() if fix.end in steps else {}
        if mark.native:
            told = without_additions(told, fix.keep)
        step = TraceStep.from_dict(fix.applied(told))
        ns = record.end_ns if fix.end else record.start_ns
        found.append(_Placed(ns, fix.end, depth, fix.index, step))
    return found


def _calls_told_by_their_caller(group: Group) -> set[str]:
    """Model calls inside a model call that tells their tokens: counted once, not twice."""
    names = FIELDS[Kind.MODEL]["prompt_tokens"]
    telling: dict[str | None, bool] = {}
    told = set()
    for record in group.records:
        inside = telling.get(record.parent_span_id, False)
        kind = kind_of(record)
        if kind is Kind.MODEL and inside:
            told.add(record.span_id)
        tells = kind is Kind.MODEL and not record.attributes.keys().isdisjoint(names)
        telling[record.span_id] = tells or (inside and kind in {Kind.MODEL, Kind.OTHER})
    return told


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


def _metadata(group: Group) -> dict[str, Any]:
    """What a run is found by: OpenTelemetry's own names, and what the caller gave."""
    first = group.records[0]
    metadata = {name: first.resource[name] for name in RESOURCE_METADATA if name in first.resource}
    for key, names in RUN_METADATA.items():
        told = (
            record.attributes[name]
            for record in group.records
            for name in names
            if record.attributes.get(name)
        )
        value = next(told, None)
        if value is not None:
            metadata[key] = value
    metadata["otel.trace_id"] = group.trace_id
    metadata["otel.scope.name"] = next(
        record.scope for record in group.records if kind_of(record) is not Kind.OTHER
    )
    given = parsed_text(first.attributes.get("metadata"))
    metadata |= given if isinstance(given, dict) else {}
    if first.attributes.get("tag.tags"):
        metadata["tags"] = first.attributes["tag.tags"]
    if group.root is None:
        metadata["unfinished"] = True
    return metadata
