"""Tables of runs, laid out line by line so that any number can stream past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from ..model.html_repr import keys_alike
from ..model.json_values import readable
from ..model.text import one_line
from ..model.trace import TraceSummary
from . import formatting
from .terminal import fit, styled

_SHORTEST_ID = 12
_WIDE = 100  # columns from which on there is room for the year
_LONGEST_VALUE = 60


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
        width: Columns of the terminal; the metadata has what the rest leaves.
        runs: Some of those that are to come: they tell how wide the ids are, and which metadata
            tells runs apart.
        whole_ids: Whether to leave the ids whole, whatever the width.
    """

    def __init__(
        self, width: int, runs: Sequence[TraceSummary], *, whole_ids: bool = False
    ) -> None:
        longest = max((cell_len(one_line(run.run_id)) for run in runs), default=0)
        room = longest if whole_ids else min(longest, _SHORTEST_ID + max(0, width - 100))
        self._columns = (
            Column("run", max(_SHORTEST_ID, room), "cyan", right=False),
            Column("saved", 16 if width >= _WIDE else 11, "", right=False),
            Column("steps", 5),
            Column("time", 8),
            Column("tokens", 6),
            Column("cost", 7),
        )
        used = sum(column.width + 1 for column in self._columns)
        self._rest = max(10, width - used - 2)
        self._alike = keys_alike(runs)

    def heading(self) -> Text:
        """The columns' headings."""
        cells = [fit(c.heading, c.width, right=c.right) for c in self._columns]
        return styled("  " + " ".join([*cells, "metadata"]), "bold")

    def line(self, run: TraceSummary) -> Text:
        """One run. A cross marks those in which a step failed."""
        values = (
            one_line(run.run_id),
            formatting.local_time(run.created_at)[-self._columns[1].width :],
            formatting.count(run.steps),
            formatting.duration(run.total_ms),
            formatting.count(run.prompt_tokens + run.completion_tokens),
            formatting.dollars(run.cost_usd),
        )
        line = styled("✗ " if run.has_error else "  ", "bold red")
        for value, column in zip(values, self._columns, strict=True):
            line.append(fit(value, column.width, right=column.right) + " ", column.style)
        return line.append_text(self._metadata(run.metadata))

    def _metadata(self, metadata: dict[str, Any]) -> Text:
        """``key=value`` pairs, as many as there is room for; first what tells runs apart."""
        text = Text()
        if metadata.get("unfinished") is True:
            text.append("unfinished ", "yellow")
        for key in sorted(metadata, key=self._alike.__contains__):
            if len(text) > self._rest:
                break
            text.append(f"{one_line(key, _LONGEST_VALUE)}=", "dim")
            text.append(f"{value_text(metadata[key])} ")
        text.rstrip()
        if cell_len(text.plain) > self._rest:
            text.truncate(self._rest, overflow="ellipsis")
        return text


def value_text(value: object, longest: int = _LONGEST_VALUE) -> str:
    """A value of metadata on one line: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return one_line(value, longest)
    return one_line(readable(value), longest)


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
