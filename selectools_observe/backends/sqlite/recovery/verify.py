"""Checking a database from end to end: its structure, every row, and the index against the rows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TypeVar

from ....model.reports import VerifyReport
from ....model.trace import AgentTrace
from ....runtime.gil import GilYielder
from ...files.progress import Problems, Steps
from ..foreign_objects import foreign_objects, problem_of
from ..index import words
from ..index.check import ROW_IS_GONE, facets_at, faults_of_block, ids_without_row, is_pending
from ..index.index_upkeep import BLOCK
from ..index.word_check import is_sampled, unknown_runs
from ..rollups.rollup_check import faults_of_rollups, wrong_sums
from ..schema import VERSION, version_of
from .annotation_check import faults_of_annotations
from .row_check import check
from .row_scan import (
    DATABASE_ERRORS,
    Gap,
    StoredRow,
    ids_known,
    is_damage,
    named_gaps,
    rows_and_gaps,
)

_MOST_MESSAGES = 100  # of SQLite's own check
_AT_A_STRETCH = 0.05  # seconds of one step
_IN_WORDS = "the database is damaged, but no run is: {}"

T = TypeVar("T")


def verifying(connection: sqlite3.Connection, where: str) -> Steps[VerifyReport]:
    """Check a database, by reading only."""
    return (yield from Verification(connection, where).steps())


class Verification:
    """One check of a database.

    Attributes:
        problems: What was found.
        checked: How many runs are whole.
        damaged_ids: Rows of which the index says something wrong.
        damaged_blocks: Blocks of the index that leave something out.
        index_is_broken: Whether some of the index cannot even be read.
        wrong_rollups: Blocks of which is kept what their runs do not say.
        sums_are_wrong: Whether sums of several blocks are not what these add up to.
        words_are_damaged: Whether the index of words is to be rebuilt.
    """

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._connection = connection
        self._where = where
        self.problems = Problems()
        self.checked = 0
        self.damaged_ids: set[int] = set()
        self.damaged_blocks: set[int] = set()
        self.index_is_broken = False
        self.words_are_damaged = False
        self.wrong_rollups: set[int] = set()
        self.sums_are_wrong = False
        self._gaps: list[Gap] = []
        self._has_index = version_of(connection) == VERSION

    def steps(self) -> Steps[VerifyReport]:
        """All of it."""
        messages = structure(self._connection)
        found = foreign_objects(self._connection)
        if found:
            self.problems.add(None, self._where, problem_of(found))
        place, newest = ids_known(self._connection)
        yield 0, newest
        while place <= newest:
            place = self._some_rows(place, newest)
            yield max(0, min(place - 1, newest)), newest
        self._tell_gaps()
        self._tell_wrong_sums()
        for run_id, where, problem in faults_of_annotations(self._connection, self._where):
            self.problems.add(run_id, where, problem)
        for message in messages:
            # Every row was read and is whole: what is damaged is something else.
            is_index = not self.problems.in_runs
            self.words_are_damaged |= words.TABLE in message
            text = _IN_WORDS.format(message) if is_index else message
            self.problems.add(None, self._where, text, index_only=is_index)
        return VerifyReport(
            self._where,
            self.checked,
            problems=tuple(self.problems.kept),
            further=self.problems.further,
        )

    def _some_rows(self, first: int, newest: int) -> int:
        """Check rows for a moment, in one snapshot; the id to go on with."""
        self._connection.execute("BEGIN")
        try:
            return self._rows_of_moment(first, newest)
        finally:
            if self._connection.in_transaction:
                with suppress(*DATABASE_ERRORS):  # a damage that was met is told once more
                    self._connection.execute("ROLLBACK")

    def _rows_of_moment(self, first: int, newest: int) -> int:
        deadline, yielder = time.monotonic() + _AT_A_STRETCH, GilYielder()
        blocks: set[int] = set()
        ids: list[int] = []
        sampled: dict[int, AgentTrace] = {}
        end, block = newest + 1, first // BLOCK
        with closing(rows_and_gaps(self._connection, first, newest)) as found:
            for item in found:
                reached = (item.first if isinstance(item, Gap) else item.row_id) // BLOCK
                # Whole blocks: what the index says of one is compared with all of its rows.
                if reached > block and time.monotonic() > deadline:
                    end = reached * BLOCK
                    break
                block = reached
                if isinstance(item, Gap):
                    self._gaps.append(item)
                else:
                    blocks.add(block)
                    trace = self._row(item)
                    if trace is not None:
                        ids.append(item.row_id)
                        if is_sampled(item.row_id):
                            sampled[item.row_id] = trace
                yielder.maybe_yield()
        self._lost_between(first, end - 1)
        for block in sorted(blocks):
            self._block(block)
            self._rollups(block, ids)
        self._look_up(ids, sampled)
        return end

    def _row(self, row: StoredRow) -> AgentTrace | None:
        """Check a row; its trace if it is whole."""
        facets = self._about_index(lambda: facets_at(self._connection, row.row_id), None)
        found = check(row, facets)
        self.checked += found.is_whole
        run_id = _text(row.run_id)
        for fault in found.faults:
            self.problems.add(
                run_id, self._row_name(row.row_id), fault.problem, index_only=fault.index_only
            )
        missing = facets is None and self._has_index and found.is_whole
        if missing and not self._about_index(
            lambda: is_pending(self._connection, row.row_id), default=False
        ):
            problem = "it is missing from the index"
            self.problems.add(run_id, self._row_name(row.row_id), problem, index_only=True)
        if found.is_whole and (found.faults or missing):
            self.damaged_ids.add(row.row_id)
        return found.trace if found.is_whole else None

    def _look_up(self, ids: list[int], sampled: dict[int, AgentTrace]) -> None:
        """Runs that the index of words should know."""
        if not self._has_index or self.words_are_damaged:
            return
        try:
            unknown = unknown_runs(self._connection, ids, sampled)
            problem = f"it leaves out words of {unknown} runs or more" if unknown else None
        except sqlite3.Error as error:
            problem = f"it cannot be read: {error}"
        if problem is not None:
            self.words_are_damaged = True
            place = f"{self._where}, the index of words"
            self.problems.add(None, place, problem, index_only=True)

    def _lost_between(self, first: int, last: int) -> None:
        """Rows of which only the index still knows."""
        if not self._has_index:
            return
        try:
            ids = ids_without_row(self._connection, first, last)
        except DATABASE_ERRORS as error:
            if not is_damage(error):
                raise
            return  # of either: both have been told of
        self._gaps += [Gap(row_id, row_id, ROW_IS_GONE) for row_id in ids]

    def _block(self, block: int) -> None:
        none: list[str] = []
        faults = self._about_index(lambda: list(faults_of_block(self._connection, block)), none)
        if faults:
            self.damaged_blocks.add(block)
        for problem in faults:
            place = f"{self._where}, block {block} of the index"
            self.problems.add(None, place, problem, index_only=True)

    def _rollups(self, block: int, whole_ids: list[int]) -> None:
        def ask() -> list[str]:
            return list(faults_of_rollups(self._connection, self._where, block, whole_ids))

        none: list[str] = []
        for problem in self._about_index(ask, none):
            self.wrong_rollups.add(block)
            place = f"{self._where}, block {block} of the index"
            self.problems.add(None, place, problem, index_only=True)

    def _tell_wrong_sums(self) -> None:
        none: list[tuple[int, int]] = []
        for level, part in self._about_index(lambda: list(wrong_sums(self._connection)), none):
            self.sums_are_wrong = True
            place = f"{self._where}, sums of level {level}, part {part}"
            problem = "they are not what the blocks within add up to"
            self.problems.add(None, place, problem, index_only=True)

    def _about_index(self, ask: Callable[[], T], default: T) -> T:
        """What the index says; of one that cannot be read, SQLite's own check has told."""
        if not self._has_index:
            return default
        try:
            return ask()
        except DATABASE_ERRORS as error:
            if not is_damage(error):
                raise
            if not self.index_is_broken:
                self.index_is_broken = True
                place = f"{self._where}, the index"
                self.problems.add(None, place, f"it cannot be read: {error}", index_only=True)
            return default

    def _tell_gaps(self) -> None:
        """What could not be read, run by run as far as anybody knows their names."""
        for run_id, gap in named_gaps(self._connection, self._gaps):
            where = self._row_name(gap.first)
            if gap.last > gap.first:
                where += f" to {gap.last}"
            self.problems.add(run_id, where, gap.reason)

    def _row_name(self, row_id: int) -> str:
        return f"{self._where}, table traces, row {row_id}"


def structure(connection: sqlite3.Connection) -> list[str]:
    """What SQLite's own check says; nothing, if all is well."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_MOST_MESSAGES})").fetchall()
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
        return [str(error)]
    found = [_text(row[0]) for row in rows]
    return [] if found == ["ok"] else found


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
