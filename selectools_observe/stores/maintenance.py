"""The maintenance of files, whether or not they still open as a store.

`verify` and `repair` work on a file's path, without a store: they write nothing to the file, set
nothing up and migrate nothing, so that a damaged file, or one on a medium that cannot be written,
is left as it is. What they report is in `selectools_observe.model.reports`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import TypeAlias

from ..backends.base import checked_path
from ..backends.files import error_mapping, file_kind
from ..backends.files.atomic_file import check_target
from ..backends.files.progress import run
from ..backends.jsonl import repair as jsonl_repairing
from ..backends.jsonl import verify as jsonl_verifying
from ..backends.sqlite.recovery import repair as sqlite_repairing
from ..backends.sqlite.recovery.read_only import verifying_file
from ..errors import StorageError
from ..model.reports import (
    BackupReport,
    CompactReport,
    Problem,
    Progress,
    RepairReport,
    VerifyReport,
)

__all__ = [
    "BackupReport",
    "CompactReport",
    "Kind",
    "Problem",
    "Progress",
    "RepairReport",
    "VerifyReport",
    "kind_of",
    "repair",
    "verify",
]

Kind: TypeAlias = file_kind.FileKind


def verify(
    path: str | os.PathLike[str], *, kind: Kind | None = None, progress: Progress | None = None
) -> VerifyReport:
    """`FileTraceStore.verify` of a file.

    Args:
        path: The file.
        kind: What it is; without it, told by its content, and then by its name.
        progress: As `FileTraceStore.verify`.

    Raises:
        StorageError: The file is not there or cannot be read at all. Damage is not an error here:
            the report tells of it.
    """
    where = checked_path(path)
    with _in_words(where):
        if _kind(where, kind) == "sqlite":
            return run(verifying_file(where), progress)
        return run(jsonl_verifying.verifying(where, where), progress)


def repair(
    path: str | os.PathLike[str],
    into: str | os.PathLike[str],
    *,
    kind: Kind | None = None,
    keep_suspect: bool = True,
    progress: Progress | None = None,
) -> RepairReport:
    """`FileTraceStore.repair` of a file.

    Args:
        path: The damaged file.
        into: The new one.
        kind: What it is; without it, told by its content, and then by its name.
        keep_suspect: As `FileTraceStore.repair`.
        progress: As `FileTraceStore.repair`.

    Raises:
        StorageError: The file is not there or cannot be read at all, or the new path is taken.
    """
    where, target = checked_path(path), checked_path(into)
    check_target(target, where, overwrite=False)
    with _in_words(where):
        is_database = _kind(where, kind) == "sqlite"
        repairing = sqlite_repairing.repairing if is_database else jsonl_repairing.repairing
        return run(repairing(where, where, target, keep_suspect=keep_suspect), progress)


def kind_of(path: str | os.PathLike[str]) -> Kind:
    """What a file is, told by its content, damaged or not, and then by its name.

    Raises:
        OSError: It cannot be read.
    """
    return file_kind.kind_of(os.fspath(path)) or "jsonl"


def _kind(path: str, kind: Kind | None) -> Kind:
    if kind not in (None, "sqlite", "jsonl"):
        raise ValueError(f"kind must be 'sqlite' or 'jsonl', not {kind!r}")
    if os.path.isdir(path):
        raise StorageError(path, "it is a directory", "Give the path of a file")
    return kind_of(path) if kind is None else kind


@contextlib.contextmanager
def _in_words(where: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise error_mapping.from_sqlite(where, error) from error
    except UnicodeDecodeError as error:
        raise error_mapping.from_sqlite(where, error_mapping.from_text(error)) from error
    except OSError as error:
        raise error_mapping.from_os(where, error) from error
