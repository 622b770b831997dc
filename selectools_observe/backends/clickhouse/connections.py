"""How runs are written and read over the servers of one event loop, or of all threads.

ClickHouse has no transactions and no unique keys, so a save takes several statements, each of which
may be done again:

1. ask which of the runs are there already, and for the newest place;
2. note those that are there in ``replacing``;
3. insert into ``keys``, then into ``traces``: now it is acknowledged durable;
4. ask again, and delete all rows of a run but its newest.

A program that is killed before the fourth leaves both rows of a run. Whoever opens the store next
finds it in ``replacing`` and deletes the older one.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

from ...errors import StorageError
from ...model import timestamps
from ...model.annotations import Annotation
from ...runtime.batching import AwaitedBatcher
from ...runtime.interface import Runtime
from ..sql.row import Row
from . import native, queries, schema
from .address import Address
from .annotation_table import AnnotationTable
from .driver import ClickHouseError
from .driver_errors import is_passing
from .native import Block
from .rows import (
    WRITER_BITS,
    TraceRow,
    block_of,
    key_block,
    noted_block,
    packed_key,
    place_of,
)
from .servers import Servers

T = TypeVar("T")
Unit: TypeAlias = Sequence[TraceRow]
"""Rows that are saved all or none."""

_UNITS_AT_ONCE = 4096
_KEYS_AT_ONCE = 10_000
_FEW_KEYS = 100  # that a question names itself
# How far apart clocks may be, and how long an insert may take, for a run that two writers save in
# one moment to be found by the second of them, microseconds.
_MARGIN = 900 * 1_000_000
_LATER = {"lightweight_deletes_sync": 0}
_NOTES_KEPT = 3600  # seconds


class Connections:
    """The statements of a store; at most one that writes at a time.

    Args:
        runtime: The store's.
        address: The servers'.
    """

    def __init__(self, runtime: Runtime, address: Address) -> None:
        self._runtime = runtime
        self._address = address
        self._database = address.database
        self._servers = Servers(runtime, address)
        self._writer = secrets.randbits(WRITER_BITS)
        self._last_us = 0
        self._now = timestamps.now()
        self._is_prepared = False
        self._annotations = AnnotationTable(
            address.shown,
            f"{self._database}.annotations",
            self._about,
            self._insert_annotations,
        )
        # No load waits for a save or for a long question.
        self._preparing, self._writing, self._loading, self._scanning, self._counting = (
            runtime.lock() for _ in range(5)
        )
        self._saves: AwaitedBatcher[Unit, None] = AwaitedBatcher(
            runtime, self._save_units, largest=_UNITS_AT_ONCE
        )
        self._loads: AwaitedBatcher[bytes, Row | None] = AwaitedBatcher(
            runtime, self.load, largest=_UNITS_AT_ONCE
        )

    # Writing.

    async def save(self, rows: Sequence[TraceRow]) -> None:
        """Save rows in their order, together with others that come meanwhile."""
        await self._saves.submit(rows)

    async def update(self, key: bytes, change: Callable[[Row | None], TraceRow | None]) -> bool:
        """Save what is made of a stored row, if something is; whether it was."""
        return await self._to_the_end(partial(self._update, key, change))

    async def delete(self, keys: Sequence[bytes]) -> int:
        """Remove runs; how many there were."""
        return await self._to_the_end(partial(self._delete, keys))

    async def _to_the_end(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do work that changes something, alone, whoever is cancelled meanwhile."""
        await self._ready()
        return await self._runtime.finish(partial(self._runtime.with_lock, self._writing, work))

    async def _save_units(self, units: Sequence[Unit]) -> Sequence[Exception | None]:
        """Save all of them as one block; where one is refused, each as its own."""
        await self._ready()
        try:
            await self._save_alone([row for unit in units for row in unit])
        except StorageError as error:
            cause = error.__cause__
            if len(units) == 1 or not isinstance(cause, ClickHouseError) or is_passing(cause):
                raise
            return [await self._refusal(unit) for unit in units]
        return [None] * len(units)

    async def _refusal(self, unit: Unit) -> Exception | None:
        try:
            await self._save_alone(unit)
        except StorageError as error:
            return error
        return None

    async def _save_alone(self, rows: Sequence[TraceRow]) -> None:
        await self._runtime.with_lock(self._writing, partial(self._save_rows, rows))

    async def _save_rows(self, rows: Sequence[TraceRow]) -> None:
        newest: dict[bytes, TraceRow] = {}
        for row in rows:  # of one run that is there twice, the later counts, in its own place
            newest.pop(row.key, None)
            newest[row.key] = row
        stored = await self._places_of(list(newest))
        await self._insert(list(newest.values()), stored)

    async def _insert(
        self, rows: Sequence[TraceRow], stored: Sequence[Row], token: str = ""
    ) -> int:
        """Insert rows in place of those that are stored; the place of the first."""
        first_us = await self._next_us(len(rows))
        keys = [row.key for row in rows]
        places = [
            native.place(place_of(first_us + number, self._writer)) for number in range(len(rows))
        ]
        created_us = timestamps.to_microseconds(self._now)
        token = token or f"{self._writer:x}-{first_us}"
        if stored:
            await self._insert_into("replacing", noted_block([key for key, _ in stored]), token)
        await self._insert_into("keys", key_block(keys, places), f"{token}-{first_us}")
        await self._insert_into("traces", block_of(rows, places, created_us), token)
        again = [key for key, _ in stored]
        again += await self._saved_by_others(keys, place_of(max(0, first_us - _MARGIN), 0))
        if again:
            await self._delete_older([*stored, *await self._places_of(list(dict.fromkeys(again)))])
        return place_of(first_us, self._writer)

    async def _saved_by_others(self, keys: Sequence[bytes], since: int) -> Sequence[bytes]:
        """Those of the runs that another writer saved from that place on, perhaps just now."""
        if not await self._servers.query(
            queries.row_of_others(self._database, since, self._writer)
        ):
            return []
        ask = partial(queries.keys_of_others, self._database, since, self._writer)
        return [native.uuid(key.bytes) for (key,) in await self._about(ask, keys)]

    async def _insert_into(self, table: str, block: Block, token: str) -> None:
        settings: dict[str, object] = {"insert_deduplication_token": token}
        if self._address.quorum != "0":
            settings["insert_quorum"] = self._address.quorum
        await self._servers.insert(f"{self._database}.{table}", block, settings)

    async def _next_us(self, many: int) -> int:
        """The first of so many microseconds: now, but after all that was saved before."""
        newest = await self._servers.query(queries.newest(self._database))
        last_us = newest[0][0] >> WRITER_BITS if newest else 0
        self._now = timestamps.now()
        now_us = max(0, timestamps.to_microseconds(self._now))
        first = max(now_us, last_us + 1, self._last_us + 1)
        self._last_us = first + many - 1
        return first

    async def _delete_older(self, rows: Iterable[Row]) -> None:
        """Delete all but the newest row of each run."""
        places: dict[bytes, set[int]] = {}
        for key, place in rows:
            places.setdefault(key, set()).add(place)
        older = [place for found in places.values() for place in found - {max(found)}]
        if older:
            await self._delete_places(older)
            noted = queries.literal_keys(key for key, found in places.items() if len(found) > 1)
            done = f"DELETE FROM {self._local('replacing')} WHERE key IN {noted}"
            await self._servers.command_on_all(done, _LATER)

    async def _delete_places(self, places: Iterable[int]) -> None:
        for some in _parts(list(places)):
            for table in ("traces", "keys"):
                sql = queries.deletion(self._local(table), some)
                await self._servers.command_on_all(sql)

    def _local(self, table: str) -> str:
        return f"{self._database}.{table}{'_local' if self._address.cluster else ''}"

    async def delete_at(self, rows: Sequence[Row]) -> set[int]:
        """Delete the rows at these places that are their run's newest; the places."""
        return await self._to_the_end(partial(self._delete_at, rows))

    async def _delete_at(self, rows: Sequence[Row]) -> set[int]:
        newest: dict[bytes, int] = {}
        for key, place in await self._places_of([row[0] for row in rows]):
            newest[key] = max(place, newest.get(key, place))
        places = {row[1] for row in rows if newest.get(row[0]) == row[1]}
        if places:
            await self._delete_places(places)
            gone = [key for key, place in newest.items() if place in places]
            await self._annotations.remove(gone)
        return places

    async def _delete(self, keys: Sequence[bytes]) -> int:
        stored = await self._places_of(keys)
        if stored:
            await self._delete_places([place for _, place in stored])
        await self._annotations.remove(keys)  # also if somebody was killed before this
        return len({key for key, _ in stored})

    async def _update(self, key: bytes, change: Callable[[Row | None], TraceRow | None]) -> bool:
        while True:
            rows = await self._rows_of_keys("place, trace, crc", [key])
            changed = change(rows[0] if rows else None)
            if changed is None:
                return False
            # Of two updates of one version, the server takes the first that has this token.
            token = f"update-{key.hex()}-{rows[0][1] if rows else 0}"
            place = await self._insert([changed], [row[:2] for row in rows], token)
            if await self._is_there(place):
                return True
            if not rows and not await self._rows_of_keys("place", [key]):
                # The token was used by an update before the run was deleted.
                await self._insert([changed], [])
                return True
            # Somebody updated it meanwhile: once more, with what is there now.

    async def _is_there(self, place: int) -> bool:
        return bool(await self._servers.query(queries.row_at(self._database, place)))

    # Annotations.

    async def annotations(self, keys: Sequence[bytes]) -> dict[str, list[Annotation]]:
        """The annotations of runs, by run id."""
        await self._ready()
        work = partial(self._annotations.of, keys)
        return await self._runtime.with_lock(self._scanning, work)

    async def annotate(self, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        """Add annotations; or the id of a run that is not there."""
        return await self._to_the_end(partial(self._annotate, annotations))

    async def remove_annotations(
        self, key: bytes, name: str | None, annotation_id: str | None
    ) -> int:
        """Remove annotations of a run; how many."""
        return await self._to_the_end(partial(self._annotations.remove, [key], name, annotation_id))

    async def present(self, keys: Sequence[bytes]) -> set[bytes]:
        """Which of the runs are there."""
        await self._ready()
        return {row[0] for row in await self._places_of(keys)}

    async def _annotate(self, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        asked = {packed_key(one.run_id): one.run_id for one in annotations}
        missing = await self._missing(asked)
        if missing is not None:
            return missing
        made = await self._annotations.put(annotations)
        missing = await self._missing(asked)  # deleted meanwhile
        if missing is not None:
            await self._annotations.remove([packed_key(missing)])
            return missing
        return made

    async def _missing(self, asked: dict[bytes, str]) -> str | None:
        """The first of the runs that is not there."""
        present = {row[0] for row in await self._places_of(list(asked))}
        return next((run_id for key, run_id in asked.items() if key not in present), None)

    async def _insert_annotations(self, block: Block) -> None:
        token = f"{self._writer:x}-{secrets.token_hex(8)}"
        await self._insert_into("annotations", block, token)

    # Reading.

    async def load_one(self, key: bytes) -> Row | None:
        """The key, the JSON and the checksum of a trace, read together with others."""
        return await self._loads.submit(key)

    async def load(self, keys: Sequence[bytes]) -> Sequence[Row | None]:
        """The key, the JSON and the checksum of each trace, in this order; None where it is not."""
        await self._ready()
        work = partial(self._rows_of_keys, "trace, crc", list(dict.fromkeys(keys)))
        rows = await self._runtime.with_lock(self._loading, work)
        found = {row[0]: row for row in reversed(rows)}  # of two, the newer is kept
        return [found.get(key) for key in keys]

    async def scan(self, sql: str) -> Sequence[Row]:
        """Read a page."""
        await self._ready()
        return await self._runtime.with_lock(self._scanning, partial(self._servers.query, sql))

    async def count(self, sql: str) -> Sequence[Row]:
        """Read what may be all of the table."""
        await self._ready()
        return await self._runtime.with_lock(self._counting, partial(self._servers.query, sql))

    async def keep(self, sql: str) -> None:
        """Execute a statement that keeps what may be all of the table's sums."""
        await self._runtime.with_lock(self._counting, partial(self._servers.command, sql))

    async def _rows_of_keys(self, columns: str, keys: Sequence[bytes]) -> Sequence[Row]:
        """The key and columns of the rows of these runs, newest first."""
        ask = partial(queries.rows_of_keys, self._database, f"key, {columns}")
        return [(native.uuid(row[0].bytes), *row[1:]) for row in await self._about(ask, keys)]

    async def _about(self, sql: Callable[[str], str], keys: Sequence[bytes]) -> Sequence[Row]:
        """The rows of a question about keys, which the SQL is made with."""
        if len(keys) <= _FEW_KEYS:
            return await self._servers.query(sql(queries.literal_keys(keys)))
        found: list[Row] = []
        for some in _parts(keys):
            found += await self._servers.query(sql("asked"), b"".join(some))
        return found

    async def _places_of(self, keys: Sequence[bytes]) -> Sequence[Row]:
        """The key and the place of each row of these runs."""
        if len(keys) > _FEW_KEYS:  # most are new, and `keys` alone tells
            found = await self._about(partial(queries.known_keys, self._database), keys)
            keys = [native.uuid(key.bytes) for (key,) in found]
        return await self._rows_of_keys("place", keys) if keys else []

    # Opening and closing.

    async def _ready(self) -> None:
        if not self._is_prepared:
            await self._runtime.with_lock(self._preparing, self._prepare)

    async def _prepare(self) -> None:
        if not self._is_prepared:
            await schema.prepare(self._servers, self._address)
            await self._finish_replacing()
            self._is_prepared = True

    async def _finish_replacing(self) -> None:
        """Delete the older rows that a program which was killed left."""
        noted = await self._servers.query(f"SELECT DISTINCT key FROM {self._database}.replacing")
        if noted:
            rows = await self._places_of([native.uuid(key.bytes) for (key,) in noted])
            await self._delete_older(rows)
            old = f"noted < now() - {_NOTES_KEPT}"
            await self._servers.command_on_all(
                f"DELETE FROM {self._local('replacing')} WHERE {old}", _LATER
            )

    @property
    def is_open(self) -> bool:
        """Whether a connection is open."""
        return self._servers.is_open

    async def close(self) -> None:
        """Finish what was begun, and close."""
        for lock in (self._writing, self._loading, self._scanning, self._counting):
            await self._runtime.with_lock(lock, _nothing)
        self._servers.close()

    def abandon(self) -> None:
        """Close without waiting."""
        self._servers.close()


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _KEYS_AT_ONCE):
        yield items[start : start + _KEYS_AT_ONCE]


async def _nothing() -> None:
    """What is done while a lock is held to wait for its holder."""
