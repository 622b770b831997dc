"""The heading of a run and the details of its steps, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from ..analytics import totals_of
from ..analytics.capture_gaps import lost_events
from ..model import figures
from ..model.json_values import readable
from ..model.text import counted, one_line, printable_lines
from ..model.trace import STEP_FIELDS, AgentTrace, TraceStep, TraceSummary
from .annotation_text import line_of
from .run_columns import value_text
from .terminal import styled

_FIELDS = ("name", "outcome", "agent", "session_id", "user_id", "tags")
_TEXTS = ("input", "output")
_SHOWN_ELSEWHERE = {
    "type",
    "timestamp",
    "duration_ms",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
}


def heading_of(
    trace: AgentTrace, summary: TraceSummary, *, with_texts: bool = True
) -> Iterator[Text]:
    """What there is to say of the run as a whole; what was asked and answered if wanted."""
    totals = totals_of(trace)
    yield styled("run ", "dim").append(one_line(trace.run_id), "bold cyan")
    facts = [
        counted(totals.steps, "step"),
        *_times(totals.duration_ms, summary.wall_ms),
        f"{totals.prompt_tokens:,} in / {totals.completion_tokens:,} out tokens",
        figures.dollars(totals.cost_usd),
    ]
    line = Text("    " + " · ".join(facts))
    if totals.errors:
        line.append(f" · {counted(totals.errors, 'error')}", "bold red")
    if trace.metadata.get("unfinished") is True:
        line.append(" · running", "yellow")
    yield line
    lost = lost_events(trace.extra or {})
    if lost:
        text = f"    incomplete: {counted(lost, 'event')} could not be read (see --json)"
        yield styled(text, "yellow")
    moments = {"started": summary.started_at, "saved": summary.created_at}
    reported = [
        f"{what} {figures.local_time(moment, seconds=True)}"
        for what, moment in moments.items()
        if moment is not None
    ]
    yield styled("    " + " · ".join(reported), "dim")
    told_again = list(trace.metadata.values())
    for name in (*_FIELDS, *(_TEXTS if with_texts else ())):
        value = getattr(summary, name)
        if value not in (None, [], "ok", *told_again):
            yield styled(f"    {name}: ", "dim").append(value_text(value, 300), "")
    if trace.parent_run_id is not None:
        yield styled("    parent run ", "dim").append(one_line(trace.parent_run_id), "cyan")
    for annotation in summary.annotations.values():
        yield styled("    ", "").append_text(line_of(annotation))
    for key, value in trace.metadata.items():
        yield styled(f"    {one_line(key)}: ", "dim").append(value_text(value, 300), "")


def _times(active_ms: float, wall_ms: float | None) -> list[str]:
    """From the first beginning to the last end, and all steps together if that is another time."""
    active = figures.duration(active_ms)
    if not wall_ms or not active_ms or figures.duration(wall_ms) == active:
        return [active if active_ms else figures.duration(wall_ms or 0)]
    return [f"{figures.duration(wall_ms)} ({active} active)"]


def details_of(step: TraceStep, indent: int) -> Iterator[Text]:
    """All that a step says, whole."""
    margin = " " * indent
    used = [
        f"{step.prompt_tokens} prompt tokens" if step.prompt_tokens is not None else "",
        f"{step.completion_tokens} completion tokens" if step.completion_tokens is not None else "",
        figures.dollars(step.cost_usd) if step.cost_usd else "",
    ]
    if any(used):
        yield styled(margin + ", ".join(filter(None, used)), "dim")
    for name in STEP_FIELDS:
        value = getattr(step, name)
        is_said = name == "tool_result" and value == step.error  # a tool may return its error
        if value is not None and name not in _SHOWN_ELSEWHERE and not is_said:
            yield from _field(name, value, margin, "red" if name == "error" else "")
    for name, value in (step.extra or {}).items():
        yield from _field(name, value, margin, "")


def _field(name: str, value: Any, margin: str, style: str) -> Iterator[Text]:
    lines = printable_lines(field_text(value))
    label = one_line(name)
    if len(lines) == 1:
        yield styled(f"{margin}{label}: ", "dim").append(lines[0], style)
        return
    yield styled(f"{margin}{label}:", "dim")
    for line in lines:
        yield Text(f"{margin}  ").append(line, style)


def field_text(value: Any) -> str:
    """A field's value: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return str(getattr(value, "value", value))
    flat = readable(value)
    return flat if len(flat) < 60 else readable(value, indent=2)
