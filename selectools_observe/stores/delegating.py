"""A store in front of another: every method goes through, but for what a subclass does otherwise.

Written once, as coroutines, as backends are. Around an async store they await it; around a blocking
one they never suspend, so that the blocking stores drive them where they are called. What the store
behind does not have is derived from its five methods.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cached_property
from typing import Any, Self, TypeAlias, TypeVar

from ..backends.derived import DerivedStore, derived_store, given
from ..backends.method_table import METHODS, AsyncMethodTable
from ..errors import InvalidTraceError
from ..protocols import AsyncTraceStore, TraceStore, is_async_store
from .methods import BlockingMethods

AnyStore: TypeAlias = AsyncTraceStore | TraceStore
CoreT = TypeVar("CoreT", bound="WrappingCore")

_FIVE = ("save", "load", "list", "query", "delete")


def check_store(store: object) -> None:
    """Refuse what does not have the five methods.

    Raises:
        TypeError: It does not.
    """
    missing = [name for name in _FIVE if not callable(getattr(store, name, None))]
    if missing:
        raise TypeError(f"{store!r:.80} is not a trace store, it has no {', '.join(missing)}")


def check_kind(store: object, name: str, *, is_async: bool) -> None:
    """Refuse a store of the other kind.

    Raises:
        TypeError: It is of the other kind, or no store at all.
    """
    if not callable(getattr(store, "save", None)):
        raise TypeError(f"not a trace store: {store!r}")
    if is_async_store(store) is not is_async:
        other = name.removeprefix("Async") if is_async else f"Async{name}"
        kind = "a blocking" if is_async else "an async"
        raise TypeError(f"{store!r} is {kind} store: use {other}")


def behind(store: object) -> Iterator[object]:
    """The store, and all those behind it."""
    while True:
        yield store
        if not isinstance(store, WrappingCore | BlockingWrapper):
            return
        store = store.store


def innermost(store: object) -> object:
    """The store behind all that stand in front of it."""
    *_, last = behind(store)
    return last


def missing_methods(store: object) -> frozenset[str]:
    """Which methods a store does not have: old forms of three count as missing."""
    missing = {name for name in METHODS if not hasattr(store, name)}
    for name, option in (("list", "cursor"), ("query", "cursor"), ("delete", "descendants")):
        if name not in missing and not _takes(option, getattr(store, name)):
            missing.add(name)
    if _saves_otherwise(store):
        missing.add("update")
    return frozenset(missing)


def _saves_otherwise(store: object) -> bool:
    """Whether a subclass saves in a way of its own, which an inherited `update` does not know."""
    for base in type(store).__mro__:
        if "update" in vars(base):
            return False
        if "save" in vars(base):
            return "update" not in getattr(store, "__dict__", ())
    return False


def _takes(option: str, method: Callable[..., object]) -> bool:
    parameters = inspect.signature(method).parameters
    return option in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def changed_trace(run_id: str, trace: Any) -> Any:
    """What an update is to save.

    Raises:
        InvalidTraceError: It is a trace of another run.
    """
    found = getattr(trace, "run_id", run_id)
    if trace is not None and found != run_id:
        reason = f"must be that of the run that is updated, {run_id!r}"
        raise InvalidTraceError(found, "run_id", reason)
    return trace


class WrappingCore(AsyncMethodTable):
    """Gives every method to the store that it stands in front of.

    Args:
        store: That store.
        close: Whether it is closed with this one.
    """

    def __init__(self, store: AnyStore, *, close: bool = True) -> None:
        self.store = store
        self._closes = close
        self._missing = missing_methods(store)

    async def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if name in self._missing:
            return await getattr(self._derived, name)(*args, **kwargs)
        return await self._direct(name, *args, **kwargs)

    async def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        store = self._derived if name in self._missing else self.store
        items = getattr(store, name)(*args, **kwargs)
        if isinstance(items, AsyncIterator):
            async for item in items:
                yield item
        else:
            for item in items:
                yield item

    async def _direct(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method that the store has."""
        __tracebackhide__ = True
        return await given(getattr(self.store, name)(*args, **kwargs))

    @cached_property
    def _derived(self) -> DerivedStore:
        return derived_store(self.store, is_async=self._is_async, call=self._direct)

    @property
    def _is_async(self) -> bool:
        """Whether calls may suspend."""
        return is_async_store(self.store)

    async def aclose(self) -> None:
        """Close the store behind, if it can be closed."""
        if self._missing:
            await self._derived.aclose()
        for name in ("aclose", "close"):
            if self._closes and hasattr(self.store, name):
                await self._direct(name)
                return

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"


class AsyncContext(WrappingCore):
    """``async with``: enter the store behind, and close at the end."""

    async def __aenter__(self) -> Self:
        enter = getattr(self.store, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class BlockingWrapper(BlockingMethods[CoreT]):
    """The methods, blocking, over the same coroutines."""

    @property
    def store(self) -> AnyStore:
        """The store behind."""
        return self._core.store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"
