"""Copying a file of lines while others append to it."""

from __future__ import annotations

import os

from ...errors import StorageError
from ...model.reports import BackupReport
from ..atomic_file import new_file_for, refuse_damaged
from ..progress import Steps
from .verify import COPY_BYTES, verifying


def backing_up(
    fd: int, size: int, where: str, path: str, *, overwrite: bool
) -> Steps[BackupReport]:
    """Copy the first so many bytes, which nobody changes, check them, put them in their place."""
    with new_file_for(path, overwrite=overwrite) as name:
        with open(name, "wb") as target:
            done = 0
            while part := os.pread(fd, min(COPY_BYTES, size - done), done):
                target.write(part)
                done += len(part)
                yield done, 2 * size
        if done < size:
            problem = "another program truncated the file while it was being copied"
            raise StorageError(where, problem, "Try again")
        verified = yield from verifying(name, path)
        refuse_damaged(path, verified)
    return BackupReport(where, path, size, verified)
