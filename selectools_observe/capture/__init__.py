"""Capture: runs land in a store by themselves, step by step, in the background, without secrets.

`Recorder` records runs of code with no framework. `BackgroundTraceStore` saves in another thread,
`PreparedTraceStore` redacts, truncates and samples; both stand in front of any store.
"""

from .background.queue import BackgroundCounts
from .background.queued_store import FlushResult
from .background.stores import AsyncBackgroundTraceStore, BackgroundTraceStore
from .journal.recovery import arecover, recover
from .processing.processor import Preparation, PreparationCounts
from .processing.stores import AsyncPreparedTraceStore, PreparedTraceStore
from .recorder.recorder import Recorder
from .recorder.run import Run, carry_context, current_run
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
    "AsyncPreparedTraceStore",
    "BackgroundCounts",
    "BackgroundTraceStore",
    "FlushResult",
    "Preparation",
    "PreparationCounts",
    "PreparedTraceStore",
    "Recorder",
    "RecorderCounts",
    "Redactor",
    "Run",
    "arecover",
    "carry_context",
    "common_redactors",
    "current_run",
    "recover",
    "redact_cards",
    "redact_emails",
    "redact_keys",
    "redact_pattern",
    "redact_texts",
    "redact_tokens",
]
