"""The rows of our tables found on the pages of a damaged file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from ...files.progress import Steps
from ..rows import FacetsRow
from .page_format import Data, Pages, Record
from .row_scan import StoredRow

_PAGES_AT_ONCE = 256
# Of the first column of ``trace_facets``, the id, a record holds nothing.
_FACETS = len(FacetsRow._fields)
_BYTES = ("terms", "summary")
_MAY_BE_NONE = ("started_us", "wall_ms")
_REALS = ("total_ms", "cost_usd", "wall_ms")  # which SQLite writes as integers where it can


class FoundRows:
    """What can be found on the pages of a file. Close it at the end.

    Attributes:
        count: How many pages there are.
        newest: The largest id that was found.
        has_facets: Whether facets were found: then what has none was deleted, or replaced.
    """

    def __init__(self, data: Data) -> None:
        self._pages = Pages(data)
        self._free = self._pages.free()
        self._rows: list[tuple[int, int]] = []
        # An unnamed database is on disk if it becomes large, and gone with its connection.
        self._kept = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        columns = ", ".join(f"c{number}" for number in range(1, _FACETS))
        self._kept.execute(f"CREATE TABLE facets (id INTEGER PRIMARY KEY, {columns})")
        self.count = self._pages.count
        self.newest = 0
        self.has_facets = False

    def close(self) -> None:
        """Forget what was kept."""
        self._kept.close()

    def collect(self) -> Steps[None]:
        """Look through all pages: keep the facets, and note where rows stand."""
        self._kept.execute("BEGIN")
        for number in range(1, self.count + 1):
            if number not in self._free:
                for record in self._pages.records(number):
                    self._note(record, number)
            if not number % _PAGES_AT_ONCE:
                yield number, self.count
        self._kept.execute("COMMIT")
        # Of two rows of a run the one that has facets is the one that counts, then the newer.
        self._rows.sort(key=lambda place: (self.facets(place[0]) is not None, place), reverse=True)

    def _note(self, record: Record, number: int) -> None:
        if _is_trace(record):
            self._rows.append((record.row_id, number))
            self.newest = max(self.newest, record.row_id)
        elif _is_facets(record):
            values = [
                float(value) if name in _REALS and value is not None else value
                for name, value in zip(FacetsRow._fields, record.values, strict=True)
            ]
            with contextlib.suppress(sqlite3.Error):
                marks = ",".join("?" * _FACETS)
                row = (record.row_id, *values[1:])
                self._kept.execute(f"INSERT OR IGNORE INTO facets VALUES ({marks})", row)
                self.has_facets = True

    def facets(self, row_id: int) -> FacetsRow | None:
        """The facets that were found for a row."""
        row = self._kept.execute("SELECT * FROM facets WHERE id = ?", (row_id,)).fetchone()
        return None if row is None else FacetsRow(*row)

    def rows(self) -> Iterator[StoredRow]:
        """The rows of ``traces``, the likeliest first."""
        for row_id, number in self._rows:
            for record in self._pages.records(number):
                if record.row_id == row_id and _is_trace(record):
                    run_id, steps, total_ms, *texts = record.values
                    yield StoredRow(row_id, run_id, steps, float(total_ms), *texts)


def _is_trace(record: Record) -> bool:
    if len(record.values) != 6 or record.row_id <= 0:
        return False
    run_id, steps, total_ms, *texts = record.values
    return (
        isinstance(run_id, bytes)
        and isinstance(steps, int)
        and isinstance(total_ms, int | float)
        and all([isinstance(text, bytes) for text in texts])
    )


def _is_facets(record: Record) -> bool:
    if len(record.values) != _FACETS or record.row_id <= 0:
        return False
    none, *values = record.values
    return none is None and all(
        [
            isinstance(value, bytes if name in _BYTES else int | float)
            or (value is None and name in _MAY_BE_NONE)
            for name, value in zip(FacetsRow._fields[1:], values, strict=True)
        ]
    )
