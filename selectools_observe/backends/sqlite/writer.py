"""What a writer's connection does: batches of saves, deletes, and the upkeep of the index."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias

from ...errors import StorageError
from ...model import timestamps
from ...model.annotations import Annotation
from . import annotation_rows, space
from .connection import Connection
from .foreign_objects import refuse_foreign_objects, schema_cookie
from .index import words
from .index.index_upkeep import FOREIGN_ROWS_AT_ONCE, keep_up
from .reader import load_one
from .rows import WRITTEN_COLUMNS, Moment, WrittenTrace
from .transaction import transaction, undo
from .wal import LARGE_STEP, Log

# What one caller saves together, to be stored whole or not at all.
Unit: TypeAlias = Sequence[WrittenTrace]

_TRACES_PER_STATEMENT = 128
_BYTES_PER_STATEMENT = 16 * 1024 * 1024
# Upkeep takes ten calls into SQLite, for each of which a busy event loop may be waited for: where
# batches are large it happens once in several. A query reads the facets of what is not yet in
# blocks, 1024 in 0.07 ms.
_SAVES_BETWEEN_UPKEEP = 256, 1024
_BATCHES_BETWEEN_UPKEEP = 8
_DELETES_BETWEEN_UPKEEP = 4096
# Full blocks that a file's saves leave to the idle thread, so that a burst of saves makes none.
# Until it has made them a query reads their facets, 4096 in less than a millisecond.
_BLOCKS_FOR_IDLE_TIME = 16

# Saves go through a view, so that a batch is one statement and thereby one transaction: one call
# into SQLite, during all of which other threads run. Each further call would have to win the
# interpreter back from a busy event loop, which can take milliseconds.
#
# The facets come first: by them the triggers on `traces` know our rows from other programs'.
INTAKE = (
    f"""
    CREATE TEMP VIEW IF NOT EXISTS incoming_traces AS SELECT
        {", ".join(f"0 AS {name}" for name in WRITTEN_COLUMNS)}
    """,
    """
    CREATE TEMP TRIGGER IF NOT EXISTS incoming_traces_insert INSTEAD OF INSERT ON incoming_traces
    WHEN NEW.run_id IS NOT NULL BEGIN
        INSERT INTO trace_facets VALUES (
            max(
                ifnull((SELECT max(rowid) FROM traces), 0), (SELECT deleted FROM trace_newest)
            ) + 1,
            NEW.created_us, NEW.steps, NEW.total_ms, NEW.has_error, NEW.prompt_tokens,
            NEW.completion_tokens, NEW.cost_usd, NEW.started_us, NEW.wall_ms,
            NEW.hides_words, NEW.summary_crc, NEW.trace_crc, NEW.terms, NEW.summary
        );
        INSERT OR REPLACE INTO traces
            (rowid, run_id, steps, total_ms, created_at, metadata, trace_json)
        VALUES (
            last_insert_rowid(), NEW.run_id, NEW.steps, NEW.total_ms, NEW.created_at,
            CAST(NEW.metadata AS TEXT), CAST(NEW.trace_json AS TEXT)
        );
    END
    """,
)
_COLUMNS = len(WRITTEN_COLUMNS)


class Writer:
    """A connection for writing, and how much was written since the index was last looked after."""

    def __init__(
        self,
        connection: Connection,
        where: str,
        log_limit: Callable[[], int],
        *,
        has_idle_thread: bool = True,
    ) -> None:
        self.connection = connection
        self._where = where
        self._spared = _BLOCKS_FOR_IDLE_TIME if has_idle_thread else 0
        self._log = Log(connection, where, log_limit)
        self._saved = 0
        self._deleted = 0
        connection.execute("PRAGMA temp_store = MEMORY")
        for statement in INTAKE:
            connection.execute(statement)
        self._schema = schema_cookie(connection)

    def save(self, units: Sequence[Unit]) -> list[Exception | None]:
        """Save a batch in one transaction; if a row is refused, unit by unit. An error for each.

        Raises:
            sqlite3.Error: The database refused the batch as a whole; nothing was saved.
            StorageError: The file was taken away meanwhile.
        """
        rows = units[0] if len(units) == 1 else [row for unit in units for row in unit]
        self._log.grows(sum([len(row.trace) for row in rows]))
        self._keep_up(len(rows))
        answers: list[Exception | None] = [None] * len(units)
        try:
            self._save(rows)
        except sqlite3.Error as error:
            if len(units) == 1 or not _is_about_a_row(error):
                raise
            answers = [self._save_alone(unit) for unit in units]
        self._check_place()
        return answers

    def _check_place(self) -> None:
        """Acknowledge nothing that went where nobody finds it, or that others may have undone."""
        if not self.connection.is_current():
            problem = "the file was removed or replaced during the call"
            raise StorageError(self._where, problem, "Try again, with the file that is there now")
        schema = schema_cookie(self.connection)
        if schema != self._schema:  # somebody may have put a trigger on our tables
            refuse_foreign_objects(self.connection, self._where)
            self._schema = schema

    def _save_alone(self, unit: Unit) -> sqlite3.Error | None:
        try:
            self._save(unit)
        except sqlite3.Error as error:
            return error
        return None

    def _save(self, rows: Sequence[WrittenTrace]) -> None:
        chunks = [rows] if len(rows) == 1 else list(_chunks(rows))
        with transaction(self.connection) if len(chunks) > 1 else contextlib.nullcontext():
            for chunk in chunks:
                self._insert(chunk)
        self._saved += len(rows)

    def _insert(self, rows: Sequence[WrittenTrace]) -> None:
        now = Moment.of(timestamps.now())
        values: list[Any] = []
        for row in rows:
            values += row.row(now)
        # Sizes are powers of two, so that few statements are prepared; empty rows do nothing.
        size = 1 << (len(rows) - 1).bit_length()
        values += [None] * (_COLUMNS * (size - len(rows)))
        self.connection.execute(insert_sql(size), values)

    def _keep_up(self, coming: int) -> None:
        """Now and then, index what other programs wrote, and the blocks that became full."""
        undo(self.connection)  # a transaction that a signal handler's exception left open
        self._log.keep_short()
        least, most = _SAVES_BETWEEN_UPKEEP
        if self._saved < min(max(least, _BATCHES_BETWEEN_UPKEEP * coming), most):
            return
        # No fewer of another program's rows than of ours.
        self._log.look(LARGE_STEP)
        rounds = 1 + self._saved // FOREIGN_ROWS_AT_ONCE
        keep_up(self.connection, self._where, rounds, self._spared)
        self._saved = 0

    def update(self, run_id: str, change: Callable[[bytes | None], WrittenTrace | None]) -> bool:
        """Save what a function makes of a trace, in one transaction; whether it made something."""
        self._keep_up(1)
        with transaction(self.connection):
            changed = change(load_one(self.connection, self._where, run_id))
            if changed is not None:
                self._insert([changed])
        if changed is None:
            return False
        self._saved += 1
        self._log.grows(len(changed.trace))
        self._check_place()
        return True

    def delete_many(self, run_ids: list[str]) -> int:
        """Remove runs, all or none; how many there were."""
        gone = space.delete_many(self.connection, run_ids)
        self._check_place()
        return gone

    def delete_rows(self, row_ids: list[int], *, spare_annotated: bool) -> list[str]:
        """Remove rows that are still there; their run ids."""
        gone = space.delete_rows(self.connection, row_ids, spare_annotated=spare_annotated)
        self._note_deleted(len(gone))
        return gone

    def _note_deleted(self, number: int) -> None:
        self._deleted += number
        if self._deleted > _DELETES_BETWEEN_UPKEEP:
            self._deleted = 0
            space.forget_blocks(self.connection)
        self._check_place()

    def delete_oldest(self, number: int) -> int:
        """Remove so many of the oldest runs; how many there were."""
        undo(self.connection)
        gone = self.connection.execute(space.DELETE_OLDEST, (number,)).rowcount
        self._note_deleted(gone)
        return gone

    def size(self) -> int:
        """The bytes in use."""
        return space.in_use(self.connection)

    def give_back(self, *, all_of_it: bool) -> bool:
        """Give some free pages back; whether there are more."""
        self._log.look()
        if all_of_it:
            space.forget_blocks(self.connection)
            if words.is_useless(self.connection):
                words.rebuild(self.connection)
        more = space.give_back(self.connection, all_of_it=all_of_it)
        if all_of_it and not more:
            self._log.begin_again()
        return more

    def is_wasteful(self) -> bool:
        """Whether only a VACUUM can give back what is free."""
        return space.is_wasteful(self.connection)

    def annotate(self, given: Sequence[Annotation]) -> Sequence[Annotation] | str:
        """Keep annotations, all or none; or say which run is not there."""
        kept = annotation_rows.annotate(self.connection, self._where, given)
        self._check_place()
        return kept

    def remove_annotations(self, run_id: str, name: str | None, annotation_id: str | None) -> int:
        """Remove annotations of a run; how many there were."""
        undo(self.connection)
        removed = annotation_rows.remove(self.connection, run_id, name, annotation_id)
        self._check_place()
        return removed

    def delete(self, run_id: str) -> bool:
        """Remove a trace; whether there was one."""
        undo(self.connection)
        deleted = self.connection.execute("DELETE FROM traces WHERE run_id = ?", (run_id,))
        self._check_place()
        return deleted.rowcount > 0


def _is_about_a_row(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM)


@cache
def insert_sql(rows: int) -> str:
    """The statement that takes so many rows in."""
    one = f"({','.join('?' * _COLUMNS)})"
    return f"INSERT INTO incoming_traces VALUES {','.join([one] * rows)}"


def _chunks(rows: Sequence[WrittenTrace]) -> Iterator[Sequence[WrittenTrace]]:
    """The rows, so many at once as one statement should hold."""
    start = size = 0
    for number, row in enumerate(rows):
        size += len(row.trace)
        full = number - start >= _TRACES_PER_STATEMENT or size > _BYTES_PER_STATEMENT
        if full and number > start:
            yield rows[start:number]
            start, size = number, len(row.trace)
    if rows:
        yield rows[start:]
