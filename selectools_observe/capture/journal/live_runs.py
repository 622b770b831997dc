"""The runs that are under way, read from their journals while their programs write them."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import NamedTuple

from ...backends.base import StoreCore
from ...backends.files import journal_file
from ...backends.files.journals import Journals
from ...errors import TraceStoreError
from ...model.rollups import number
from ...model.trace import AgentTrace
from ...stores.blocking import BlockingStore
from ...stores.delegating import innermost
from .recovery import journals_of

log = logging.getLogger(__name__)


class RunningRun(NamedTuple):
    """A run that is under way.

    Attributes:
        trace: The run with the steps so far.
        written_at: When something was written to its journal last.
    """

    trace: AgentTrace
    written_at: datetime


class RunningRuns:
    """Reads the run journals of a store; what did not change since is not read again.

    Args:
        store: The store, or one in front of it. Of a store that is in no file nothing is known.
        folder: Where the journals are; next to the store's file, or in it, unless given.
    """

    def __init__(self, store: object, folder: str | os.PathLike[str] | None = None) -> None:
        self._path = _path_of(store)
        self._journals = None if folder is not None else journals_of(store)
        self._folder = os.fspath(folder) if folder is not None else None
        if self._folder is None and self._path is not None:
            self._folder = journal_file.folder_of(self._path)
        self._read: dict[str, tuple[tuple[int, int], list[RunningRun]]] = {}

    def all(self) -> list[RunningRun]:
        """The runs under way with the steps so far, the one that began last first.

        A step that has begun and is not over has ``unfinished`` among its further fields; each run
        has ``"unfinished": true`` in its metadata. Runs that were killed are among them until the
        store is reopened, which recovers them.
        """
        if self._journals is not None:
            return self._in_store(self._journals)
        if self._folder is None:
            return []
        try:
            folder = journal_file.JournalFolder(self._folder, journal_file.owners_of(self._path))
        except OSError:
            return []  # nobody records, or what is there is not taken
        try:
            found = [run for path in folder.records() for run in self._runs(folder, path)]
        except OSError as error:
            log.warning("The run journals in %s cannot be read: %s", self._folder, error)
            return []
        finally:
            folder.close()
        return sorted(found, key=_beginning, reverse=True)

    def _in_store(self, journals: Journals) -> list[RunningRun]:
        try:
            runs = [RunningRun(run.trace(), moment) for run, moment in journals.running()]
        except TraceStoreError as error:
            log.warning("The run journals of the store cannot be read: %s", error)
            return []
        return sorted(runs, key=_beginning, reverse=True)

    def get(self, run_id: str) -> RunningRun | None:
        """One of them, by its id."""
        return next((run for run in self.all() if run.trace.run_id == run_id), None)

    def _runs(self, folder: journal_file.JournalFolder, path: str) -> list[RunningRun]:
        try:
            found = os.stat(path)
            version = found.st_mtime_ns, found.st_size
            kept = self._read.get(path)
            if kept is None or kept[0] != version:
                recorded = journal_file.runs_in(folder.read(path))
                written_at = datetime.fromtimestamp(found.st_mtime, UTC)
                runs = [
                    RunningRun(one.trace(), written_at) for one in recorded if not one.has_ended
                ]
                kept = self._read[path] = version, runs
        except (OSError, ValueError):
            self._read.pop(path, None)
            return []
        return kept[1]


def running_runs(store: object, folder: str | os.PathLike[str] | None = None) -> list[AgentTrace]:
    """The runs that are under way in programs that record with a run journal (``live=True``).

    They hold the steps that are on disk so far, and carry ``"unfinished": true`` in their metadata;
    the one that began last comes first. Nothing is changed.

    Args:
        store: The store that they will be saved to, or one in front of it.
        folder: Where the journals are; next to the store's file unless given.
    """
    return [run.trace for run in RunningRuns(store, folder).all()]


def _path_of(store: object) -> str | None:
    target = innermost(store)
    return target.path if isinstance(target, StoreCore | BlockingStore) else None


def _beginning(run: RunningRun) -> float:
    return number(run.trace.start_time)
