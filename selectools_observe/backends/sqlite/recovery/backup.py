"""Backup of a database while others write to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from ....model.reports import BackupReport
from ...files.atomic_file import new_file_for, refuse_damaged
from ...files.progress import Steps
from .read_only import connect_as_it_is
from .verify import verifying


def backing_up(
    connection: sqlite3.Connection, where: str, path: str, *, overwrite: bool
) -> Steps[BackupReport]:
    """Copy what was committed by now, check the copy, and put it in its place."""
    with new_file_for(path, overwrite=overwrite) as name:
        copy_snapshot(connection, name)
        with contextlib.closing(connect_as_it_is(name, writable=True)) as copy:
            verified = yield from verifying(copy, path)
        refuse_damaged(path, verified)
        size = os.stat(name).st_size
    return BackupReport(where, path, size, verified)


def copy_snapshot(connection: sqlite3.Connection, path: str) -> None:
    """Copy a database as it is at this moment, page by page."""
    # Within a transaction of its own the source stands still, and the copy need not begin again
    # whenever somebody commits.
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as copy:
            connection.backup(copy)
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")
