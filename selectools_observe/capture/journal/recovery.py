"""Recovery of killed runs from their journals into any store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from ...backends.base import StoreCore
from ...backends.derived import given
from ...backends.files import journal_file
from ...backends.files.journals import JournalRecord, Journals
from ...errors import CorruptTraceError, TraceNotFoundError
from ...model.trace import AgentTrace
from ...protocols import AsyncTraceStore, RunIds, TraceStore
from ...runtime.interface import run_sync
from ...stores.blocking import BlockingStore
from ...stores.delegating import AnyStore, check_kind, innermost
from .journal_writer import LiveRecord

T = TypeVar("T")


class _StoreRecoveryTarget:
    """A store of five methods, of either kind, as runs are recovered into it."""

    def __init__(self, store: AnyStore) -> None:
        self._store = cast("AsyncTraceStore", store)

    async def stored(self, run_ids: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for run_id in run_ids:
            try:
                found[run_id] = await given(self._store.load(run_id))
            except (TraceNotFoundError, CorruptTraceError):
                continue
        return found

    async def keep(self, traces: Sequence[AgentTrace]) -> None:
        for trace in traces:
            _: str = await given(self._store.save(trace))


def recover(store: TraceStore, folder: str | os.PathLike[str] | None = None) -> RunIds:
    """Put runs into a store whose programs were killed while a `Recorder` kept a run journal.

    A store in a file does this by itself when it is first used; call it for a store that is open
    for long, and for one that is not in a file. What was recovered carries ``"unfinished": true``
    in its metadata, unless the run had ended before the kill. What was redacted stays so: it is
    given to the innermost store.

    Args:
        store: The store, or one in front of it.
        folder: Where the records are; next to the store's file unless given.

    Returns:
        The ids of the recovered runs.

    Raises:
        TypeError: The store is async: use `arecover`.
        ValueError: The store is in no file, and no folder is given.
    """
    check_kind(store, "recover", is_async=False)
    target = innermost(store)
    if folder is None and isinstance(target, BlockingStore) and _keeps_journals(target):
        return target.recover()
    records = folder_of(store, folder)

    async def here(work: Callable[[], T]) -> T:
        return work()

    return run_sync(
        journal_file.recover(records, _StoreRecoveryTarget(cast("TraceStore", target)), here)
    )


async def arecover(store: AsyncTraceStore, folder: str | os.PathLike[str] | None = None) -> RunIds:
    """`recover` for an async store."""
    check_kind(store, "arecover", is_async=True)
    target = innermost(store)
    if folder is None and isinstance(target, StoreCore) and _keeps_journals(target):
        return await target.recover()
    records = folder_of(store, folder)
    keeper = _StoreRecoveryTarget(cast("AsyncTraceStore", target))
    return await journal_file.recover(records, keeper, asyncio.to_thread)


def journals_of(store: object) -> Journals | None:
    """The journals that a store keeps itself; None where they are in a folder."""
    target = innermost(store)
    return target.journals if isinstance(target, StoreCore | BlockingStore) else None


def new_record(store: object, folder: str | os.PathLike[str] | None) -> JournalRecord:
    """A record for the runs of this process that will be saved to a store.

    Raises:
        ValueError: The store is in no file, and no folder is given.
    """
    journals = None if folder is not None else journals_of(store)
    return LiveRecord(folder_of(store, folder)) if journals is None else journals.writer()


def _keeps_journals(store: StoreCore[Any] | BlockingStore[Any]) -> bool:
    return store.path is not None or store.journals is not None


def folder_of(store: object, folder: str | os.PathLike[str] | None) -> str:
    """Where the run journals of a store are.

    Raises:
        ValueError: The store is in no file, and no folder is given.
    """
    if folder is not None:
        return os.fspath(folder)
    target = innermost(store)
    path = target.path if isinstance(target, StoreCore | BlockingStore) else None
    if path is None:
        raise ValueError(f"{target!r} is in memory: give a folder for the run journal")
    return journal_file.folder_of(path)
