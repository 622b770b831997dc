"""The methods for code that blocks, over coroutines that never suspend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, Self, TypeVar

from ..backends.method_table import MethodTable
from ..protocols import AsyncQueryableTraceStore
from ..runtime.interface import iterate_sync, run_sync

CoreT = TypeVar("CoreT", bound=AsyncQueryableTraceStore)


class ClosedAtEnd(ABC):
    """``with``: closed at the end."""

    @abstractmethod
    def close(self) -> None:
        """Close; closing again does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlockingMethods(MethodTable, ClosedAtEnd, Generic[CoreT]):
    """Each method drives the core's coroutine of that name, where it is called."""

    def __init__(self, core: CoreT) -> None:
        self._core = core

    def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return run_sync(getattr(self._core, name)(*args, **kwargs))

    def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return iterate_sync(getattr(self._core, name)(*args, **kwargs))

    def close(self) -> None:
        """See `QueryableTraceStore.close`."""
        run_sync(self._core.aclose())
