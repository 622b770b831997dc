"""Annotations as Arize Phoenix takes them: of traces and of spans, for its REST API.

https://arize.com/docs/phoenix/sdk-api-reference/rest-api/api-reference/traces/create-trace-annotations
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ...model.annotations import Annotation
from ...model.trace import AgentTrace
from .span_steps import KEPT
from .spans import SpanRecord
from .to_spans import spans_of_run

Bodies: TypeAlias = dict[str, dict[str, list[dict[str, Any]]]]

OF_TRACES = "/v1/trace_annotations"
OF_SPANS = "/v1/span_annotations"


def phoenix_annotations(
    traces: Iterable[AgentTrace], annotations: Mapping[str, Iterable[Annotation]]
) -> Bodies:
    """The bodies to be posted to Phoenix, by path, once it has the runs' spans (`export_otlp`).

    Posted again, an annotation replaces itself: its id is Phoenix's ``identifier``.

    Args:
        traces: The runs.
        annotations: What was said of each, by run id, as `annotations_of` gives it.

    Raises:
        InvalidTraceError: One is not a trace, or could not be stored.
    """
    bodies: Bodies = {}
    for trace in traces:
        said = list(annotations.get(trace.run_id, ()))
        records = spans_of_run(trace) if said else []
        for one in said:
            span_id = _span_of(trace, records, one.step)
            place = {"trace_id": records[0].trace_id} if one.step is None else {"span_id": span_id}
            if span_id is not None or one.step is None:
                path = OF_TRACES if one.step is None else OF_SPANS
                bodies.setdefault(path, {"data": []})["data"].append(_entry(one) | place)
    return bodies


def _span_of(trace: AgentTrace, records: list[SpanRecord], step: int | None) -> str | None:
    """The span of a step; None if the run has no such step any more."""
    if step is None or step >= len(trace.steps):
        return None
    kept = (trace.steps[step].extra or {}).get(KEPT)
    if isinstance(kept, dict) and any(kept.get("span_id") == one.span_id for one in records):
        return str(kept["span_id"])
    return records[step + 1].span_id if len(records) == len(trace.steps) + 1 else None


def _entry(annotation: Annotation) -> dict[str, Any]:
    result = {
        "label": annotation.label,
        "score": annotation.score,
        "explanation": annotation.note,
    }
    metadata = {"author": annotation.author} if annotation.author else {}
    return {
        "name": annotation.name,
        "annotator_kind": annotation.source.upper(),
        "result": {name: value for name, value in result.items() if value is not None},
        "metadata": metadata,
        "identifier": annotation.id,
    }
