"""Compaction: vacuuming a database and reindexing it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable

from ....model.reports import CompactReport, Problem
from ...files.progress import Steps
from ..index import words
from ..index.drift import mend_drift
from ..index.index_upkeep import fill_blocks, index_blocks, index_everything
from ..rollups.rollup_check import forget_rollups
from ..schema import make_index
from ..transaction import transaction
from .verify import Verification, structure


def compacting(connection: sqlite3.Connection, where: str) -> Steps[CompactReport]:
    """Mend the index, give free space back, and empty the write-ahead log."""
    before = _size(connection)
    verification = Verification(connection, where)
    report = yield from verification.steps()
    repaired = [problem for problem in report.problems if problem.index_only]
    left: list[str] = []
    if repaired:
        _mend(connection, where, verification)
    if verification.words_are_damaged or words.is_useless(connection):
        words.rebuild(connection)
    with transaction(connection):
        fill_blocks(connection)
    yield 1, 1
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded by VACUUM: of older files
    connection.execute("VACUUM")
    yield 1, 1
    if mend_drift(connection, where):
        index_everything(connection, where)
    while words.take_in(connection):
        yield 1, 1
    if repaired:
        repaired, left = _what_is_left(connection, repaired)
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        left.append(
            "another program is still reading the write-ahead log: "
            "it is removed when that program has finished"
        )
    after = _size(connection)
    return CompactReport(where, before, after, repaired=tuple(repaired), left=tuple(left))


def _mend(connection: sqlite3.Connection, where: str, verification: Verification) -> None:
    is_whole = not verification.problems.in_runs
    with transaction(connection):
        if is_whole and (verification.index_is_broken or verification.problems.further):
            make_index(connection)
        else:
            # Only what is known to be wrong: the others keep the checksums they were saved with.
            _index_again(connection, verification.damaged_ids)
            index_blocks(connection, sorted(verification.damaged_blocks))
            if verification.wrong_rollups or verification.sums_are_wrong:
                forget_rollups(connection, sorted(verification.wrong_rollups))
        connection.execute("REINDEX traces")
    index_everything(connection, where)


def _index_again(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    for statement in (
        "DELETE FROM trace_facets WHERE id = ?",
        "INSERT OR REPLACE INTO trace_pending (id) SELECT rowid FROM traces WHERE rowid = ?",
    ):
        connection.executemany(statement, [(row_id,) for row_id in ids])


def _what_is_left(
    connection: sqlite3.Connection, repaired: list[Problem]
) -> tuple[list[Problem], list[str]]:
    """What SQLite's own check finds afterwards."""
    still = structure(connection)
    return repaired if not still else [], [f"still damaged, use repair: {text}" for text in still]


def _size(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    _, _, file = connection.execute("PRAGMA database_list").fetchone()
    try:
        return int(pages * page_size) + os.stat(file + b"-wal").st_size
    except OSError:
        return int(pages * page_size)
