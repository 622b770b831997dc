"""Copying a file of lines while others append to it."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from ...errors import StorageError
from ...model.reports import BackupReport
from ..files.atomic_file import new_file_for, refuse_damaged
from ..files.progress import Steps
from .annotation_file import path_for
from .file_io import pread
from .verify import COPY_BYTES, verifying


class Source(NamedTuple):
    """What is copied: descriptors, and as many bytes as nobody changes any more.

    Attributes:
        fd: The archive.
        size: Its bytes.
        annotations: The file of its annotations; None if there is none.
        where: The archive's path, for people.
    """

    fd: int
    size: int
    annotations: int | None
    where: str


def backing_up(source: Source, path: str, *, overwrite: bool) -> Steps[BackupReport]:
    """Copy the first `size` bytes, which nobody changes, check them, put them in their place."""
    size = source.size
    with new_file_for(path, overwrite=overwrite) as name:
        with open(name, "wb") as target:
            done = 0
            while part := pread(source.fd, min(COPY_BYTES, size - done), done):
                target.write(part)
                done += len(part)
                yield done, 2 * size
        if done < size:
            problem = "another program truncated the file while it was being copied"
            raise StorageError(source.where, problem, "Try again")
        verified = yield from verifying(name, path)
        refuse_damaged(path, verified)
        _copy_annotations(source.annotations, path_for(path))
    return BackupReport(source.where, path, size, verified)


def _copy_annotations(fd: int | None, path: str) -> None:
    """Copy the annotations; those of an earlier copy do not stay."""
    if fd is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    with new_file_for(path, overwrite=True) as name, open(name, "wb") as target:
        done = 0
        while part := pread(fd, COPY_BYTES, done):
            target.write(part)
            done += len(part)
