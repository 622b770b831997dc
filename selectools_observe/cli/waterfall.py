"""A run as a waterfall: its steps one below the other, each with its time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.text import Text

from ..analytics import depths
from ..analytics.run_totals import has_failed, number, whole
from ..model import figures
from ..model.text import one_line
from ..model.trace import AgentTrace, StepType, TraceStep
from .step_details import details_of
from .terminal import Terminal, fit, styled

STYLES = {
    "llm_call": ("llm", "blue"),
    "tool_execution": ("tool", "magenta"),
    "tool_selection": ("select", "dim"),
    "error": ("error", "red"),
    "cache_hit": ("cache", "green"),
    "structured_retry": ("retry", "yellow"),
    "graph_node_start": ("node", "cyan"),
    "graph_node_end": ("end", "cyan"),
}
"""The word for a type of step, and its colour; others are called by their own name."""

_FIGURES = 9
_WIDE = 110  # columns from which on there is room for tokens and costs
_WORD = 6  # columns for the word, so that labels stand in line
_DEEPEST = 12  # indents that are drawn


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the waterfall.

    Attributes:
        depth: How deep it is.
        number: The number of the step in its run, from 1; empty for a run.
        word: What it is.
        style: Its colour.
        label: Which model, tool, node or run.
        start: When it began, seconds since the epoch; None if that is unknown.
        ms: How long it took, milliseconds.
        tokens: Tokens both ways.
        cost: US dollars.
        error: What failed; empty if nothing did.
        step: The step itself; None for a run.
    """

    depth: int
    number: str
    word: str
    style: str
    label: str
    start: float | None
    ms: float
    tokens: int = 0
    cost: float = 0.0
    error: str = ""
    step: TraceStep | None = None


def rows_of(
    trace: AgentTrace, children: Mapping[str, Sequence[AgentTrace]], depth: int = 0
) -> Iterator[Row]:
    """The rows of a run; those of the runs that it started stand where they were started.

    Args:
        trace: The run.
        children: The runs started by a run, by its id, oldest first.
        depth: How deep the run itself is.
    """
    waiting = [*children.get(trace.run_id, ())]
    inner = depths(trace)
    at = depth
    for place, step in enumerate(trace.steps):
        start = _seconds(step.timestamp)
        while waiting and start is not None and number(waiting[0].start_time) < start:
            yield from _rows_of_child(waiting.pop(0), children, at + 1)
        at = depth + inner[place]
        yield _row_of(step, place + 1, at, start)
    for child in waiting:
        yield from _rows_of_child(child, children, at + 1)


def _rows_of_child(
    trace: AgentTrace, children: Mapping[str, Sequence[AgentTrace]], depth: int
) -> Iterator[Row]:
    starts = [s for step in trace.steps if (s := _seconds(step.timestamp)) is not None]
    start = min(starts, default=_seconds(trace.start_time))
    ms = number(trace.total_duration_ms)
    yield Row(depth, "", "run", "bold", one_line(trace.run_id, 80), start, ms)
    yield from rows_of(trace, children, depth + 1)


def step_text(step: TraceStep, place: int) -> str:
    """A step in a few words: its number, what it is, with which model or tool."""
    row = _row_of(step, place + 1, 0, None)
    return f"{row.number:>3} {row.word} {row.label} {row.error}".rstrip()


def _row_of(step: TraceStep, place: int, depth: int, start: float | None) -> Row:
    kind = str(getattr(step.type, "value", step.type))
    word, style = STYLES.get(kind, (one_line(kind, 40), ""))
    failed = has_failed(step)
    return Row(
        depth,
        str(place),
        word,
        "red" if failed else style,
        _label(step),
        start,
        max(0.0, number(step.duration_ms)),
        whole(step.prompt_tokens) + whole(step.completion_tokens),
        number(step.cost_usd),
        one_line(step.error or step.summary or "failed") if failed else "",
        step,
    )


def _label(step: TraceStep) -> str:
    if step.type == StepType.GRAPH_ROUTING and step.to_node:
        return one_line(f"{step.from_node or ''} → {step.to_node}", 80)
    found = step.tool_name or step.model or step.node_name or step.summary or ""
    return one_line(found, 80)


class Waterfall:
    """Lays rows out.

    Args:
        rows: All rows that are to come, for the scale.
        width: Columns of the terminal.
        blocks: Whether block characters can be drawn.
    """

    def __init__(self, rows: Sequence[Row], width: int, *, blocks: bool = True) -> None:
        self._blocks = blocks
        self._scale = _Scale(rows)
        self._number = max([len(row.number) for row in rows], default=1)
        wide = width >= _WIDE
        self._extra = wide and any(row.tokens or row.cost for row in rows)
        longest = max(
            [_indent(row) + len(_word(row)) + 1 + len(row.label) for row in rows], default=10
        )
        room = width - self._number - _FIGURES - (18 if self._extra else 0) - 3
        self._label = max(12, min(longest, int(room * 0.55)))
        self._bar = max(8, room - self._label - 1)

    def heading(self) -> Text:
        """The scale."""
        end = figures.duration(self._scale.ms)
        if self._scale.idle_ms:
            end += f" + {figures.duration(self._scale.idle_ms)} idle"
        text = styled(" " * (self._number + 1 + self._label + 1), "dim")
        text.append("0" + end.rjust(self._bar - 1) + " " + "time".rjust(_FIGURES), "dim")
        if self._extra:
            text.append(" " + "tokens".rjust(8) + " " + "cost".rjust(8), "dim")
        return text

    def lines(self, row: Row) -> Iterator[Text]:
        """A row, and what failed in it."""
        text = styled(row.number.rjust(self._number) + " ", "dim")
        text.append(" " * _indent(row), "")
        text.append(_word(row), row.style).append(" ")
        room = self._label - _indent(row) - len(_word(row)) - 1
        text.append(fit(row.label, max(room, 0)) + " ", "bold" if row.word == "run" else "")
        text.truncate(self._number + 1 + self._label + 1, pad=True)
        text.append(self._drawn(row), row.style)
        text.append(" " + figures.duration(row.ms).rjust(_FIGURES), "" if row.ms else "dim")
        if self._extra:
            tokens = figures.count(row.tokens) if row.tokens else "-"
            text.append(f" {tokens:>8} {figures.dollars(row.cost):>8}", "dim")
        yield text
        if row.error:
            indent = " " * (self._number + 1 + _indent(row) + len(_word(row)) + 1)
            yield styled(indent + row.error, "red")

    def _drawn(self, row: Row) -> str:
        start, length = self._scale.place(row)
        left = min(int(start * self._bar), self._bar - 1)
        cells = length * self._bar
        if cells >= 1:
            drawn = ("█" if self._blocks else "#") * round(cells)
        else:
            drawn = ("▌" if cells > 0.5 else "▏") if self._blocks else "|"
        return fit(" " * left + drawn[: self._bar - left], self._bar)


def draw(
    terminal: Terminal,
    rows: Sequence[Row],
    scale: Sequence[Row] | None = None,
    *,
    full: bool = False,
) -> None:
    """Print rows, on the scale of these or of more rows; with all that each step says, if full."""
    waterfall = Waterfall(rows if scale is None else scale, terminal.width, blocks=terminal.blocks)
    if rows:
        terminal.lines(["", waterfall.heading()])
    for row in rows:
        terminal.lines(waterfall.lines(row))
        if full and row.step is not None:
            terminal.lines(details_of(row.step, indent=8))


class _Scale:
    """Where rows are in the time that all of them take.

    By the clock, if all rows know theirs; else one after the other. Where most of the time nothing
    ran, that time is left out.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        known = [(row.start, row.ms) for row in rows if row.start is not None]
        self._by_clock = len(known) == len(rows) and bool(rows)
        self._running = 0.0
        self._gaps: list[float] = []  # where each begins
        self._idle_before = [0.0]
        if not self._by_clock:
            self.ms = sum(row.ms for row in rows if row.number)
            return
        self._zero = min(start for start, _ in known)
        spans = sorted(((start - self._zero) * 1000, ms) for start, ms in known)
        end = max(start + ms for start, ms in spans)
        gaps = _idle_times(spans)
        if sum(ms for _, ms in gaps) > end / 2:
            self._gaps = [at for at, _ in gaps]
            self._idle_before = [0.0, *accumulate(ms for _, ms in gaps)]
        self.ms = end - self.idle_ms

    @property
    def idle_ms(self) -> float:
        """What is left out."""
        return self._idle_before[-1]

    def place(self, row: Row) -> tuple[float, float]:
        """Start and length, as shares of the whole. Rows come in their order."""
        if not self.ms:
            return 0.0, 0.0
        if self._by_clock and row.start is not None:
            start = (row.start - self._zero) * 1000
            start -= self._idle_before[bisect_left(self._gaps, start)]
        else:
            start = self._running
            self._running += row.ms if row.number else 0.0
        return start / self.ms, row.ms / self.ms


def _idle_times(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """When nothing ran, from where and how long; of spans by their start."""
    found, busy_until = [], 0.0
    for start, ms in spans:
        if start > busy_until:
            found.append((busy_until, start - busy_until))
        busy_until = max(busy_until, start + ms)
    return found


def _indent(row: Row) -> int:
    return 2 * min(row.depth, _DEEPEST)


def _word(row: Row) -> str:
    return row.word.ljust(_WORD)


def _seconds(value: object) -> float | None:
    """A time of a step; None for what is none."""
    found = number(value)
    return found if found > 0 and math.isfinite(found) else None
