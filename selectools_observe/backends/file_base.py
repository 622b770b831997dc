"""The base class of backends that keep a file: verify, back up, repair and compact."""

from __future__ import annotations

import os
from abc import abstractmethod
from contextlib import closing
from typing import TypeVar

from ..model.reports import BackupReport, CompactReport, Progress, RepairReport, VerifyReport
from .base import PreparedT, StoreCore, checked_path
from .files.atomic_file import check_target
from .files.progress import Done, Steps

T = TypeVar("T")


class FileCore(StoreCore[PreparedT]):
    """A store in a file."""

    async def verify(self, *, progress: Progress | None = None) -> VerifyReport:
        """See `AsyncFileTraceStore.verify`."""
        self._check_open()
        return await self._through(self._verifying(), progress)

    async def backup(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> BackupReport:
        """See `AsyncFileTraceStore.backup`."""
        self._check_open()
        target = checked_path(path)
        check_target(target, self._where, overwrite=overwrite)
        return await self._through(self._backing_up(target, overwrite=overwrite), progress)

    async def repair(
        self,
        into: str | os.PathLike[str],
        *,
        keep_suspect: bool = True,
        progress: Progress | None = None,
    ) -> RepairReport:
        """See `AsyncFileTraceStore.repair`."""
        self._check_open()
        target = checked_path(into)
        check_target(target, self._where, overwrite=False)
        return await self._through(self._repairing(target, keep_suspect=keep_suspect), progress)

    async def compact(self, *, progress: Progress | None = None) -> CompactReport:
        """See `AsyncFileTraceStore.compact`."""
        self._check_open()
        return await self._through(self._compacting(), progress)

    async def _through(self, steps: Steps[T], progress: Progress | None) -> T:
        """Do the steps one by one; a cancelled caller stops after the one that was begun."""
        with closing(steps):
            while True:
                taken = await self._step(steps)
                if isinstance(taken, Done):
                    return taken.result
                self._check_open()
                if progress is not None:
                    progress(*taken)

    async def _step(self, steps: Steps[T]) -> tuple[int, int] | Done[T]:
        return await self._runtime.call(lambda: self._take(steps))

    # What a backend supplies.

    @abstractmethod
    def _take(self, steps: Steps[T]) -> tuple[int, int] | Done[T]:
        """`take`, putting what the disk or the database says in words."""

    @abstractmethod
    def _verifying(self) -> Steps[VerifyReport]:
        """Check everything."""

    @abstractmethod
    def _backing_up(self, path: str, *, overwrite: bool) -> Steps[BackupReport]:
        """Copy the file."""

    @abstractmethod
    def _repairing(self, into: str, *, keep_suspect: bool) -> Steps[RepairReport]:
        """Save what can be saved."""

    @abstractmethod
    def _compacting(self) -> Steps[CompactReport]:
        """Give space back."""
