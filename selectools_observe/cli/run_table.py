"""Tables of runs, laid out line by line so that any number can stream past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from ..model.html_repr import keys_alike
from ..model.text import one_line
from ..model.trace import TraceSummary
from .run_columns import (
    COLUMNS,
    LONGEST_VALUE,
    RunColumn,
    default_columns,
    input_and_output,
    value_text,
)
from .terminal import fit, styled

_SHORTEST_ID = 12
_WIDE = 100  # columns from which on there is room for the year
_DAY_AND_TIME = 11  # cells
_ROOM_FOR_BOTH = 70  # cells for what was said and for metadata


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its width in cells, how it is styled and on which side it is flush."""

    heading: str
    width: int
    style: str = ""
    right: bool = True


class RunTable:
    """Lines for summaries.

    Args:
        width: Columns of the terminal; texts and the metadata have what the rest leaves.
        runs: Some of those that are to come: they tell how wide the columns are, and which metadata
            distinguishes runs.
        whole_ids: Whether to leave the ids whole, whatever the width.
        columns: What to show of each run; `default_columns` and, as there is room, what was asked
            and answered and the metadata, unless given.
    """

    def __init__(
        self,
        width: int,
        runs: Sequence[TraceSummary],
        *,
        whole_ids: bool = False,
        columns: Sequence[RunColumn] | None = None,
    ) -> None:
        self._is_default = columns is None
        self._columns = default_columns(runs) if columns is None else columns
        self._alike = keys_alike(runs)
        most = {}
        if not whole_ids:
            most[COLUMNS["run"]] = _SHORTEST_ID + max(0, width - _WIDE) // 5
        if width < _WIDE and self._is_default:  # no room for the year
            most[COLUMNS["started"]] = _DAY_AND_TIME
        widths = [_width_of(column, runs) for column in self._columns]
        widths = [
            min(cells, most.get(column, cells))
            for column, cells in zip(self._columns, widths, strict=True)
        ]
        rest = max(10, width - 2 - sum(cells + 1 for cells in widths))
        self._widths = widths if self._is_default else _fitted(self._columns, widths, width - 2)
        says = self._is_default and any(run.input or run.output for run in runs)
        self._said = (rest if rest < _ROOM_FOR_BOTH else rest * 3 // 5) if says else 0
        self._rest = rest - self._said - bool(self._said) if self._is_default else 0

    def heading(self) -> Text:
        """The columns' headings."""
        cells = [
            fit(column.heading, width, right=column.right)
            for column, width in zip(self._columns, self._widths, strict=True)
        ]
        cells += [fit("input → output", self._said)] if self._said else []
        cells += ["metadata"] if self._rest > 0 else []
        return styled("  " + " ".join(cells).rstrip(), "bold")

    def line(self, run: TraceSummary) -> Text:
        """One run. A cross marks it if it failed, an exclamation mark if only a step did."""
        line = _mark(run)
        for column, width in zip(self._columns, self._widths, strict=True):
            text = column.read(run)
            if width == _DAY_AND_TIME and column is COLUMNS["started"]:
                text = text[-_DAY_AND_TIME:]
            line.append(fit(text, width, right=column.right) + " ", column.style)
        if self._said:
            line.append(fit(input_and_output(run), self._said) + " ")
        return line.append_text(self._metadata(run.metadata)) if self._rest > 0 else line

    def _metadata(self, metadata: dict[str, Any]) -> Text:
        """``key=value`` pairs, as many as there is room for; first what distinguishes runs."""
        text = Text()
        if metadata.get("unfinished") is True:
            text.append("unfinished ", "yellow")
        for key in sorted(metadata, key=self._alike.__contains__):
            if len(text) > self._rest:
                break
            text.append(f"{one_line(key, LONGEST_VALUE)}=", "dim")
            text.append(f"{value_text(metadata[key])} ")
        text.rstrip()
        if cell_len(text.plain) > self._rest:
            text.truncate(self._rest, overflow="ellipsis")
        return text


def _mark(run: TraceSummary) -> Text:
    if run.outcome == "error":
        return styled("✗ ", "bold red")
    return styled("! ", "yellow") if run.has_error else styled("  ", "")


def _width_of(column: RunColumn, runs: Sequence[TraceSummary]) -> int:
    longest = max((cell_len(column.read(run)) for run in runs), default=0)
    longest = max(longest, cell_len(column.heading))
    return longest if column.most is None else min(longest, column.most)


def _fitted(columns: Sequence[RunColumn], widths: list[int], room: int) -> list[int]:
    """The widths, those of long texts cut so that a line fits if it can."""
    longs = [at for at, column in enumerate(columns) if column.most is None]
    over = sum(widths) + len(widths) - 1 - room
    fitted = list(widths)
    for at in sorted(longs, key=widths.__getitem__, reverse=True):
        cut = max(0, min(over, fitted[at] - _SHORTEST_ID))
        fitted[at] -= cut
        over -= cut
    return fitted


def lines_of_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]
) -> Iterable[Text]:
    """A small table of printable text, with its headings."""
    cells = [fit(column.heading, column.width, right=column.right) for column in columns]
    yield styled(" ".join(cells), "bold")
    for row in rows:
        line = Text()
        for value, column in zip(row, columns, strict=True):
            style = value.style if isinstance(value, Text) else column.style
            line.append(fit(str(value), column.width, right=column.right) + " ", style)
        yield line
