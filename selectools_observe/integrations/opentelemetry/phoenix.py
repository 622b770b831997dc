"""Annotations as Arize Phoenix takes them: of traces and of spans, for its REST API.

https://arize.com/docs/phoenix/sdk-api-reference/rest-api/api-reference/traces/create-trace-annotations
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ...model.annotations import Annotation
from ...model.trace import AgentTrace
from .to_spans import span_ids_of, spans_of_run

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
        ids = span_ids_of(trace, records)
        for one in said:
            span_id = None if one.step is None else next(iter(ids[one.step : one.step + 1]), None)
            place = {"trace_id": records[0].trace_id} if one.step is None else {"span_id": span_id}
            if span_id is not None or one.step is None:
                path = OF_TRACES if one.step is None else OF_SPANS
                bodies.setdefault(path, {"data": []})["data"].append(_entry(one) | place)
    return bodies


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
