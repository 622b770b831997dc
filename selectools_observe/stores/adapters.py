"""Adapters between blocking and async stores."""

from __future__ import annotations

from typing import cast

from ..protocols import AsyncTraceStore, TraceStore, is_async_store
from .blocking import SyncTraceStore


def borrowed(store: TraceStore | AsyncTraceStore) -> TraceStore:
    """The store itself if it blocks, or else its blocking store.

    Raises:
        TypeError: It is not a store.
    """
    for verb in ("save", "load"):
        if not callable(getattr(store, verb, None)):
            raise TypeError(f"not a trace store, it has no {verb}(): {store!r}")
    if is_async_store(store):
        return _Face(cast("AsyncTraceStore", store))
    return cast("TraceStore", store)


def give_back(store: TraceStore) -> None:
    """Let go of what `borrowed` made; the store itself stays open."""
    if isinstance(store, _Face):
        store.close()


class _Face(SyncTraceStore):
    """A blocking store that closes only itself."""

    def __init__(self, store: AsyncTraceStore) -> None:
        super().__init__(cast("AsyncTraceStore", _WithoutClose(store)))


class _WithoutClose:
    def __init__(self, store: AsyncTraceStore) -> None:
        self._store = store
        self.save, self.load = store.save, store.load
        self.query, self.delete = store.query, store.delete
        if hasattr(store, "update"):
            self.update = store.update

    def __repr__(self) -> str:
        return repr(self._store)
