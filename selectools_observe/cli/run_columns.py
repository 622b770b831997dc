"""The columns that a table of runs can have, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ..model import figures
from ..model.annotations import Annotation
from ..model.json_values import readable
from ..model.text import one_line
from ..model.trace import TraceSummary

LONGEST_VALUE = 60
_LONGEST_NAME = 24


@dataclass(frozen=True, slots=True)
class RunColumn:
    """A column of a table of runs.

    Attributes:
        heading: Its heading.
        read: What it says of a run, printable, on one line.
        most: Its width at most; None takes what the others leave.
        right: Whether it is flush right.
        style: How it is styled.
    """

    heading: str
    read: Callable[[TraceSummary], str]
    most: int | None = _LONGEST_NAME
    right: bool = False
    style: str = ""


_Making: TypeAlias = Callable[[str], RunColumn]


def _text(name: str, most: int | None = _LONGEST_NAME, *, heading: str = "") -> RunColumn:
    def read(run: TraceSummary) -> str:
        value = getattr(run, name)
        return "" if value is None else one_line(str(value))

    return RunColumn(heading or name, read, most)


def _figure(heading: str, read: Callable[[TraceSummary], str], most: int = 8) -> RunColumn:
    return RunColumn(heading, read, most, right=True)


def _started(run: TraceSummary) -> str:
    return figures.local_time(run.started_at or run.created_at)


def _latency(run: TraceSummary) -> str:
    return figures.duration(run.total_ms if run.wall_ms is None else run.wall_ms)


COLUMNS: dict[str, RunColumn] = {
    "run": RunColumn("run", lambda run: one_line(run.run_id), None, style="cyan"),
    "name": _text("name"),
    "started": RunColumn("started", _started, 16),
    "saved": RunColumn("saved", lambda run: figures.local_time(run.created_at), 16),
    "outcome": _text("outcome"),
    "input": _text("input", None),
    "output": _text("output", None),
    "session": _text("session_id", heading="session"),
    "user": _text("user_id", heading="user"),
    "agent": _text("agent"),
    "tags": RunColumn("tags", lambda run: one_line(", ".join(run.tags))),
    "steps": _figure("steps", lambda run: figures.count(run.steps), 6),
    "duration": _figure("duration", _latency),
    "active": _figure("active", lambda run: figures.duration(run.total_ms)),
    "tokens": _figure(
        "tokens", lambda run: figures.count(run.prompt_tokens + run.completion_tokens), 6
    ),
    "cost": _figure("cost", lambda run: figures.dollars(run.cost_usd), 14),
}
"""Those with a name of their own."""

COLUMN_NAMES = f"{', '.join(COLUMNS)}, score.NAME, label.NAME, note.NAME, metadata.KEY"
"""All that can be named, for a person."""


def column_named(name: str) -> RunColumn:
    """The column of a name.

    Raises:
        ValueError: There is none; the nearest one is named.
    """
    kind, dot, key = name.partition(".")
    if dot and key and kind in _BY_KEY:
        return _BY_KEY[kind](key)
    if name in COLUMNS:
        return COLUMNS[name]
    near = difflib.get_close_matches(name, COLUMNS, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {COLUMN_NAMES}"
    raise ValueError(f"{name!r} is not a column; {hint}")


def columns_named(names: str) -> list[RunColumn]:
    """The columns of a list of names with commas between them.

    Raises:
        ValueError: One is unknown, or there is none.
    """
    found = [column_named(name.strip()) for name in names.split(",") if name.strip()]
    if not found:
        raise ValueError("no column is named")
    return found


def default_columns(runs: Iterable[TraceSummary]) -> list[RunColumn]:
    """What a table shows unless it is told: a name where some run has one."""
    named = ("name",) if any(run.name for run in runs) else ()
    names = ("run", *named, "started", "steps", "duration", "tokens", "cost")
    return [COLUMNS[name] for name in names]


def input_and_output(run: TraceSummary) -> str:
    """What was asked and what was answered."""
    said = one_line(run.input or "")
    return f"{said} → {one_line(run.output)}" if run.output else said


def value_text(value: object, longest: int = LONGEST_VALUE) -> str:
    """A value of metadata on one line: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return one_line(value, longest)
    return one_line(readable(value), longest)


def _of_annotation(field: str, say: Callable[[Annotation], str], most: int | None) -> _Making:
    """What the newest annotation of a name says in one of its fields."""

    def column(name: str) -> RunColumn:
        def read(run: TraceSummary) -> str:
            found = run.annotations.get(name)
            return "" if found is None else say(found)

        return RunColumn(f"{field}.{one_line(name)}", read, most, right=field == "score")

    return column


def _metadata(key: str) -> RunColumn:
    def read(run: TraceSummary) -> str:
        return value_text(run.metadata[key]) if key in run.metadata else ""

    return RunColumn(one_line(key), read)


_BY_KEY: dict[str, _Making] = {
    "score": _of_annotation(
        "score", lambda one: "" if one.score is None else f"{one.score:.4g}", _LONGEST_NAME
    ),
    "label": _of_annotation("label", lambda one: one_line(one.label or ""), _LONGEST_NAME),
    "note": _of_annotation("note", lambda one: one_line(one.note or ""), None),
    "metadata": _metadata,
}
