"""The connections of one event loop, or of all threads: one writes, three read.

No load waits for a commit or for a long query, and no page for a count of a million rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from ...errors import StorageError
from ...runtime.batching import AwaitedBatcher
from ...runtime.interface import Runtime
from ..sql.row import Row
from ..sql.server_base import SummaryRow
from . import schema
from .address import Address
from .binary_rows import binary_rows
from .rows import COLUMNS, PLACES, TraceRow, array_of
from .session import CheckedStatement, Load, Session, Statement, Values, psycopg
from .slot import SessionSlot

T = TypeVar("T")
Unit: TypeAlias = Sequence[TraceRow]
"""Rows that are saved all or none."""

# A writer that stops in the midst must not keep the lock; one that waits must not wait for ever.
_LIMITS = (
    "SELECT set_config('lock_timeout', '30s', true), "
    "set_config('idle_in_transaction_session_timeout', '30s', true)"
)
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_WORTH_LOADING = 32  # rows: a COPY takes three trips to the server more than statements do


class Connections:
    """Slots for connections, each opened at first use.

    Args:
        runtime: The store's.
        address: The server's.
        note_epoch: Told the store's epoch once the tables are there.
    """

    def __init__(
        self, runtime: Runtime, address: Address, note_epoch: Callable[[str], None]
    ) -> None:
        self._address = address
        self._note_epoch = note_epoch
        self._is_prepared = False
        self._writer, self._loader, self._scanner, self._counter = (
            SessionSlot(runtime, address, self._prepare) for _ in range(4)
        )
        self._saves: AwaitedBatcher[Unit, None] = AwaitedBatcher(runtime, self._save_units)
        self._loads: AwaitedBatcher[bytes, Row | None] = AwaitedBatcher(runtime, self.load)
        traces = f"{address.schema}.traces"
        names = [name.strip() for name in COLUMNS.split(",")]
        again = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
        self._upsert = (
            f"INSERT INTO {traces} ({COLUMNS}, created_us) "
            f"VALUES ({PLACES}, coalesce(%s::bigint, {_NOW})) "
            f"ON CONFLICT (key) DO UPDATE SET seq = DEFAULT, created_us = excluded.created_us, "
            f"{again}"
        )
        # A row that the same run had a moment ago is replaced, and no other.
        self._insert = (
            f"INSERT INTO {traces} ({COLUMNS}, created_us) "
            f"VALUES ({PLACES}, coalesce(%s::bigint, {_NOW})) "
            f"ON CONFLICT (key) DO NOTHING RETURNING 1"
        )
        places = dict(zip(names, PLACES.split(", "), strict=True))
        changes = ", ".join(f"{name} = {places[name]}" for name in names[1:])
        self._replace = (
            f"UPDATE {traces} SET seq = DEFAULT, {changes}, "
            f"created_us = coalesce(%s::bigint, {_NOW}) "
            f"WHERE key = %s AND seq = %s RETURNING 1"
        )
        # A count: whether there is any would be looked for by walking through the table.
        self._present = f"SELECT count(*), {_NOW} FROM {traces} WHERE key = ANY(%s::bytea[])"
        self._copy = f"COPY {traces} ({COLUMNS}, created_us) FROM STDIN (FORMAT binary)"
        self._load_version = f"SELECT seq, trace, crc FROM {traces} WHERE key = %s"
        self._load = f"SELECT key, trace, crc FROM {traces} WHERE key = ANY(%s::bytea[])"
        self._lock = f"SELECT pg_advisory_xact_lock({schema.lock_key(address.schema)})"

    async def _prepare(self, session: Session) -> None:
        if not self._is_prepared:
            self._note_epoch(await schema.prepare(session, self._address))
            self._is_prepared = True

    async def save(self, traces: Sequence[TraceRow]) -> None:
        """Save rows, all or none, in their order, together with others that come meanwhile."""
        await self._saves.submit(traces)

    async def _save_units(self, units: Sequence[Unit]) -> Sequence[Exception | None]:
        """Save all of them in one transaction; where one is refused, each in its own."""
        try:
            await self._save_rows([row for unit in units for row in unit])
        except StorageError as error:
            if len(units) == 1 or isinstance(error.__cause__, psycopg.OperationalError):
                raise
            return [await self._refusal(unit) for unit in units]
        return [None] * len(units)

    async def _refusal(self, unit: Unit) -> Exception | None:
        try:
            await self._save_rows(unit)
        except StorageError as error:
            return error
        return None

    async def _save_rows(self, rows: Sequence[TraceRow]) -> None:
        if len(rows) >= _WORTH_LOADING and await self._has_loaded(rows):
            return
        statements: list[Statement] = [
            (_LIMITS, [()]),
            (self._lock, [()]),
            (self._upsert, [(*row.values, row.created_us) for row in rows]),
        ]
        await self._writer.run(lambda session: session.transaction(statements))

    async def _has_loaded(self, rows: Sequence[TraceRow]) -> bool:
        """Save rows of runs that are not there yet; False, and nothing saved, if some are."""
        keys = {row.key for row in rows}
        if len(keys) < len(rows):
            return False

        def load_of(found: Row) -> Load | None:
            there, now_us = found
            return None if there else (self._copy, binary_rows(rows, now_us))

        before: list[Statement] = [(_LIMITS, [()]), (self._lock, [()])]
        asked: CheckedStatement = (self._present, [array_of(keys)])
        return await self._writer.run(lambda session: session.load(before, asked, load_of))

    async def is_read_only(self) -> bool:
        """Whether the server takes no saves; told at once if there is none that answers."""
        sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
        rows = await self._loader.run(lambda session: session.rows(sql), patience=1.0)
        return bool(rows[0][0])

    async def load_one(self, key: bytes) -> Row | None:
        """The key, the JSON and the checksum of a trace, read together with others."""
        return await self._loads.submit(key)

    async def load_version(self, key: bytes) -> tuple[int, bytes, int] | None:
        """A trace with its place in the order of saving, its JSON and its checksum."""
        rows = await self._writer.run(lambda session: session.rows(self._load_version, [key]))
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    async def replace(self, row: TraceRow, version: int | None) -> bool:
        """Save a row in place of that version, None for none; whether it was that version still."""
        key, *others = row.values
        sql, values = (
            (self._insert, (*row.values, row.created_us))
            if version is None
            else (self._replace, (*others, row.created_us, key, version))
        )
        checked: CheckedStatement = (sql, values)
        before: list[Statement] = [(_LIMITS, [()]), (self._lock, [()])]
        return await self._writer.run(lambda session: session.checked(before, checked))

    async def load(self, keys: Sequence[bytes]) -> Sequence[Row | None]:
        """The key, the JSON and the checksum of each trace, in this order; None where it is not."""
        asked = array_of(dict.fromkeys(keys))
        rows = await self._loader.run(lambda session: session.rows(self._load, [asked]))
        found = {row[0]: row for row in rows}
        return [found.get(key) for key in keys]

    async def change_annotations(self, statements: Sequence[Statement]) -> None:
        """Write annotations in one transaction, after those that others write."""
        before: list[Statement] = [(_LIMITS, [()]), (self._lock, [()])]
        await self._writer.run(lambda session: session.transaction([*before, *statements]))

    async def write(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do work that changes the table."""
        return await self._writer.run(work)

    async def scan(self, sql: str, values: Values = ()) -> list[Row]:
        """Read a page."""
        return await self._scanner.run(lambda session: session.rows(sql, values))

    async def scan_summaries(self, sql: str, values: Values = ()) -> list[SummaryRow]:
        """Read the summaries of a page."""
        return [(row[0], row[1], row[2]) for row in await self.scan(sql, values)]

    async def count(self, sql: str, values: Values = ()) -> list[Row]:
        """Read what may be all of the table."""
        return await self._counter.run(lambda session: session.rows(sql, values))

    @property
    def is_open(self) -> bool:
        """Whether a connection is open."""
        return any(slot.is_open for slot in self._slots)

    async def close(self) -> None:
        """Finish what was begun, and close."""
        for slot in self._slots:
            await slot.close()

    def abandon(self) -> None:
        """Close without waiting."""
        for slot in self._slots:
            slot.abandon()

    @property
    def _slots(self) -> tuple[SessionSlot, ...]:
        return (self._writer, self._loader, self._scanner, self._counter)
