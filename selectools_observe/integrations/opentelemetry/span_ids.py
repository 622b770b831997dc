"""The ids of the spans of a run that did not come from OpenTelemetry: the same each time."""

from __future__ import annotations

import hashlib
import re

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")


def trace_id_of(run_id: str) -> str:
    """The trace id of a run: its own id if that can be one."""
    return run_id if _TRACE_ID.fullmatch(run_id) else _digest(run_id, 16)


def root_id_of(run_id: str) -> str:
    """The span id of the run itself."""
    return _digest(f"{run_id}\0root", 8)


def step_id_of(run_id: str, number: int) -> str:
    """The span id of one of its steps, counted from 0."""
    return _digest(f"{run_id}\0{number}", 8)


def _digest(text: str, size: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:size].hex()
