"""Saving for an agent: a save that fails never breaks it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Callable
from typing import TypeAlias, cast

from ..errors import CorruptTraceError, TraceNotFoundError
from ..model.trace import AgentTrace
from ..protocols import (
    AsyncTraceStore,
    Change,
    QueryableTraceStore,
    TraceStore,
    is_async_store,
)
from ..stores.blocking import SyncTraceStore
from .error_text import error_text

log = logging.getLogger(__name__)

OnError: TypeAlias = Callable[[Exception, AgentTrace], object]
"""Called with what went wrong and the trace that is not stored, where the save was called."""


class SafeSaver:
    """Saves to a store of either face. A failed save is logged, counted and handed on, not raised.

    `save` with an async store runs that on a background loop and waits, as `SyncTraceStore` does;
    it fails on that loop's own thread, where it would wait for itself. `asave` with a blocking
    store saves in a thread.

    Args:
        store: Where traces go; stays the caller's to close.
        on_error: Called with the error and the trace after each failure; an error of its own is
            logged.

    Attributes:
        store: As given.
        saved: How many traces were stored.
        failed: How many were not.

    Raises:
        TypeError: The store has no ``save``, or ``on_error`` is a coroutine function.
    """

    def __init__(
        self, store: TraceStore | AsyncTraceStore, on_error: OnError | None = None
    ) -> None:
        if not callable(getattr(store, "save", None)):
            raise TypeError(f"not a trace store, it has no save(): {store!r}")
        if inspect.iscoroutinefunction(on_error):
            raise TypeError("on_error must be a plain function, not a coroutine function")
        self.store = store
        self.saved = 0
        self.failed = 0
        self._on_error = on_error
        self._counting = threading.Lock()
        # One of the two does the work; the other is reached through it.
        self._store = None if is_async_store(store) else cast("TraceStore", store)
        self._async_store = cast("AsyncTraceStore", store) if self._store is None else None

    def save(self, trace: AgentTrace) -> bool:
        """Save, blocking; return whether it is stored."""
        try:
            self._blocking().save(trace)
        except Exception as error:  # noqa: BLE001 - a third party's store may raise anything
            return self.lost(error, trace)
        return self._saved()

    def update(self, trace: AgentTrace, change: Change) -> bool | None:
        """Update the run of a trace; return whether it is stored now, None if nothing was to do.

        Args:
            trace: What ``on_error`` is given after a failure.
            change: See `QueryableTraceStore.update`.
        """
        try:
            changed = _update(self._blocking(), trace.run_id, change)
        except Exception as error:  # noqa: BLE001 - a third party's store may raise anything
            return self.lost(error, trace)
        return self._saved() if changed else None

    async def asave(self, trace: AgentTrace) -> bool:
        """Save without blocking the loop; return whether it is stored.

        A run that is being cancelled is saved too: the cancellation goes on after the save.
        """
        try:
            try:
                await self._save(trace)
            except asyncio.CancelledError:
                # Whole or absent now: once more, in a task that this cancellation does not reach.
                await _end_of(asyncio.ensure_future(self._counted(trace)))
                raise
        except Exception as error:  # noqa: BLE001 - as above
            return self.lost(error, trace)
        return self._saved()

    async def _counted(self, trace: AgentTrace) -> None:
        try:
            await self._save(trace)
        except Exception as error:  # noqa: BLE001 - as above
            self.lost(error, trace)
        except asyncio.CancelledError:
            self.lost(TimeoutError("the save was cancelled again"), trace)
        else:
            self._saved()

    async def _save(self, trace: AgentTrace) -> None:
        if self._async_store is not None:
            await self._async_store.save(trace)
        else:
            await asyncio.to_thread(self._blocking().save, trace)

    def _blocking(self) -> TraceStore:
        with self._counting:
            if self._store is None:
                self._store = SyncTraceStore(cast("AsyncTraceStore", self._async_store))
            return self._store

    def _saved(self) -> bool:
        with self._counting:
            self.saved += 1
        return True

    def lost(self, error: Exception, trace: AgentTrace) -> bool:
        """Count a run that is not stored, log it, and hand it to ``on_error``; False."""
        with self._counting:
            self.failed += 1
        log.error("run %r is not saved: %s", trace.run_id, error_text(error))
        if self._on_error is not None:
            try:
                self._on_error(error, trace)
            except Exception:
                log.exception("on_error failed for run %r", trace.run_id)
        return False


def _has_own_update(store: TraceStore) -> bool:
    """Whether it has `update`, and no subclass saves in a way of its own that it does not know."""
    for base in type(store).__mro__:
        if "update" in vars(base):
            return True
        if "save" in vars(base):
            break
    return "update" in getattr(store, "__dict__", ())


def _update(store: TraceStore, run_id: str, change: Change) -> bool:
    """Update a run, also one whose stored form cannot be read: then without that."""
    try:
        if _has_own_update(store):
            return cast("QueryableTraceStore", store).update(run_id, change)
        stored = store.load(run_id)  # of five methods, a load and a save must do
    except TraceNotFoundError:
        stored = None
    except CorruptTraceError as error:
        log.warning("run %r is saved without the steps stored earlier: %s", run_id, error)
        stored = None
    changed = change(stored)
    if changed is not None:
        store.save(changed)
    return changed is not None


async def _end_of(task: asyncio.Future[None]) -> None:
    """Wait for it also while being cancelled."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((task,))
