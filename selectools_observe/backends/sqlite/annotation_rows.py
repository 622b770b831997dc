"""The table of annotations: how they are written, and read for runs and for summaries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from ...model import timestamps
from ...model.annotations import (
    Annotation,
    Latest,
    annotation_from_bytes,
    annotation_to_bytes,
    in_order,
    latest_of,
    stamped,
)
from ...model.checksum import checksum
from .rows import stored_bytes, warn_once
from .transaction import transaction

_RUNS_AT_ONCE = 256

_OF_RUNS = "SELECT run_id, annotation, crc FROM trace_annotations WHERE run_id"
_INSERT = """
    INSERT OR REPLACE INTO trace_annotations
        (run_id, id, created_us, name, label, score, annotation, crc)
    VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?)
"""
_DAMAGED = "its checksum does not match: it was damaged after it was saved"


def annotate(
    connection: sqlite3.Connection, where: str, annotations: Sequence[Annotation]
) -> list[Annotation] | str:
    """Write annotations in one transaction; or the id of a run that is not there."""
    with transaction(connection):
        run_ids = list(dict.fromkeys(one.run_id for one in annotations))
        present = _present(connection, run_ids)
        for run_id in run_ids:
            if run_id not in present:
                return run_id
        others = read(connection, where, run_ids)
        made: list[Annotation] = []
        for one in annotations:
            before = others.setdefault(one.run_id, [])
            made.append(stamped(one, timestamps.now(), before))
            before.append(made[-1])
        connection.executemany(_INSERT, [_row(one) for one in made])
    return made


def _row(annotation: Annotation) -> tuple[Any, ...]:
    assert annotation.created_at is not None  # noqa: S101 - it is stamped
    data = annotation_to_bytes(annotation)
    return (
        annotation.run_id,
        annotation.id,
        timestamps.to_microseconds(annotation.created_at),
        annotation.name,
        annotation.label,
        None if annotation.score is None else float(annotation.score),
        data,
        checksum(data),
    )


def remove(
    connection: sqlite3.Connection, run_id: str, name: str | None, annotation_id: str | None
) -> int:
    """Remove the annotations of a run that have the name and the id, as far as these are given."""
    removed = connection.execute(
        "DELETE FROM trace_annotations WHERE run_id = ? AND (? IS NULL OR name = ?) "
        "AND (? IS NULL OR id = ?)",
        (run_id, name, name, annotation_id, annotation_id),
    )
    return removed.rowcount


def annotations_of_runs(
    connection: sqlite3.Connection, where: str, run_ids: Sequence[str]
) -> list[list[Annotation] | None]:
    """The annotations of each run, oldest first; None where there is no such run."""
    present = _present(connection, run_ids)
    found = read(connection, where, run_ids)
    return [in_order(found.get(r, [])) if r in present else None for r in run_ids]


def _present(connection: sqlite3.Connection, run_ids: Sequence[str]) -> set[str]:
    present: set[str] = set()
    for start in range(0, len(run_ids), _RUNS_AT_ONCE):
        some = run_ids[start : start + _RUNS_AT_ONCE]
        rows = connection.execute(
            f"SELECT run_id FROM traces WHERE run_id IN ({','.join('?' * len(some))})", some
        )
        present.update(_text(row[0]) for row in rows)
    return present


def read(
    connection: sqlite3.Connection, where: str, run_ids: Iterable[str]
) -> dict[str, list[Annotation]]:
    """The annotations of those of the runs that have some; what is damaged is logged, left out."""
    asked = list(run_ids)
    found: dict[str, list[Annotation]] = {}
    for start in range(0, len(asked), _RUNS_AT_ONCE):
        some = asked[start : start + _RUNS_AT_ONCE]
        rows = connection.execute(f"{_OF_RUNS} IN ({','.join('?' * len(some))})", some)
        for stored_id, *stored in rows.fetchall():
            run_id = _text(stored_id)
            try:
                found.setdefault(run_id, []).append(checked(*stored))
            except ValueError as error:
                warn_once(where, stored_id, f"annotation skipped: {error}")
    return found


def checked(stored: object, crc: object) -> Annotation:
    """The annotation of a row.

    Raises:
        ValueError: It is not what was saved.
    """
    data = stored_bytes(stored)
    if checksum(data) != crc:
        raise ValueError(_DAMAGED)
    return annotation_from_bytes(data)


def latest(connection: sqlite3.Connection, where: str, run_ids: Iterable[str]) -> dict[str, Latest]:
    """What the summaries of those runs tell that have annotations."""
    return {run_id: latest_of(those) for run_id, those in read(connection, where, run_ids).items()}


def annotated_runs(names: Iterable[str | None]) -> tuple[str, list[str]]:
    """The condition on ``traces`` that a run has an annotation of each name, None being any."""
    parts, values = [], []
    for name in dict.fromkeys(names):
        of_name = "" if name is None else " WHERE name = ?"
        parts.append(f"run_id IN (SELECT run_id FROM trace_annotations{of_name})")
        if name is not None:
            values.append(name)
    return " AND ".join(parts), values


def has_some(connection: sqlite3.Connection) -> bool:
    """Whether any run is annotated."""
    question = "SELECT 1 FROM trace_annotations LIMIT 1"
    return connection.execute(question).fetchone() is not None


def _text(stored: object) -> str:
    return stored_bytes(stored).decode(errors="replace")
