"""What a disk or a database says, in words that name the file and the remedy."""

from __future__ import annotations

import errno
import os
import sqlite3

from ...errors import StorageError

_ROOM = 64 * 1024  # bytes without which SQLite cannot open a database
_FREE_SPACE = "Free some space and try again; what was saved before is not affected"
_PERMISSION = "Check the permissions of the file and of its folder"
_MALFORMED = (
    "Restore it from a backup, or recover what can be read: "
    "selectools_observe.stores.maintenance.repair(path, into=...)"
)

_NO_DATABASE = (
    "Give the path of a database, or of a file that does not exist yet; if it was a database, "
    "recover what can be read: selectools_observe.stores.maintenance.repair(path, into=...)"
)

_SQLITE_REMEDIES = {
    sqlite3.SQLITE_FULL: ("the disk is full", _FREE_SPACE),
    sqlite3.SQLITE_READONLY: (
        "the database is read-only",
        "Check the permissions of the file, of its -wal and -shm, and of the folder",
    ),
    sqlite3.SQLITE_BUSY: (
        "the database is locked",
        "Another program has held its lock for too long: let it finish, or close it",
    ),
    sqlite3.SQLITE_LOCKED: ("the database is locked", "Let the other operation finish"),
    sqlite3.SQLITE_NOTADB: (
        "the file is not an SQLite database",
        _NO_DATABASE,
    ),
    sqlite3.SQLITE_CORRUPT: ("the database is damaged", _MALFORMED),
    sqlite3.SQLITE_CANTOPEN: (
        "the database cannot be opened",
        "Give the path of a file, in a folder that may be written",
    ),
    sqlite3.SQLITE_PERM: ("access is denied", _PERMISSION),
    sqlite3.SQLITE_IOERR: ("reading or writing failed", "Check the disk"),
    sqlite3.SQLITE_TOOBIG: (
        "a trace is larger than SQLite can hold",
        "Save less of it: SQLite holds at most 1 GB in one row",
    ),
    sqlite3.SQLITE_INTERRUPT: (
        "a statement took more work than a database of this size asks for",
        "Check it: selectools_observe.stores.maintenance.verify(path); is its origin unknown?",
    ),
    sqlite3.SQLITE_NOMEM: ("out of memory", "Free memory and try again"),
}

_OS_REMEDIES = {
    errno.ENOSPC: ("the disk is full", _FREE_SPACE),
    errno.EDQUOT: ("the disk quota is used up", _FREE_SPACE),
    errno.EFBIG: ("the file has reached its size limit", "Raise the limit or use another file"),
    errno.EACCES: ("access is denied", _PERMISSION),
    errno.EPERM: ("access is denied", _PERMISSION),
    errno.EROFS: ("the file system is read-only", "Use a folder that may be written"),
    errno.EISDIR: ("it is a directory", "Give the path of a file"),
    errno.ENOTDIR: ("a part of the path is not a directory", "Give another path"),
    errno.EEXIST: ("a part of the path is not a directory", "Give another path"),
    errno.ENOENT: ("the file or its folder does not exist", "Check the path"),
    errno.ENAMETOOLONG: ("the path is too long", "Give a shorter one"),
    errno.EBUSY: (
        "the file is locked",
        "Another program has held its lock for too long: let it finish, or close it",
    ),
    errno.EAGAIN: (
        "a system resource is exhausted",
        "Let other work finish, or raise the limit (ulimit)",
    ),
    errno.EMFILE: ("too many files are open", "Close some, or raise the limit"),
}


def from_sqlite(where: str, error: sqlite3.Error) -> StorageError:
    """The `StorageError` for what SQLite said; the caller raises it ``from`` that."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _is_full(where):
        code = sqlite3.SQLITE_FULL  # it does not say so when its shared memory finds no room
    problem, remedy = _SQLITE_REMEDIES.get(
        code, ("the database reported an error", "See the cause")
    )
    return StorageError(where, f"{problem} ({error})", remedy)


def malformed(problem: str) -> sqlite3.DatabaseError:
    """What SQLite would say of a damage that it did not notice."""
    error = sqlite3.DatabaseError(problem)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def from_text(error: UnicodeDecodeError) -> sqlite3.DatabaseError:
    """What SQLite said in bytes that are no text: names in a damaged schema."""
    said = malformed(f"a damaged name: {error}")
    said.__cause__ = error
    return said


def from_os(where: str, error: OSError) -> StorageError:
    """The `StorageError` for what the operating system said."""
    problem, remedy = _OS_REMEDIES.get(
        error.errno or 0, ("the operating system reported an error", "See the cause")
    )
    return StorageError(where, f"{problem} ({error.strerror or error})", remedy)


def _is_full(where: str) -> bool:
    try:
        import shutil  # noqa: PLC0415 - slow to import, seldom needed

        return shutil.disk_usage(os.path.dirname(os.path.abspath(where))).free < _ROOM
    except (ImportError, OSError):  # no file may be opened now, not even a module's
        return False
