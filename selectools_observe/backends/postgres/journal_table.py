"""The journals of runs under way, in a table of the store: every machine sees their steps.

A record is what one program writes, as in `journal_file`; its lines are rows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from ..files.journal_file import RecordedRun, RecoveryTarget, missing_runs, runs_in
from ..sql.row import Row
from .address import Address
from .direct import DirectConnection
from .journal_record import ALIVE, LOCKED, SILENCE, TableRecord, lock_of
from .session import Session

log = logging.getLogger(__name__)


class JournalTable:
    """The journals of a store.

    Args:
        address: The store's.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._table = f"{address.schema}.journals"
        self._connection = DirectConnection(address)
        self._known: dict[tuple[str, int], list[bytes]] = {}
        self._lines: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def writer(self) -> TableRecord:
        """A record for this program."""
        return TableRecord(self._address)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def running(self) -> list[tuple[RecordedRun, datetime]]:
        """The runs under way, and when each wrote its last line; only what is new is read.

        Raises:
            StorageError: The server refuses it.
        """
        with self._lock:
            heads = self._connection.rows(
                f"SELECT record, run, max(line), max(written_at) FROM {self._table} "
                f"WHERE run <> {ALIVE} GROUP BY record, run",
            )
            current = {(record, run): line for record, run, line, _ in heads}
            self._known = {key: self._known.get(key, []) for key in current}
            changed = [key for key, line in current.items() if self._lines.get(key) != line]
            self._read(changed)
            self._lines = current
            found = [(runs_in(self._known[head[0], head[1]]), head[3]) for head in heads]
            return [(run, moment) for runs, moment in found for run in runs if not run.has_ended]

    def _read(self, changed: Sequence[tuple[str, int]]) -> None:
        """Read the lines that runs have got."""
        after = [self._lines.get(key, -1) for key in changed]
        rows = self._connection.rows(
            f"SELECT record, run, data FROM {self._table} JOIN "
            "unnest(%s::text[], %s::bigint[], %s::bigint[]) AS asked (record, run, after) "
            "USING (record, run) WHERE line > after ORDER BY record, run, line",
            [key[0] for key in changed],
            [key[1] for key in changed],
            after,
        )
        for record, run, data in rows:
            self._known[record, run].append(data)


async def recover(
    schema: str,
    use: Callable[[Callable[[Session], Awaitable[list[Row]]]], Awaitable[list[Row]]],
    keeper: RecoveryTarget,
) -> list[str]:
    """Put the runs of records that belong to nobody into the store; their ids.

    Two who do it at the same time save the same. What cannot be recovered now stays for later.
    """
    table = f"{schema}.journals"
    dead = (
        f"SELECT record FROM (SELECT record, max(written_at) AS seen FROM {table} GROUP BY 1) r "
        f"WHERE NOT pg_is_in_recovery() AND CASE WHEN left(record, 1) = '{LOCKED}' "
        f"THEN pg_try_advisory_xact_lock({lock_of(schema, 'record')}) "
        f"ELSE seen < clock_timestamp() - interval '{SILENCE} s' END"
    )
    lines = f"SELECT data FROM {table} WHERE record = %s ORDER BY run, line"
    delete = f"DELETE FROM {table} WHERE record = %s"
    recovered: list[str] = []
    for (record,) in await use(lambda session: session.rows(dead)):
        rows = await use(partial(_execute, lines, record))
        runs = {run.trace().run_id: run for run in runs_in(row[0] for row in rows)}
        traces = await missing_runs(runs, keeper)
        if traces:
            await keeper.keep(traces)
            log.warning("Recovered %d runs from a run journal in %s", len(traces), table)
        await use(partial(_execute, delete, record))
        recovered += [trace.run_id for trace in traces]
    return recovered


async def _execute(sql: str, record: str, session: Session) -> list[Row]:
    return await session.rows(sql, [record])
