"""The table ``annotations``: what is said of runs, beside them.

A row replaces those with the same run and id and a lower version, whenever ClickHouse merges or is
asked for the last of each. A row that says that it is removed hides them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from ...model import timestamps
from ...model.annotations import Annotation, annotation_to_bytes, stamped
from ...model.checksum import checksum
from ..sql.row import Row
from ..sql.server_rows import annotations_of
from . import native
from .rows import packed_key

_COLUMNS = {
    "key": "UUID", "id": "String", "version": "UInt64", "removed": "UInt8", "created_us": "Int64",
    "name": "String", "label": "Nullable(String)", "score": "Nullable(Float64)", "crc": "UInt32",
    "annotation": "String",
}  # fmt: skip
_REMOVED = (True, 0, b"", None, None, 0, b"")  # the columns from `removed` on


class AnnotationTable:
    """Reads and writes annotations. Who writes holds the lock of those who write.

    Args:
        where: The store, for messages.
        table: The table's name.
        ask: Gives the rows of a question about keys: the SQL is made with what they stand as in it.
        insert: Inserts a block of rows.
    """

    def __init__(
        self,
        where: str,
        table: str,
        ask: Callable[[Callable[[str], str], Sequence[bytes]], Awaitable[Sequence[Row]]],
        insert: Callable[[native.Block], Awaitable[None]],
    ) -> None:
        self._where = where
        self._table = table
        self._ask = ask
        self._insert = insert

    async def of(self, keys: Sequence[bytes]) -> dict[str, list[Annotation]]:
        """The annotations of runs, by run id."""
        rows = await self._rows("created_us, crc, annotation", keys)
        return annotations_of(self._where, rows)

    async def put(self, annotations: Sequence[Annotation]) -> Sequence[Annotation]:
        """Add annotations, each `stamped`, in place of those with their ids."""
        keys = list(dict.fromkeys(packed_key(one.run_id) for one in annotations))
        rows = await self._rows("created_us, crc, annotation, version", keys)
        there = annotations_of(self._where, (row[:3] for row in rows))
        now = timestamps.now()
        version = self._version_after(row[3] for row in rows)
        made: list[Annotation] = []
        for one in annotations:
            others = there.setdefault(one.run_id, [])
            made.append(stamped(one, now, others))
            others.append(made[-1])
        # Of one id that is there twice, the later counts.
        await self._insert(_block(_row(one, version + n) for n, one in enumerate(made)))
        return made

    async def remove(
        self, keys: Sequence[bytes], name: str | None = None, annotation_id: str | None = None
    ) -> int:
        """Remove annotations of runs, as far as given only those with this name or id; how many."""
        rows = [
            row
            for row in await self._rows("key, id, name, version", keys)
            if (name is None or row[2].decode() == name)
            and (annotation_id is None or row[1].decode() == annotation_id)
        ]
        if rows:
            version = self._version_after(row[3] for row in rows)
            await self._insert(
                _block((native.uuid(row[0].bytes), row[1], version, *_REMOVED) for row in rows)
            )
        return len(rows)

    async def _rows(self, columns: str, keys: Sequence[bytes]) -> Sequence[Row]:
        return await self._ask(
            lambda wanted: f"SELECT {columns} FROM {self._table} FINAL WHERE key IN {wanted}", keys
        )

    @staticmethod
    def _version_after(versions: Iterable[int]) -> int:
        now_us = timestamps.to_microseconds(timestamps.now())
        return max(now_us, max(versions, default=0) + 1)


def _row(one: Annotation, version: int) -> Row:
    data = annotation_to_bytes(msgspec.structs.replace(one, created_at=None))
    assert one.created_at is not None  # noqa: S101 - it is stamped
    return (
        packed_key(one.run_id),
        one.id.encode(),
        version,
        False,
        timestamps.to_microseconds(one.created_at),
        one.name.encode(),
        None if one.label is None else one.label.encode(),
        None if one.score is None else float(one.score),
        checksum(data),
        data,
    )


def _block(rows: Iterable[Row]) -> native.Block:
    return native.block_of_values(_COLUMNS, *zip(*rows, strict=True))
