"""The record that a program writes of its runs, as rows of the store's table of journals.

Who writes it holds an advisory lock with its name for as long as the connection lives, so a record
whose lock is free belongs to nobody. Through a pooler, which lends connections, no lock can be
held: there the writer says every few seconds that it lives.
"""

from __future__ import annotations

import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

from ...errors import StorageError, TraceStoreError
from ...runtime.fork import rest_during_forks
from ..files.journal_file import BEGIN, DOING, END, STEP, to_line
from .address import Address
from .direct import DirectConnection
from .session import Session, Statement

LOCKED, _POOLED = "l", "p"  # how records' names begin
_PULSE = 10.0  # seconds between two signs of life through a pooler
SILENCE = 60  # seconds without one after which a record belongs to nobody
_WAIT = 5.0  # seconds that an agent waits for the server
_PATIENCE = 1.0  # seconds in which a server that was lost is tried again, before an agent is told
_LEAVE_IN = 5.0  # seconds in which what is waiting is sent, when a program ends
_REMEDY = "Steps of runs under way are sent again with the next"
ALIVE = 0  # the number of no run

_COLUMNS = "record, run, line, data"

Line: TypeAlias = tuple[int, int, bytes]
"""The number of a run, that of the line, and what it says."""


def lock_of(schema: str, record: str) -> str:
    """SQL for the key of a record's lock."""
    return f"hashtextextended('selectools_observe.{schema}.journal.' || {record}, 0)"


class _Sender:
    """What waits to be sent, and the thread that sends it; apart from its owner, as in files."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._table = f"{address.schema}.journals"
        self.begin_again()

    def begin_again(self) -> None:
        self._connection = DirectConnection(self._address, self._hold)
        self._name = secrets.token_hex(8)
        self._is_pooled = False
        self._waiting: deque[Line | int] = deque()
        self._changed = threading.Condition()
        self._put = 0
        self._sent = 0
        self._error: TraceStoreError | None = None
        self._is_over = False
        self._thread: threading.Thread | None = None
        self.runs: dict[int, int] = {}  # the bytes of each run that is not forgotten

    @property
    def _record(self) -> str:
        return (_POOLED if self._is_pooled else LOCKED) + self._name

    async def _hold(self, session: Session) -> None:
        """Take the record's lock on a new connection."""
        self._is_pooled = not await session.is_direct()
        if not self._is_pooled:
            key = lock_of(self._address.schema, "%s")
            await session.rows(f"SELECT pg_advisory_lock({key})", [self._record])

    def put(self, item: Line | int) -> int:
        """Let a line be sent, or the lines of a run be removed; where it is in the order."""
        with self._changed:
            self._waiting.append(item)
            self._put += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return self._put

    def wait(self, upto: int) -> None:
        """Until the server has what was put.

        Raises:
            StorageError: It refuses it.
        """
        deadline = time.monotonic() + _WAIT
        with self._changed:
            while self._sent < upto:
                error, self._error = self._error, None
                if error is None and not self._changed.wait(deadline - time.monotonic()):
                    error = StorageError(
                        self._address.shown, f"no answer in {_WAIT:.0f} s", _REMEDY
                    )
                if error is not None:
                    raise error

    def leave(self) -> None:
        """Send what waits, and let go; lines stay of runs that the store has not."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LEAVE_IN)

    def _send_all(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._is_over:
                    self._changed.wait(_PULSE if self._is_pooled and self.runs else None)
                items = list(self._waiting)
                is_over = self._is_over
            try:
                self._send(items)
            except TraceStoreError as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                    if not is_over:  # with the next that is put, it is tried again
                        self._changed.wait()
            else:
                with self._changed:
                    for _ in items:
                        self._waiting.popleft()
                    self._sent += len(items)
                    self._changed.notify_all()
                    is_over = is_over and not self._waiting
            if is_over:
                break
        self._connection.close()

    def _send(self, items: Sequence[Line | int]) -> None:
        gone = {item for item in items if isinstance(item, int)}
        lines = [item for item in items if not isinstance(item, int) and item[0] not in gone]
        self._connection.run(partial(self._write, lines, gone), _PATIENCE)

    async def _write(self, lines: Sequence[Line], gone: set[int], session: Session) -> None:
        record = self._record
        statements: list[Statement] = []
        if lines:
            # Some may have been sent already, before the connection was lost.
            insert = f"INSERT INTO {self._table} ({_COLUMNS}) VALUES (%s, %s, %s, %s)"
            rows = [(record, *line) for line in lines]
            statements.append((f"{insert} ON CONFLICT DO NOTHING", rows))
        if gone:
            delete = f"DELETE FROM {self._table} WHERE record = %s AND run = ANY(%s)"
            statements.append((delete, [(record, list(gone))]))
        if self._is_pooled:
            statements.append(self._pulse(record))
        if statements:
            await session.transaction(statements)

    def _pulse(self, record: str) -> Statement:
        if not self.runs:
            return f"DELETE FROM {self._table} WHERE record = %s", [(record,)]
        insert = f"INSERT INTO {self._table} ({_COLUMNS}) VALUES (%s, {ALIVE}, 0, '')"
        again = "ON CONFLICT (record, run, line) DO UPDATE SET written_at = clock_timestamp()"
        return f"{insert} {again}", [(record,)]


class TableRecord:
    """The record of all runs that go on in this process; the methods are those of `LiveRecord`.

    May be used from any thread. Lines are sent by a thread of its own; `sync` waits until the
    server has them.
    """

    is_shared = True
    """A step counts as over when the server has it."""

    def __init__(self, address: Address) -> None:
        self._sender = _Sender(address)
        self._lock = threading.Lock()
        self._last_run = self._last_line = 0
        rest_during_forks(self, holds_others=True)
        self._tidy = weakref.finalize(self, self._sender.leave)

    def begin(self, head: bytes) -> int:
        """A run begins; the number that stands for it."""
        with self._lock:
            self._last_run += 1
            run = self._last_run
        self._sender.runs[run] = 0
        self._write(run, BEGIN, 0, head)
        return run

    def doing(self, run: int, place: int, step: bytes) -> int:
        """A step has begun."""
        return self._write(run, DOING, place, step)

    def step(self, run: int, place: int, step: bytes) -> int:
        """A step is over; up to where `sync` must go for it to be on the server."""
        return self._write(run, STEP, place, step)

    def end(self, run: int, head: bytes) -> int:
        """The run is over, but maybe not in the store yet."""
        return self._write(run, END, 0, head)

    def forget(self, run: int) -> None:
        """The run is in the store."""
        if self._sender.runs.pop(run, None) is not None:
            self._sender.put(run)

    def sync(self, upto: int) -> None:
        """Wait until the server has what was written."""
        self._sender.wait(upto)

    @property
    def kept_bytes(self) -> int:
        """The bytes of all runs that are not forgotten."""
        return sum(self._sender.runs.values())

    def close(self) -> None:
        """Let go; lines stay of runs that the store has not."""
        self._sender.leave()

    def _write(self, run: int, kind: bytes, place: int, body: bytes) -> int:
        runs = self._sender.runs
        if run not in runs:
            return 0  # begun before a fork: its record is the parent's
        line = to_line(run, kind, place, body)
        runs[run] += len(line)
        with self._lock:
            self._last_line += 1
            return self._sender.put((run, self._last_line, line))

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._sender.begin_again()
