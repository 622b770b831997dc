"""Capture: runs land in a store by themselves, step by step, in the background, without secrets.

`Recorder` records runs of code with no framework. `BackgroundTraceStore` saves in another thread,
`PreparedTraceStore` redacts, truncates and samples; both stand in front of any store.
"""

from .background import AsyncBackgroundTraceStore, BackgroundTraceStore
from .backgroundcore import FlushResult
from .prepared import AsyncPreparedTraceStore, PreparedTraceStore
from .preparing import Preparation, PreparationCounts
from .queueing import BackgroundCounts
from .recorder import Recorder
from .recovery import arecover, recover
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
from .runs import Run, carry_context, current_run
from .saving import RecorderCounts

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
