"""Annotations checked, and saved from a damaged database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from ..annotation_rows import checked
from ..rows import stored_bytes
from ..schema import has_tables
from ..transaction import transaction
from .row_scan import DATABASE_ERRORS, is_damage

_TABLE = "trace_annotations"
_ALL = "SELECT run_id, id, created_us, name, label, score, annotation, crc FROM trace_annotations"
_COPY = """
    INSERT OR IGNORE INTO trace_annotations
        (run_id, id, created_us, name, label, score, annotation, crc)
    VALUES (CAST(? AS TEXT), CAST(? AS TEXT), ?, CAST(? AS TEXT), CAST(? AS TEXT), ?,
        CAST(? AS TEXT), ?)
"""


def faults_of_annotations(
    connection: sqlite3.Connection, where: str
) -> Iterator[tuple[str, str, str]]:
    """What is wrong in the table of annotations: run, place and problem."""
    try:
        if not has_tables(connection, _TABLE):
            return
        for row in connection.execute(_ALL):
            problem = _problem_of(row)
            if problem is not None:
                run_id = stored_bytes(row[0]).decode(errors="replace")
                yield run_id, f"{where}, table {_TABLE}, id {_shown(row[1])}", problem
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
        # The check of the structure tells where.


def _problem_of(row: tuple[Any, ...]) -> str | None:
    try:
        annotation = checked(row[6], row[7])
    except ValueError as error:
        return str(error)
    if annotation.run_id.encode() != stored_bytes(row[0]):
        return f"it is of run {annotation.run_id!r}"
    return None


def _shown(stored: object) -> str:
    return repr(stored_bytes(stored).decode(errors="replace"))


def copy_annotations(
    source: sqlite3.Connection, target: sqlite3.Connection
) -> Iterator[tuple[str | None, str]]:
    """Copy the annotations that are whole; the run and the trouble of each that is not."""
    try:
        if not has_tables(source, _TABLE):
            return
    except DATABASE_ERRORS:  # what tables there were nobody can tell
        return
    try:
        with transaction(target):
            for row in source.execute(_ALL):
                problem = _problem_of(row)
                if problem is None:
                    target.execute(_COPY, row)
                else:
                    yield stored_bytes(row[0]).decode(errors="replace"), f"annotation: {problem}"
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
        yield None, f"annotations that cannot be read: {error}"
