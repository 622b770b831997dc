"""Comparison of a stored summary with its trace."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...model.json_values import Json, canonical
from ...model.trace import AgentTrace

_CLOSE = 1e-9  # by which sums of the same durations may differ


def wrong_in_summary(
    trace: AgentTrace, steps: object, total_ms: object, metadata: Json
) -> Iterator[str]:
    """What a summary says that its trace does not."""
    if steps != len(trace.steps):
        yield f"its summary says {steps!r} steps, the trace has {len(trace.steps)}"
    total = float(trace.total_duration_ms)
    if not isinstance(total_ms, int | float) or not (
        math.isclose(total_ms, total, rel_tol=_CLOSE, abs_tol=_CLOSE)
    ):
        yield f"its summary says {total_ms!r} ms, the trace has {total}"
    if canonical(metadata) != canonical(trace.metadata):
        yield "its metadata differs from the trace's"
