"""Files as they are: opened without setting anything up, migrating or repairing."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from ....errors import StorageError
from ....model.reports import Problem, VerifyReport
from ...files.private_files import check_regular
from ...files.progress import Steps
from ..connection import guard
from ..schema import ForeignTableError, NewerVersionError, check, has_tables
from .row_scan import DATABASE_ERRORS, is_damage
from .verify import verifying

_BUSY_TIMEOUT = 30.0  # seconds to wait for another program's transaction


def connect_as_it_is(path: str, *, writable: bool = False) -> sqlite3.Connection:
    """A connection to a file that is there.

    Raises:
        sqlite3.Error: It cannot be read.
        FileNotFoundError: There is none.
    """
    check_regular(path)
    if writable:
        return _connect(path, "mode=rw")
    os.stat(path)
    # Where nobody has the file open, a reader of it as it stands leaves no files of its own behind,
    # and needs no folder that can be written.
    return _connect(path, "mode=ro" if is_in_use(path) else "mode=ro&immutable=1")


def is_in_use(path: str) -> bool:
    """Whether another program has a database open, or ended without closing it."""
    return any([os.path.exists(path + part) for part in ("-wal", "-shm", "-journal")])


def _connect(path: str, options: str) -> sqlite3.Connection:
    from pathlib import Path  # noqa: PLC0415 - slow to import, seldom needed

    connection = sqlite3.connect(
        f"{Path(path).absolute().as_uri()}?{options}",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = bytes
    try:
        guard(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def verifying_file(path: str) -> Steps[VerifyReport]:
    """Check a file that may not open as a store."""
    was_in_use = is_in_use(path)
    report = yield from _verifying_once(path)
    if not report.ok and not was_in_use and is_in_use(path):
        report = yield from _verifying_once(path)  # somebody began to write meanwhile
    return report


def _verifying_once(path: str) -> Steps[VerifyReport]:
    try:
        with contextlib.closing(connect_as_it_is(path)) as connection:
            problem = _unusable(connection, path)
            if problem is None:
                return (yield from verifying(connection, path))
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
        problem = f"the file cannot be read as a database: {error}"
    return VerifyReport(path, 0, problems=(Problem(None, path, problem),))


def _unusable(connection: sqlite3.Connection, path: str) -> str | None:
    try:
        check(connection)
    except NewerVersionError as error:
        problem = f"it was written by a newer version ({error})"
        raise StorageError(path, problem, "Upgrade selectools-observe") from error
    except ForeignTableError as error:
        return f"its table 'traces' is not a table of traces ({error})"
    return None if has_tables(connection, "traces") else "it has no table 'traces'"
