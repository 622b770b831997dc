"""The rows of ``annotations``: the SQL that writes and reads them, and what is read out of one."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...model import timestamps
from ...model.annotations import Annotation, annotation_to_bytes
from ...model.checksum import checksum
from ..sql.server_rows import key_of
from .session import Values

# Without a time of its own, the server's, or the microsecond after the newest of the run.
_CREATED = """
    coalesce(%s::bigint, greatest(
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
        (SELECT max(created_us) + 1 FROM {table} WHERE key = %s)
    ))
"""
_COLUMNS = ("name", "label", "score", "crc", "annotation")


def upsert(table: str) -> str:
    """SQL that adds an annotation, or puts it in the place of the one with its id."""
    again = ", ".join(f"{name} = excluded.{name}" for name in ("created_us", *_COLUMNS))
    return (
        f"INSERT INTO {table} (key, id, created_us, {', '.join(_COLUMNS)}) "
        f"VALUES (%s, %s, {_CREATED.format(table=table)}, %s, %s, %s, %s, %s) "
        f"ON CONFLICT (key, id) DO UPDATE SET {again}"
    )


def row_of(annotation: Annotation) -> tuple[Any, ...]:
    """The values of `upsert`."""
    key = key_of(annotation.run_id)
    moment = annotation.created_at
    data = annotation_to_bytes(replace(annotation, created_at=None))
    return (
        key,
        annotation.id,
        None if moment is None else timestamps.to_microseconds(moment),
        key,
        annotation.name,
        annotation.label,
        None if annotation.score is None else float(annotation.score),
        checksum(data),
        data,
    )


def select(table: str) -> str:
    """SQL for the annotations of runs, for `annotations_of`."""
    return f"SELECT created_us, crc, annotation FROM {table} WHERE key = ANY(%s::bytea[])"


def removal(
    table: str, run_id: str, name: str | None, annotation_id: str | None
) -> tuple[str, Values]:
    """SQL that removes annotations of a run; a row for each."""
    conditions, values = ["key = %s"], [key_of(run_id)]
    for column, value in (("name", name), ("id", annotation_id)):
        if value is not None:
            conditions.append(f"{column} = %s")
            values.append(value)  # type: ignore[arg-type]
    return f"DELETE FROM {table} WHERE {' AND '.join(conditions)} RETURNING 1", values
