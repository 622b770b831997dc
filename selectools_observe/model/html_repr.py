"""Runs as HTML, for notebooks.

The HTML is whole in itself, runs no script, and takes its colours from what is around it, light or
dark.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from .amounts import finite
from .figures import dollars, duration
from .json_values import readable
from .message_text import text_of
from .shapes import RunShape, StepShape, SummaryShape
from .text import one_line, printable_lines

_MOST_RUNS = 100
_MOST_STEPS = 300
_LONGEST = 2000  # characters of a field of a step
_LONGEST_LABEL = 80  # characters of an answer in the line of its step
_FIELDS = (
    "tool_args", "tool_result", "reasoning", "error", "summary", "node_name", "input", "output",
)  # fmt: skip

_COLOURS = {
    "llm_call": "#4b83d6",
    "tool_execution": "#a45cc0",
    "error": "#d64550",
    "cache_hit": "#3f9d5a",
    "structured_retry": "#c98a1b",
}
_GREY = "#8a8f98"

_STYLE = """<style>
.so-runs{font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:100%;overflow-x:auto}
.so-runs table{border-collapse:collapse;width:100%;background:none;color:inherit;font:inherit}
.so-runs th,.so-runs td{padding:2px 8px;text-align:left;vertical-align:top;border:0;
border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent);unicode-bidi:isolate}
.so-runs th{font-weight:600;white-space:nowrap}
.so-runs .n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.so-runs .id{font-family:ui-monospace,monospace;white-space:nowrap}
.so-runs .q{opacity:.65}
.so-runs .bad{color:#d64550;font-weight:600}
.so-runs .bar{position:relative;min-width:160px;width:40%}
.so-runs .bar i{position:absolute;top:6px;height:10px;min-width:2px;border-radius:2px}
.so-runs pre{margin:2px 0 6px;white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px;
background:none;color:inherit;unicode-bidi:isolate}
.so-runs summary{cursor:pointer}
.so-runs .t{white-space:nowrap}
.so-runs td.m{max-width:0;width:50%;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
</style>"""


def runs_html(runs: Sequence[SummaryShape]) -> str:
    """A table of runs."""
    headings = ("run", "saved", "steps", "time", "tokens", "cost", "metadata")
    numeric = {"steps", "time", "tokens", "cost"}
    head = "".join(
        f'<th class="n">{name}</th>' if name in numeric else f"<th>{name}</th>" for name in headings
    )
    shown = runs[:_MOST_RUNS]
    alike = keys_alike(shown)
    rows = "".join(_run_row(run, alike) for run in shown)
    more = _more(len(runs) - _MOST_RUNS, "runs")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="so-runs">{_STYLE}{table}{more}</div>'


def keys_alike(runs: Sequence[SummaryShape]) -> set[str]:
    """The keys of the metadata that have one value in all of several runs: they tell the least."""
    if len(runs) < 2:
        return set()
    first = runs[0].metadata
    return {
        key
        for key, value in first.items()
        if all(key in run.metadata and run.metadata[key] == value for run in runs)
    }


def trace_html(trace: RunShape) -> str:
    """A run as a waterfall; a click on a step shows what it says."""
    facts = [f"{len(trace.steps):,} steps", duration(finite(trace.total_duration_ms))]
    if trace.parent_run_id is not None:
        facts.append(f"started by {_text(trace.parent_run_id)}")
    heading = f'<div><b class="id">{_text(trace.run_id)}</b> <span class="q">{" · ".join(facts)}'
    heading += f'</span></div><div class="m">{_pairs(trace.metadata)}</div>'
    heading += _said("input", getattr(trace, "input", None), "user")
    heading += _said("output", getattr(trace, "output", None), "assistant")
    scale = _Scale(trace.steps)
    talk = _Talk()
    rows = "".join(
        _step_row(number, step, scale, talk)
        for number, step in enumerate(trace.steps[:_MOST_STEPS], 1)
    )
    more = _more(len(trace.steps) - _MOST_STEPS, "steps")
    table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
    return f'<div class="so-runs">{_STYLE}{heading}{table}{more}</div>'


def _run_row(run: SummaryShape, alike: Collection[str]) -> str:
    failed = '<span class="bad" title="a step failed">✗</span> ' if run.has_error else ""
    whole = _text(_plain(run.metadata), 1000)
    cells = (
        f'<td class="id">{failed}{_text(run.run_id)}</td>',
        f'<td class="t">{run.created_at.astimezone():%Y-%m-%d %H:%M:%S}</td>',
        f'<td class="n">{run.steps:,}</td>',
        f'<td class="n">{duration(run.total_ms)}</td>',
        f'<td class="n">{run.prompt_tokens + run.completion_tokens:,}</td>',
        f'<td class="n">{dollars(run.cost_usd)}</td>',
        f'<td class="m" title="{whole}">{_pairs(run.metadata, alike)}</td>',
    )
    return f"<tr>{''.join(cells)}</tr>"


class _Talk:
    """What was said: a question that every later call repeats is told once."""

    def __init__(self) -> None:
        self._asked: str | None = None

    def of(self, step: StepShape) -> tuple[str | None, str | None]:
        """The person's words that are new in a step, and the model's."""
        asked = _last_words(getattr(step, "input", None))
        new = asked if asked != self._asked else None
        self._asked = asked or self._asked
        output = getattr(step, "output", None)
        return new, None if output is None else text_of(output, "assistant", as_json=False)


def _last_words(value: Any) -> str | None:
    """What a person said last in the input of a call."""
    if not isinstance(value, list):
        return None if value is None else text_of(value, "user", as_json=False)
    said = (text_of([item], "user", as_json=False) for item in reversed(value))
    return next((text for text in said if text), None)


def _said(name: str, value: Any, role: str) -> str:
    text = None if value is None else text_of(value, role)
    return f'<div><span class="q">{name}:</span> {_text(text)}</div>' if text else ""


def _step_row(number: int, step: StepShape, scale: _Scale, talk: _Talk) -> str:
    kind = str(getattr(step.type, "value", step.type))
    failed = kind == "error" or step.error is not None
    colour = _COLOURS["error"] if failed else _COLOURS.get(kind, _GREY)
    left, width = scale.place(step)
    name = _text(step.tool_name or step.model or step.node_name or "")
    label = f'<span class="{"bad" if failed else "q"}">{_text(kind)}</span> {name}'
    asked, answered = talk.of(step)
    if answered:
        label += f' <span class="q">→</span> {_text(answered, _LONGEST_LABEL)}'
    details = _field("user", asked) + _field("assistant", answered)
    details += "".join(_field(field, getattr(step, field, None)) for field in _FIELDS)
    said = f"<details><summary>{label}</summary>{details}</details>" if details else label
    bar = f'<i style="left:{left:.2f}%;width:{width:.2f}%;background:{colour}"></i>'
    return (
        f'<tr><td class="n q">{number}</td><td>{said}</td><td class="bar">{bar}</td>'
        f'<td class="n">{duration(finite(step.duration_ms))}</td></tr>'
    )


def _field(name: str, value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json(value)
    shown = "\n".join(printable_lines(text[:_LONGEST]))
    cut = "…" if len(text) > _LONGEST else ""
    return f'<div class="q">{name}</div><pre>{html.escape(shown)}{cut}</pre>'


def _pairs(metadata: Any, last: Collection[str] = ()) -> str:
    if not isinstance(metadata, dict):
        return ""
    pairs = (
        f'<span class="q">{_text(key, 60)}=</span>{_text(_plain(value), 200)}'
        for key, value in sorted(metadata.items(), key=lambda pair: pair[0] in last)
    )
    return " ".join(pairs)


def _more(number: int, what: str) -> str:
    return f'<div class="q">and {number:,} more {what}</div>' if number > 0 else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    try:
        return readable(value, indent=1)
    except (TypeError, ValueError, RecursionError):
        return str(type(value))


def _text(value: object, longest: int = 200) -> str:
    return html.escape(one_line(value, longest))


class _Scale:
    """Where steps stand in the time of the run, in percent."""

    def __init__(self, steps: Iterable[StepShape]) -> None:
        known = [
            (finite(step.timestamp), max(0.0, finite(step.duration_ms)) / 1000) for step in steps
        ]
        self._zero = min((start for start, _ in known), default=0.0)
        end = max((start + length for start, length in known), default=0.0)
        self._seconds = finite(end - self._zero) or 1.0

    def place(self, step: StepShape) -> tuple[float, float]:
        start = (finite(step.timestamp) - self._zero) / self._seconds
        length = max(0.0, finite(step.duration_ms)) / 1000 / self._seconds
        return min(100.0, 100 * finite(start)), min(100.0, 100 * finite(length))
