"""Reading a table past damaged pages: the readable rows in the order of ids, and the gaps."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

from ...files import error_mapping

_COLUMNS = "rowid, run_id, steps, total_ms, created_at, metadata, trace_json"
_READ = f"SELECT {_COLUMNS} FROM traces NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"
# Of one row alone: it does not look at the page after it.
_READ_ONE = f"SELECT {_COLUMNS} FROM traces NOT INDEXED WHERE rowid IN (?, ?)"

DATABASE_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What SQLite raises; of a damaged schema, it cannot even say it in text."""
_ATTEMPTS = 200_000  # that fail, within one range: some seconds


class StoredRow(NamedTuple):
    """A row of ``traces``, its columns as they are stored: text as bytes."""

    row_id: int
    run_id: Any
    steps: Any
    total_ms: Any
    created_at: Any
    metadata: Any
    trace_json: Any


class Gap(NamedTuple):
    """Ids, both included, of which none could be read."""

    first: int
    last: int
    reason: str


def rows_and_gaps(
    connection: sqlite3.Connection, first: int, last: int
) -> Generator[StoredRow | Gap, None, None]:
    """The rows of a range of ids, in their order, and the gaps that damage tore.

    An id in a gap may be of a row, or of none.
    """
    todo, failed = [(first, last)], 0
    gap: Gap | None = None
    while todo:
        low, high = todo.pop()
        place = low
        try:
            for row in connection.execute(_READ_ONE if low == high else _READ, (low, high)):
                _check_order(row[0], place)
                if gap is not None:
                    yield gap
                    gap = None
                yield StoredRow(*row)
                place = row[0] + 1
        except DATABASE_ERRORS as error:
            if not is_damage(error):
                raise
            failed += 1
            if place == high or failed > _ATTEMPTS:
                gap = Gap(place if gap is None else gap.first, high, str(error))
            else:
                middle = (place + high) // 2
                todo += [(middle + 1, high), (place, middle)]
    if gap is not None:
        yield gap


def _check_order(row_id: object, at_least: int) -> None:
    if not isinstance(row_id, int) or row_id < at_least:  # a column may have that name
        raise error_mapping.malformed("a page is in the wrong place")


def is_damage(error: sqlite3.DatabaseError | UnicodeDecodeError) -> bool:
    """Whether SQLite complains of the file's content, not of the circumstances."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG)


def ids_known(connection: sqlite3.Connection) -> tuple[int, int]:
    """The smallest and the largest id that the table, its indexes or ours speak of."""
    oldest, newest = 1, 0
    for source in (
        "rowid) FROM traces NOT INDEXED",
        "rowid) FROM traces",
        "id) FROM trace_facets",
        "id) FROM trace_pending",
    ):
        for edge in ("min", "max"):
            try:
                (found,) = connection.execute(f"SELECT {edge}({source}").fetchone()
            except DATABASE_ERRORS:
                continue
            if isinstance(found, int):
                oldest, newest = min(oldest, found), max(newest, found)
    return oldest, newest


def named_gaps(
    connection: sqlite3.Connection, gaps: Sequence[Gap]
) -> Iterator[tuple[str | None, Gap]]:
    """What could not be read, run by run as far as the table's own index knows their names."""
    gaps = _joined(gaps)
    if not gaps:
        return
    starts = [gap.first for gap in gaps]
    named: set[Gap] = set()
    for row_id, run_id in _names_in_index(connection):
        gap = gaps[bisect_right(starts, row_id) - 1]
        if gap.first <= row_id <= gap.last:
            named.add(gap)
            yield run_id, Gap(row_id, row_id, gap.reason)
    for gap in gaps:
        if gap not in named:
            yield None, gap


def _names_in_index(connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    try:
        for row_id, run_id in connection.execute(
            "SELECT rowid, run_id FROM traces INDEXED BY sqlite_autoindex_traces_1"
        ):
            if isinstance(run_id, bytes) and isinstance(row_id, int):
                yield row_id, run_id.decode(errors="replace")
    except DATABASE_ERRORS:
        return


def _joined(gaps: Sequence[Gap]) -> list[Gap]:
    """Gaps in their order, those that overlap as one."""
    joined: list[Gap] = []
    for gap in sorted(gaps):
        if joined and gap.first <= joined[-1].last:
            joined[-1] = joined[-1]._replace(last=max(gap.last, joined[-1].last))
        else:
            joined.append(gap)
    return joined
