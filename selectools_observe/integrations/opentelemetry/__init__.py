"""OpenTelemetry spans as runs, and runs as OpenTelemetry spans.

One OpenTelemetry trace is one run, and its trace id is the run id. A part of a trace that another
process began (its topmost span has a remote parent) is a run of its own, with the id
``<trace id>-<span id>`` and the trace id as ``parent_run_id``: two processes that write to one
store never overwrite each other's part. A trace without a span of the GenAI conventions, or of
OpenInference, is not a run and is left out.

`TraceStoreSpanExporter` goes into the SDK's span processors, `runs_of_otlp` and `OtlpReceiver` take
the bodies of OTLP/HTTP requests, `export_otlp` sends runs to any OTLP/HTTP endpoint. All need the
extra ``otel``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .from_spans import OtherSpans, runs_of_spans
    from .otlp import otlp_of_runs, read_otlp, runs_of_otlp
    from .otlp_exporter import OtlpExportError, aexport_otlp, export_otlp
    from .otlp_receiver import OtlpReceiver
    from .phoenix import phoenix_annotations
    from .span_exporter import TraceStoreSpanExporter

__all__ = [
    "OtherSpans",
    "OtlpExportError",
    "OtlpReceiver",
    "TraceStoreSpanExporter",
    "aexport_otlp",
    "export_otlp",
    "otlp_of_runs",
    "phoenix_annotations",
    "read_otlp",
    "runs_of_otlp",
    "runs_of_spans",
]

# Not imported before they are used: who receives OTLP needs no SDK, who records needs no HTTP.
_MODULES = {
    "OtherSpans": "from_spans",
    "OtlpExportError": "otlp_exporter",
    "OtlpReceiver": "otlp_receiver",
    "TraceStoreSpanExporter": "span_exporter",
    "aexport_otlp": "otlp_exporter",
    "export_otlp": "otlp_exporter",
    "otlp_of_runs": "otlp",
    "phoenix_annotations": "phoenix",
    "read_otlp": "otlp",
    "runs_of_otlp": "otlp",
    "runs_of_spans": "from_spans",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
