"""Transactions that no exception leaves open, not even one raised by a signal handler."""

from __future__ import annotations

import contextlib
import sqlite3


class transaction:  # noqa: N801 - read as a verb
    """A transaction, by default one that writes; undone by any exception.

    Not a generator: one that was left half way would undo whatever goes on when it is freed.
    """

    def __init__(self, connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> None:
        self._connection = connection
        self._begin = begin

    def __enter__(self) -> None:
        undo(self._connection)
        self._do(self._begin)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._do("COMMIT")
        else:
            undo(self._connection)

    def _do(self, statement: str) -> None:
        try:
            self._connection.execute(statement)
        except BaseException:
            undo(self._connection)
            raise


def one_moment(connection: sqlite3.Connection) -> transaction:
    """A transaction in which all statements see the database as it is at one moment."""
    return transaction(connection, "BEGIN")


class reading(transaction):  # noqa: N801 - as the other
    """`one_moment` of what may meet damage and go on: then SQLite refuses to commit, though nothing
    was written.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection, "BEGIN")

    def __exit__(self, *_: object) -> None:
        undo(self._connection)


def undo(connection: sqlite3.Connection) -> None:
    """Roll back what is not committed, if there is something."""
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
