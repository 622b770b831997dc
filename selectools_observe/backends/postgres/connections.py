"""The connections of one event loop, or of all threads: one writes, four read.

No load waits for a commit or for a long query, and no page for a count of a million rows, nor for
another that is put in order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeAlias, TypeVar

from ...errors import StorageError
from ...runtime.batching import AwaitedBatcher
from ...runtime.interface import Runtime
from ..sql.row import Row
from ..sql.server_base import SummaryRow
from . import save_sql, schema
from .address import Address
from .binary_rows import arrays_of
from .rows import TraceRow, array_of
from .session import RowArray, Session, Statement, Values, psycopg
from .slot import SessionSlot

T = TypeVar("T")
Unit: TypeAlias = Sequence[TraceRow]
"""Rows that are saved all or none."""


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
        self._writer, self._loader, self._scanner, self._sorter, self._counter = (
            SessionSlot(runtime, address, self._prepare) for _ in range(5)
        )
        self._saves: AwaitedBatcher[Unit, None] = AwaitedBatcher(
            runtime, self._save_units, overlaps=True
        )
        self._loads: AwaitedBatcher[bytes, Row | None] = AwaitedBatcher(
            runtime, self.load, overlaps=True
        )
        name = address.schema
        traces = f"{name}.traces"
        self._before: list[Statement] = [(save_sql.before(name), [()])]
        self._save_one, self._save = save_sql.call(name), save_sql.save(name)
        # A row that the same run had a moment ago is replaced, and no other.
        self._insert, self._replace = save_sql.insert(name), save_sql.replace(name)
        self._run_type = f"SELECT '{name}.saved_run'::regtype::oid::bigint"
        self._load_version = f"SELECT seq, trace, crc FROM {traces} WHERE key = %s"
        self._load = f"SELECT key, trace, crc FROM {traces} WHERE key = ANY(%s::bytea[])"

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
        async def save(session: Session, run_type: int) -> None:
            saves = [(RowArray(each),) for each in arrays_of(rows, run_type)]
            if len(saves) == 1:
                await session.rows(self._save_one, saves[0])
            else:
                await session.transaction([*self._before, (self._save, saves)])

        await self._write_rows(save)

    async def _write_rows(self, write: Callable[[Session, int], Awaitable[T]]) -> T:
        """Do work that is given the number of the rows' type, which a session asks for once."""

        async def work(session: Session) -> T:
            known = session.run_type
            if known is not None:
                with suppress(psycopg.errors.DatatypeMismatch):  # the tables were made anew
                    return await write(session, known)
            ((session.run_type,),) = await session.rows(self._run_type)
            return await write(session, session.run_type)

        return await self._writer.run(work)

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

        async def replace(session: Session, run_type: int) -> bool:
            (saved,) = map(RowArray, arrays_of([row], run_type))
            done = (
                (self._insert, [[saved]])
                if version is None
                else (self._replace, [[saved, version]])
            )
            return bool(await session.transaction([*self._before, done]))

        return await self._write_rows(replace)

    async def load(self, keys: Sequence[bytes]) -> Sequence[Row | None]:
        """The key, the JSON and the checksum of each trace, in this order; None where it is not."""
        asked = array_of(dict.fromkeys(keys))
        rows = await self._loader.run(lambda session: session.rows(self._load, [asked]))
        found = {row[0]: row for row in rows}
        return [found.get(key) for key in keys]

    async def change_annotations(self, statements: Sequence[Statement]) -> None:
        """Write annotations in one transaction, after those that others write."""
        every = [*self._before, *statements]
        await self._writer.run(lambda session: session.transaction(every))

    async def write(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do work that changes the table."""
        return await self._writer.run(work)

    async def scan(self, sql: str, values: Values = ()) -> list[Row]:
        """Read a page."""
        return await self._scanner.run(lambda session: session.rows(sql, values))

    async def scan_summaries(self, sql: str, values: Values = ()) -> list[SummaryRow]:
        """Read the summaries of a page."""
        return [(row[0], row[1], row[2]) for row in await self.scan(sql, values)]

    async def sort(self, sql: str, values: Values = ()) -> list[Row]:
        """Read a page for which all of the table may be looked through."""
        return await self._sorter.run(lambda session: session.rows(sql, values))

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
        return (self._writer, self._loader, self._scanner, self._sorter, self._counter)
