"""OpenTelemetry spans as runs, and runs as OpenTelemetry spans.

One OpenTelemetry trace is one run, and its trace id is the run id. A part of a trace that another
process began (its topmost span has a remote parent) is a run of its own, with the id
``<trace id>-<span id>`` and the trace id as ``parent_run_id``: two processes that write to one
store never overwrite each other's part. A trace without a span of the GenAI conventions, or of
OpenInference, is no run and is left out.

`TraceStoreSpanExporter` goes into the SDK's span processors, `runs_of_otlp` and `OtlpReceiver` take
the bodies of OTLP/HTTP requests, `export_otlp` sends runs to any OTLP/HTTP endpoint. All need the
extra ``otel``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exporter import TraceStoreSpanExporter
    from .otlp import otlp_of_runs, read_otlp, runs_of_otlp
    from .receiver import OtlpReceiver
    from .runs import OtherSpans, runs_of_spans
    from .sending import OtlpExportError, aexport_otlp, export_otlp

__all__ = [
    "OtherSpans",
    "OtlpExportError",
    "OtlpReceiver",
    "TraceStoreSpanExporter",
    "aexport_otlp",
    "export_otlp",
    "otlp_of_runs",
    "read_otlp",
    "runs_of_otlp",
    "runs_of_spans",
]

# Not imported before they are used: who receives OTLP needs no SDK, who records needs no HTTP.
_ROOMS = {
    "OtherSpans": "runs",
    "OtlpExportError": "sending",
    "OtlpReceiver": "receiver",
    "TraceStoreSpanExporter": "exporter",
    "aexport_otlp": "sending",
    "export_otlp": "sending",
    "otlp_of_runs": "otlp",
    "read_otlp": "otlp",
    "runs_of_otlp": "otlp",
    "runs_of_spans": "runs",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_ROOMS[name]}", __name__), name)
