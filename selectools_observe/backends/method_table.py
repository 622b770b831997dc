"""Every method of a store, listed once, for classes that hand all of them on.

A class that stands in front of a store inherits a table and says only how a call is handed on. The
signatures are those of `StoreCore`: a new method of the stores is one line in each table here.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from .base import StoreCore
from .file_base import FileCore

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A method with this one's name and signature that is handed on."""
    name = method.__name__

    async def forwarded(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        result: T = await self._forward(name, *args, **kwargs)
        return result

    return functools.wraps(method)(forwarded)


def _streamed(
    method: Callable[Concatenate[Any, P], AsyncIterator[T]],
) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """`_awaited`, of a stream."""
    name = method.__name__

    async def forwarded(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        async for item in self._forward_stream(name, *args, **kwargs):
            yield item

    return functools.wraps(method)(forwarded)


def _blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]:
    """`_awaited`, for code that blocks."""
    name = method.__name__

    def forwarded(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        result: T = self._forward(name, *args, **kwargs)
        return result

    return _as_blocking(method, forwarded)


def _blocking_stream(
    method: Callable[Concatenate[Any, P], AsyncIterator[T]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """`_blocking`, of a stream."""
    name = method.__name__

    def forwarded(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items: Iterator[T] = self._forward_stream(name, *args, **kwargs)
        return items

    return _as_blocking(method, forwarded)


CallableT = TypeVar("CallableT", bound=Callable[..., Any])


def _as_blocking(method: Callable[..., Any], forwarded: CallableT) -> CallableT:
    """The function with name, text and signature of a coroutine function, without the waiting."""
    functools.update_wrapper(forwarded, method)
    forwarded.__doc__ = (method.__doc__ or "").replace("`Async", "`")
    signature = inspect.signature(method)
    result = str(signature.return_annotation).replace("AsyncIterator", "Iterator")
    forwarded.__signature__ = signature.replace(return_annotation=result)  # type: ignore[attr-defined]
    return forwarded


class _Forwarding(ABC):
    @abstractmethod
    def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """What the store's method of this name gives; of an async table, as an awaitable."""

    @abstractmethod
    def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """What the store's stream of this name gives."""


class AsyncDerivedTable(_Forwarding):
    """The methods of an async store beyond the five."""

    save_many = _awaited(StoreCore.save_many)
    update = _awaited(StoreCore.update)
    load_many = _awaited(StoreCore.load_many)
    count = _awaited(StoreCore.count)
    histogram = _awaited(StoreCore.histogram)
    search = _awaited(StoreCore.search)
    statistics = _awaited(StoreCore.statistics)
    groups = _awaited(StoreCore.groups)
    facets = _awaited(StoreCore.facets)
    annotate = _awaited(StoreCore.annotate)
    annotate_many = _awaited(StoreCore.annotate_many)
    annotations = _awaited(StoreCore.annotations)
    annotations_of = _awaited(StoreCore.annotations_of)
    remove_annotation = _awaited(StoreCore.remove_annotation)
    delete_many = _awaited(StoreCore.delete_many)
    prune = _awaited(StoreCore.prune)
    health = _awaited(StoreCore.health)
    iter_summaries = _streamed(StoreCore.iter_summaries)
    iter_traces = _streamed(StoreCore.iter_traces)


class AsyncFiveTable(_Forwarding):
    """The five methods of an async store."""

    save = _awaited(StoreCore.save)
    load = _awaited(StoreCore.load)
    list = _awaited(StoreCore.list)
    query = _awaited(StoreCore.query)
    delete = _awaited(StoreCore.delete)


class AsyncMethodTable(AsyncDerivedTable, AsyncFiveTable):
    """The methods of an async store."""


class AsyncFileMethodTable(_Forwarding):
    """The maintenance of an async store in a file."""

    verify = _awaited(FileCore.verify)
    backup = _awaited(FileCore.backup)
    repair = _awaited(FileCore.repair)
    compact = _awaited(FileCore.compact)


class DerivedTable(_Forwarding):
    """The methods of a blocking store beyond the five."""

    save_many = _blocking(StoreCore.save_many)
    update = _blocking(StoreCore.update)
    load_many = _blocking(StoreCore.load_many)
    count = _blocking(StoreCore.count)
    histogram = _blocking(StoreCore.histogram)
    search = _blocking(StoreCore.search)
    statistics = _blocking(StoreCore.statistics)
    groups = _blocking(StoreCore.groups)
    facets = _blocking(StoreCore.facets)
    annotate = _blocking(StoreCore.annotate)
    annotate_many = _blocking(StoreCore.annotate_many)
    annotations = _blocking(StoreCore.annotations)
    annotations_of = _blocking(StoreCore.annotations_of)
    remove_annotation = _blocking(StoreCore.remove_annotation)
    delete_many = _blocking(StoreCore.delete_many)
    prune = _blocking(StoreCore.prune)
    health = _blocking(StoreCore.health)
    iter_summaries = _blocking_stream(StoreCore.iter_summaries)
    iter_traces = _blocking_stream(StoreCore.iter_traces)


class FiveTable(_Forwarding):
    """The five methods of a blocking store."""

    save = _blocking(StoreCore.save)
    load = _blocking(StoreCore.load)
    list = _blocking(StoreCore.list)
    query = _blocking(StoreCore.query)
    delete = _blocking(StoreCore.delete)


class MethodTable(DerivedTable, FiveTable):
    """The methods of a blocking store."""


class FileMethodTable(_Forwarding):
    """The maintenance of a blocking store in a file."""

    verify = _blocking(FileCore.verify)
    backup = _blocking(FileCore.backup)
    repair = _blocking(FileCore.repair)
    compact = _blocking(FileCore.compact)


METHODS = tuple(
    name
    for table in (AsyncDerivedTable, AsyncFiveTable)
    for name in vars(table)
    if not name.startswith("_")
)
"""The names of all methods of a store but closing."""
