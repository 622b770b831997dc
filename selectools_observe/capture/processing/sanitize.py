"""Making storable what no store can take."""

from __future__ import annotations

from typing import Any

from ...model.json_values import UnstorableValueError, is_nested_deeply, plain
from ...model.trace import DETAIL_FIELDS, STEP_FIELDS, AgentTrace, TraceStep


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


def _salvaged_entries(entries: dict[Any, Any]) -> dict[str, Any]:
    return {str(_salvaged(key)): _salvaged(value) for key, value in entries.items()}


def _salvaged(value: Any) -> Any:
    try:
        if not is_nested_deeply(value):
            return plain(value)
        reason = "it is nested too deeply"
    except UnstorableValueError as error:
        reason = str(error).strip()
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        reason = type(error).__name__
    return f"[cannot be stored: {reason}]"
