"""Making storable what no store can take."""

from __future__ import annotations

from typing import Any

from ...model.json_values import is_nested_deeply, plain
from ...model.trace import DETAIL_FIELDS, STEP_FIELDS, AgentTrace, TraceStep
from ..foreign_values import copied_piecewise


def salvaged(trace: AgentTrace) -> AgentTrace:
    """A copy in which a note stands for each value that cannot be stored."""
    return AgentTrace(
        [salvaged_step(step) for step in trace.steps],
        trace.start_time,
        trace.run_id,
        trace.parent_run_id,
        _salvaged_entries(trace.metadata),
        **{name: _salvaged(getattr(trace, name)) for name in DETAIL_FIELDS},
        extra=None if trace.extra is None else _salvaged_entries(trace.extra),
    )


def salvaged_step(step: TraceStep) -> TraceStep:
    """A copy of a step, as `salvaged`."""
    copy = TraceStep(step.type)
    for name in (*STEP_FIELDS[1:], "extra"):
        value = getattr(step, name)
        if isinstance(value, dict):
            setattr(copy, name, _salvaged_entries(value))
        else:
            setattr(copy, name, _salvaged(value))
    return copy


def _salvaged_entries(entries: Any) -> dict[str, Any]:
    copied = _salvaged(entries)
    return copied if isinstance(copied, dict) else {"unreadable": copied}


def _salvaged(value: Any) -> Any:
    try:
        return copied_piecewise(value) if is_nested_deeply(value) else plain(value)
    except Exception:  # noqa: BLE001 - foreign code may raise anything
        return copied_piecewise(value)
