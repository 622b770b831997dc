"""Opening the file: one connection, set up and migrated, with its troubles put in words."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, ParamSpec, TypeVar, cast

from ...errors import StorageError
from ...protocols import Durability
from ...runtime.fork import ForkSafeLock
from ..files import error_mapping
from ..files.private_files import check_regular, create, make_folder
from . import wal
from .connection import Connection, SharedConnection, identity_of
from .foreign_objects import refuse_foreign_objects
from .index.drift import mend_drift, warn_of_new_checksums
from .index.index_upkeep import index_everything
from .schema import ForeignTableError, NewerVersionError, check, migrate

FAULTS = (UnicodeDecodeError, sqlite3.Error, OSError)
"""What SQLite and the operating system raise."""

T = TypeVar("T")
HeldT = TypeVar("HeldT")
Args = ParamSpec("Args")

BUSY_TIMEOUT = 30.0  # seconds to wait for another program's transaction
_PAGE_SIZE = 4096  # of new files: traces are long rows, and a commit writes whole pages
_WAL_BYTES = 4 * 1024 * 1024  # bytes of write-ahead log that a commit moves into the file
_CACHE_KIB = 16 * 1024  # at most, for each connection: the index of a million traces is larger
_WAL_LIMIT = 64 * 1024 * 1024  # bytes that the log keeps when it was larger for a while


class Database:
    """Where the traces are: makes connections that are ready for use."""

    def __init__(self, path: str, durability: Durability) -> None:
        if durability not in ("full", "normal"):
            raise ValueError(f"durability must be 'full' or 'normal', not {durability!r}")
        self.where = path
        # Absolute: the working directory may change, and a name like file:x?mode=memory is a file's
        # name here and a URI to some builds of SQLite.
        self.is_private = path == ":memory:"
        self.file = path if self.is_private else os.path.abspath(path)
        self._durability = durability
        self._shared: SharedConnection | None = None
        self._turn = ForkSafeLock()
        # Bytes of write-ahead log beyond which a writer begins it again; a rule may ask for less.
        self.log_limit = wal.LIMIT

    @property
    def options(self) -> dict[str, Any]:
        """What `sqlite3.connect` is given next to the file."""
        return {
            "factory": self._make,
            "timeout": BUSY_TIMEOUT,
            "isolation_level": None,
            "check_same_thread": False,
            "cached_statements": 256,
        }

    def connect(self) -> Connection:
        """A connection of one's own, ready for use; for ``:memory:``, the one that all share.

        Raises:
            StorageError: The file cannot be opened, or is not ours to use.
        """
        with self.explained():
            connection: Connection = sqlite3.connect(self.file, **self.options)
            try:
                self.make_ready(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _make(self, file: str, **options: Any) -> Connection:
        """What `sqlite3.connect` returns."""
        if self.is_private:
            with self._turn.held:
                if self._shared is None:
                    self._shared = SharedConnection(":memory:", **options)
                return self._shared
        for part in ("", "-wal", "-shm", "-journal"):
            check_regular(file + part, one_name=part != "")
        make_folder(os.path.dirname(file))
        create(file)
        before = identity_of(file)
        connection = Connection(file, **options)
        connection.found = before
        return connection

    def close(self) -> None:
        """Let go of a private database."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.really_close()

    def in_turn(self, work: Callable[Args, T], /, *args: Args.args, **kwargs: Args.kwargs) -> T:
        """Do work on a connection, while nobody else does on the one that all share."""
        if not self.is_private:
            return work(*args, **kwargs)
        with self._turn.held:
            return work(*args, **kwargs)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what SQLite and the operating system say into `StorageError`."""
        try:
            yield
        except FAULTS as error:
            raise self.explanation(error) from error

    def explanation(self, error: Exception) -> StorageError:
        """One of `FAULTS` in words."""
        if isinstance(error, OSError):
            return error_mapping.from_os(self.where, error)
        if isinstance(error, UnicodeDecodeError):
            return error_mapping.from_sqlite(self.where, error_mapping.from_text(error))
        return error_mapping.from_sqlite(self.where, cast("sqlite3.Error", error))

    def make_ready(self, connection: Connection) -> None:
        """Check and migrate what was opened, and set the connection up."""
        # Text that is damaged and no longer UTF-8 must not break what reads its neighbours.
        connection.text_factory = bytes
        self.in_turn(self._set_up, connection)
        if self.is_private:
            return
        connection.settle(self.file)
        if connection.found is not None and connection.found != identity_of(self.file):
            problem = "the file was replaced while it was being opened"
            raise StorageError(self.where, problem, "Try again")

    def _set_up(self, connection: Connection) -> None:
        try:
            connection.guard(None if self.is_private else self.file)
            check(connection)
            refuse_foreign_objects(connection, self.where)
            connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")  # heeded by new files only
            _patiently(lambda: _let_pages_be_given_back(connection))
            _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
            _patiently(lambda: migrate(connection))
            drifted = _patiently(lambda: mend_drift(connection, self.where))
            refuse_foreign_objects(connection, self.where)
            _patiently(lambda: index_everything(connection, self.where))
            if drifted:
                warn_of_new_checksums(connection, self.where)
        except NewerVersionError as error:
            problem = f"it was written by a newer version ({error})"
            raise StorageError(self.where, problem, "Upgrade selectools-observe") from error
        except ForeignTableError as error:
            problem = f"its table 'traces' is not a table of traces ({error})"
            raise StorageError(self.where, problem, "Give the path of another file") from error
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA synchronous = {self._durability}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // page_size}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")


class Purpose(Generic[HeldT]):
    """What a worker wants a connection for: see `ConnectionSource`."""

    def __init__(
        self,
        database: Database,
        make: Callable[[Connection], HeldT],
        is_current: Callable[[HeldT], bool],
    ) -> None:
        self._database = database
        self._make = make
        self.where = database.where
        self.file = database.file
        self.is_current = is_current

    @property
    def options(self) -> dict[str, Any]:
        return self._database.options

    def ready(self, connection: Connection) -> HeldT:
        with self._database.explained():
            self._database.make_ready(connection)
            return self._database.in_turn(self._make, connection)


def _let_pages_be_given_back(connection: Connection) -> None:
    """Set up a new file; in one that is there it does nothing, but would wait for who writes."""
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")


def _patiently(step: Callable[[], T]) -> T:
    """Repeat a step that SQLite refuses at once, without waiting, when others open the file too."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            busy = (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (
                sqlite3.SQLITE_BUSY,
                sqlite3.SQLITE_LOCKED,
            )
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - no secret
