"""Capture of runs: recording, saving in the background, redaction, run journals.

`Recorder` records runs of code with no framework. `BackgroundTraceStore` saves in another thread,
`ProcessingTraceStore` redacts, truncates and samples; both stand in front of any store.
"""

from .background.background_store import AsyncBackgroundTraceStore, BackgroundTraceStore
from .background.queue import BackgroundCounts
from .background.queued_store import FlushResult
from .journal.live_runs import running_runs
from .journal.recovery import arecover, recover
from .processing.processing_store import AsyncProcessingTraceStore, ProcessingTraceStore
from .processing.processor import ProcessingCounts, TraceProcessor
from .recorder.recorder import Recorder
from .recorder.run import Run, current_run, propagate_context
from .redaction import (
    REDACTED,
    SECRET_KEYS,
    Redactor,
    common_redactors,
    redact_cards,
    redact_emails,
    redact_keys,
    redact_pattern,
    redact_texts,
    redact_tokens,
)
from .saver import RecorderCounts

__all__ = [
    "REDACTED",
    "SECRET_KEYS",
    "AsyncBackgroundTraceStore",
    "AsyncProcessingTraceStore",
    "BackgroundCounts",
    "BackgroundTraceStore",
    "FlushResult",
    "ProcessingCounts",
    "ProcessingTraceStore",
    "Recorder",
    "RecorderCounts",
    "Redactor",
    "Run",
    "TraceProcessor",
    "arecover",
    "common_redactors",
    "current_run",
    "propagate_context",
    "recover",
    "redact_cards",
    "redact_emails",
    "redact_keys",
    "redact_pattern",
    "redact_texts",
    "redact_tokens",
    "running_runs",
]
