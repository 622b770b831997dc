"""Saving what can be saved from a damaged database into a new one.

First by SQLite, around the pages that it cannot read. If that leaves anything open, the pages are
read without it: rows that nothing leads to any more, and whole files whose first page is gone.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sqlite3
from collections.abc import Iterator

from ....model import timestamps
from ....model.json_values import dumps
from ....model.reports import RepairReport
from ...files.atomic_file import new_file_for
from ...files.private_files import check_regular, create
from ...files.progress import Problems, Steps
from ..database import Database
from ..foreign_objects import LAST_ROW
from ..index.check import ROW_IS_GONE, facets_at, ids_without_row
from ..index.index_upkeep import index_everything
from ..rows import FacetsRow, stored_bytes
from ..schema import VERSION, version_of
from ..transaction import transaction
from .annotation_check import copy_annotations
from .backup import copy_snapshot
from .page_scan import FoundRows
from .read_only import connect_as_it_is, is_in_use
from .row_check import Checked, check, is_readable
from .row_scan import (
    DATABASE_ERRORS,
    Gap,
    StoredRow,
    ids_known,
    is_damage,
    named_gaps,
    rows_and_gaps,
)
from .verify import structure

_ROWS_AT_ONCE = 128
_NOT_LED_TO = (
    "no page of the table points to it any more: it may have been deleted or saved again since"
)
_LARGEST_ID = 2**63 - 1


def repairing(file: str, where: str, into: str, *, keep_suspect: bool) -> Steps[RepairReport]:
    """Save what can be saved; nothing is written to the damaged file."""
    with new_file_for(into, overwrite=False) as name, _private_copy(file, name) as copy:
        database = Database(name, "normal")
        target = database.connect()
        try:
            repair = _Repair(where, into, target, keep_suspect=keep_suspect)
            yield from repair.from_tables(copy)
            if repair.is_incomplete:
                yield from repair.from_pages(copy)
            repair.take_annotations(copy)
            report = repair.finish()
        finally:
            target.close()
    return report


@contextlib.contextmanager
def _private_copy(file: str, beside: str) -> Iterator[str]:
    """A copy of the file with its log, which SQLite may write to."""
    path = f"{beside}.damaged"
    check_regular(file)
    try:
        create(path)
        _copy(file, path)
        yield path
    finally:
        for part in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
            with contextlib.suppress(OSError):
                os.unlink(part)


def _copy(file: str, path: str) -> None:
    was_in_use = is_in_use(file)
    try:
        with contextlib.closing(connect_as_it_is(file)) as source:
            copy_snapshot(source, path)
    except DATABASE_ERRORS as error:
        if not is_damage(error) and not isinstance(error, sqlite3.OperationalError):
            raise
    else:
        if was_in_use or not is_in_use(file):
            return
        os.unlink(path)  # somebody began to write meanwhile
        create(path)
        _copy(file, path)
        return
    import shutil  # noqa: PLC0415 - slow to import, seldom needed

    shutil.copyfile(file, path)
    for part in ("-wal", "-journal"):
        if os.path.exists(file + part):
            check_regular(file + part)
            create(path + part)
            shutil.copyfile(file + part, path + part)


class _Repair:
    def __init__(
        self, where: str, into: str, target: sqlite3.Connection, *, keep_suspect: bool
    ) -> None:
        self._where = where
        self._into = into
        self._target = target
        self._keep_doubtful = keep_suspect
        self._lost, self._doubtful = Problems(), Problems()
        self._saved = 0
        self._gaps: list[tuple[str | None, Gap]] = []
        self._newest = self._last_id = 0
        self._last_created_us = 0
        self._batch: list[StoredRow] = []
        self.is_incomplete = True

    def from_tables(self, path: str) -> Steps[None]:
        """What SQLite can read."""
        with contextlib.closing(connect_as_it_is(path, writable=True)) as source:
            try:
                source.execute("SELECT count(*) FROM traces WHERE rowid = 0").fetchone()
            except DATABASE_ERRORS:
                return
            has_index = version_of(source) == VERSION
            oldest, newest = ids_known(source)
            gaps: list[Gap] = []
            for item in rows_and_gaps(source, oldest, newest):
                if isinstance(item, Gap):
                    gaps.append(item)
                    continue
                self._take(item, _facets(source, item.row_id) if has_index else None)
                if not self._batch:
                    yield item.row_id, newest
            gaps += _rows_gone(source) if has_index else []
            self._gaps += named_gaps(source, gaps)
            self._note_newest(source, newest)
            self.is_incomplete = bool(self._gaps) or bool(structure(source))

    def from_pages(self, path: str) -> Steps[None]:
        """What stands on the pages all the same."""
        if not os.path.getsize(path):
            return
        with (
            open(path, "rb") as file,
            contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data,
            contextlib.closing(FoundRows(data)) as found,
        ):
            yield from found.collect()
            for number, row in enumerate(found.rows()):
                self._take_found(row, found)
                if not number % _ROWS_AT_ONCE:
                    yield found.count, found.count
            if found.newest < LAST_ROW:
                self._newest = max(self._newest, found.newest)

    def _take_found(self, row: StoredRow, found: FoundRows) -> None:
        if self._holds(row):
            return
        facets = found.facets(row.row_id)
        doubt = _NOT_LED_TO if facets is None and found.has_facets else None
        self._take(row, facets, doubt)

    def _holds(self, row: StoredRow) -> bool:
        self._flush()
        known = self._target.execute(
            "SELECT 1 FROM traces WHERE rowid = ? OR run_id = CAST(? AS TEXT)",
            (row.row_id, stored_bytes(row.run_id)),
        ).fetchone()
        return known is not None

    def _take(self, row: StoredRow, facets: FacetsRow | None, doubt: str | None = None) -> None:
        found = check(row, facets)
        run_id = row.run_id.decode(errors="replace") if isinstance(row.run_id, bytes) else None
        place = f"{self._where}, table traces, row {row.row_id}"
        if found.created_us is not None:
            self._last_created_us = found.created_us
        doubts = [fault.problem for fault in found.faults if fault.is_doubtful]
        doubts += [doubt] if doubt is not None else []
        if found.trace is None:
            if doubt is None:
                self._lost.add(run_id, place, found.faults[0].problem)
            return
        if doubts:
            self._doubtful.add(run_id, place, "; ".join(doubts))
        else:
            self._saved += 1
        if not doubts or self._keep_doubtful:
            as_it_is = facets is None and is_readable(row)
            kept = row if as_it_is else self._restored(row, found)
            # After the last number that there is, no run could be saved.
            row_id = row.row_id if row.row_id < LAST_ROW else self._last_id + 1
            self._last_id = max(self._last_id, row_id)
            self._batch.append(kept._replace(row_id=row_id))
        if len(self._batch) >= _ROWS_AT_ONCE:
            self._flush()

    def _restored(self, row: StoredRow, found: Checked) -> StoredRow:
        """The row, its summary rebuilt if that is damaged."""
        if found.is_whole or found.trace is None:
            return row
        created_at = timestamps.to_text(timestamps.from_microseconds(self._last_created_us))
        return row._replace(
            steps=len(found.trace.steps),
            total_ms=float(found.trace.total_duration_ms),
            created_at=created_at.encode(),
            metadata=dumps(found.trace.metadata),
        )

    def _flush(self) -> None:
        rows, self._batch = self._batch, []
        if not rows:
            return
        with transaction(self._target):
            self._target.executemany(
                "INSERT OR IGNORE INTO traces "
                "(rowid, run_id, steps, total_ms, created_at, metadata, trace_json) VALUES (?, "
                "CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))",
                rows,
            )
        index_everything(self._target, self._into)

    def take_annotations(self, path: str) -> None:
        """Save the annotations that can be read."""
        self._flush()
        with contextlib.closing(connect_as_it_is(path, writable=True)) as source:
            for run_id, problem in copy_annotations(source, self._target):
                self._lost.add(run_id, f"{self._where}, table trace_annotations", problem)

    def _note_newest(self, source: sqlite3.Connection, newest: int) -> None:
        self._newest = newest if newest < LAST_ROW else self._last_id
        with contextlib.suppress(*DATABASE_ERRORS):
            (deleted,) = source.execute("SELECT max(deleted) FROM trace_newest").fetchone()
            if isinstance(deleted, int) and deleted < LAST_ROW:
                self._newest = max(self._newest, deleted)

    def finish(self) -> RepairReport:
        """The report, when all is written."""
        self._flush()
        for run_id, gap in self._gaps:
            if not self._was_found(run_id, gap):
                where = f"{self._where}, table traces, row {gap.first}"
                where += f" to {gap.last}" if gap.last > gap.first else ""
                self._lost.add(run_id, where, gap.reason)
        self._target.execute("UPDATE trace_newest SET deleted = max(deleted, ?)", (self._newest,))
        self._target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return RepairReport(
            self._where,
            self._into,
            self._saved,
            tuple(self._lost.kept),
            tuple(self._doubtful.kept),
        )

    def _was_found(self, run_id: str | None, gap: Gap) -> bool:
        """Whether a page without SQLite gave what stood in a gap."""
        if run_id is None and gap.first < gap.last:
            return False
        question = "SELECT 1 FROM traces WHERE run_id = ? OR (? IS NULL AND rowid = ?)"
        found = self._target.execute(question, (run_id, run_id, gap.first)).fetchone()
        return found is not None


def _facets(source: sqlite3.Connection, row_id: int) -> FacetsRow | None:
    try:
        return facets_at(source, row_id)
    except DATABASE_ERRORS:
        return None


def _rows_gone(source: sqlite3.Connection) -> list[Gap]:
    try:
        ids = ids_without_row(source, 1, _LARGEST_ID)
    except DATABASE_ERRORS:
        return []
    return [Gap(row_id, row_id, ROW_IS_GONE) for row_id in ids]
