"""New files, put in their place whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

from ...errors import StorageError
from ...model.reports import VerifyReport
from .private_files import create, make_folder

# What SQLite puts next to a database.
_COMPANIONS = ("-wal", "-shm", "-journal")


def check_target(path: str, source: str, *, overwrite: bool) -> None:
    """Refuse a place for a new file that is taken, or where the source itself stands.

    Raises:
        StorageError: It is.
    """
    if os.path.isdir(path):
        raise StorageError(path, "it is a directory", "Give the path of a file")
    with contextlib.suppress(OSError):
        if os.path.samefile(path, source):
            raise StorageError(path, "it is the store's own file", "Give another path")
    _check_companions(path)
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise StorageError(path, "the file already exists", "Give another path, or remove it")


def _check_companions(path: str) -> None:
    """What belongs to another database there would be taken for the new one's, and spoil it."""
    for companion in _COMPANIONS[:1] + _COMPANIONS[2:]:
        with contextlib.suppress(OSError):
            if os.stat(path + companion).st_size:
                log = os.path.basename(path) + companion
                problem = f"a write-ahead log exists next to it ({log})"
                remedy = "Close the program that uses the file, or give another path"
                raise StorageError(path, problem, remedy)


@contextlib.contextmanager
def new_file_for(path: str, *, overwrite: bool) -> Iterator[str]:
    """An empty file next to the path; it takes the path when all went well.

    Raises:
        StorageError: The path was taken meanwhile.
    """
    folder = os.path.dirname(os.path.abspath(path))
    make_folder(folder)
    name = os.path.join(folder, f".{os.path.basename(path)[:100]}.{uuid.uuid4().hex}.new")
    try:
        create(name)
        yield name
        sync_file(name)
        _put(name, path, overwrite=overwrite)
        sync_folder(folder)
    finally:
        for leftover in (name, *(name + companion for companion in _COMPANIONS)):
            with contextlib.suppress(OSError):
                os.unlink(leftover)


def _put(name: str, path: str, *, overwrite: bool) -> None:
    _check_companions(path)
    if overwrite:
        os.replace(name, path)
        return
    try:
        os.link(name, path)  # unlike a rename, it never replaces
    except FileExistsError:
        problem = "another program created the file in the meantime"
        raise StorageError(path, problem, "Give another path") from None
    except OSError:  # a file system without hard links
        os.rename(name, path)


def refuse_damaged(path: str, verified: VerifyReport) -> None:
    """Do not let a damaged copy take the place of an earlier one.

    Raises:
        StorageError: It would.
    """
    if os.path.exists(path) and not verified.ok and not verified.index_only:
        many = len(verified.problems) + verified.further
        problem = f"the copy that would replace it has {many} problems"
        remedy = "Give another path, or recover what can be read with repair(into=...)"
        raise StorageError(path, problem, remedy)


def write_all(fd: int, data: bytes) -> None:
    """Write all of the data, also where the system takes it in parts."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_file(path: str) -> None:
    """Make what a file holds durable."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: str) -> None:
    """Make a new name in a folder durable, where the system has a way to."""
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
