"""What blocking stores are made of, and `SyncTraceStore`.

`SQLiteTraceStore` and its siblings drive the backends' own coroutines where they are called: no
event loop, and a save waits for no thread. `SyncTraceStore` is for any other async store: it runs
that on an event loop in a thread of its own.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ..backends.base import StoreCore
from ..backends.file_base import FileCore
from ..backends.files.journals import Journals
from ..backends.method_table import FileMethodTable, MethodTable
from ..errors import StoreClosedError
from ..model.retention import Retention
from ..protocols import AsyncTraceStore, RunIds, is_async_store
from ..runtime.fork import rest_during_forks
from ..runtime.interface import run_sync
from .delegating import AnyStore, WrappingCore
from .methods import BlockingMethods, ClosedAtEnd

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal, BlockingPortalProvider

CoreT = TypeVar("CoreT", bound=StoreCore[Any])
FileCoreT = TypeVar("FileCoreT", bound=FileCore[Any])
T = TypeVar("T")


class BlockingStore(BlockingMethods[CoreT]):
    """The methods, blocking, over the same coroutines that the async stores run."""

    def __init__(self, core: CoreT, retention: Retention | None = None) -> None:
        super().__init__(core)
        self._core._call_it(type(self).__name__)
        try:
            run_sync(core._open())
        except BaseException:
            self.close()
            raise
        core._keep_to(retention)

    @property
    def path(self) -> str | None:
        """The file that the traces are in; None in memory."""
        return self._core.path

    @property
    def journals(self) -> Journals | None:
        """Where journals of its runs are kept; None for a folder next to the file."""
        return self._core.journals

    def load_json(self, run_ids: Iterable[str]) -> dict[str, bytes]:
        """What is stored of those of the runs that are there, and not damaged, by their ids."""
        return run_sync(self._core.load_json(run_ids))

    def recover(self) -> RunIds:
        """Put runs into the store whose programs were killed while a live record was kept.

        Happens by itself at the first method. They carry ``"unfinished": true`` in their metadata.

        Returns:
            The ids of these runs.
        """
        return run_sync(self._core.recover())

    def __repr__(self) -> str:
        return repr(self._core)


class BlockingFileStore(BlockingStore[FileCoreT], FileMethodTable):
    """The maintenance of the file too."""


class _Portals:
    """One background loop for all that are open, ended with the last of them."""

    def __init__(self) -> None:
        self._provider: BlockingPortalProvider | None = None
        self._leases: list[ExitStack] = []
        rest_during_forks(self)
        # A loop that runs until the interpreter is taken apart would be waited for for ever.
        atexit.register(self.end)

    def lease(self, stack: ExitStack) -> BlockingPortal:
        from anyio.from_thread import BlockingPortalProvider  # noqa: PLC0415 - slow, seldom used

        if self._provider is None:
            self._provider = BlockingPortalProvider(backend="asyncio")
        self._leases.append(stack)
        return stack.enter_context(self._provider)

    def give_back(self, stack: ExitStack) -> None:
        stack.close()
        with suppress(ValueError):
            self._leases.remove(stack)

    def end(self) -> None:
        """At exit: also those whose stores were never closed."""
        while self._leases:
            self._leases.pop().close()

    def before_fork(self) -> None:
        pass

    def after_fork_in_parent(self) -> None:
        pass

    def after_fork_in_child(self) -> None:
        # The thread is not here. The provider is kept all the same: freed, it would wait for it.
        _inherited.extend((self._provider, *self._leases))
        self._provider, self._leases = None, []


_inherited: list[object] = []
_portals = _Portals()


class SyncTraceStore(MethodTable, FileMethodTable, ClosedAtEnd):
    """Any `AsyncTraceStore` for code that blocks, on an event loop in a background thread.

    For stores that have no blocking form of their own: a third party's, one on a network. What the
    store does not have is derived from its five methods; see `DerivedStore` for what that costs.

    Args:
        store: The async store.
        close: Whether it is closed with this one.

    Attributes:
        store: The async store.

    Raises:
        TypeError: It is not an async store.
    """

    def __init__(self, store: AsyncTraceStore, *, close: bool = True) -> None:
        if not is_async_store(store):
            raise TypeError(f"not an async trace store: {store!r}")
        self.store: AnyStore = store
        self._core = WrappingCore(store, close=close)
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()
        self._idle = threading.Condition(threading.Lock())
        self._under_way = 0
        self._closed = False
        rest_during_forks(self, holds_others=True)

    def close(self) -> None:
        """Close the async store, if it can be, and let go of the background loop."""
        with self._idle:
            closed, self._closed = self._closed, True
            self._idle.wait_for(lambda: self._under_way == 0)
        if not closed:
            self._call(self._core.aclose)
            _portals.give_back(self._stack)

    def __repr__(self) -> str:
        return f"SyncTraceStore({self.store!r})"

    def before_fork(self) -> None:
        self._idle.acquire()

    def after_fork_in_parent(self) -> None:
        self._idle.release()

    def after_fork_in_child(self) -> None:
        self._idle = threading.Condition(threading.Lock())
        self._under_way = 0
        _inherited.append(self._stack)
        self._portal, self._stack = None, ExitStack()

    def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._core._forward, name, *args, **kwargs)

    def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return self._iterate(self._core._forward_stream(name, *args, **kwargs))

    def _run(self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        with self._idle:
            if self._closed:
                raise StoreClosedError(repr(self.store))
            self._under_way += 1
        try:
            return self._call(method, *args, **kwargs)
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def _call(self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        async def run() -> T:
            return await method(*args, **kwargs)

        return self._loop().call(run)

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                item = self._run(items.__anext__)
            except StopAsyncIteration:
                return
            yield item

    def _loop(self) -> BlockingPortal:
        with self._idle:
            if self._portal is None:
                self._portal = _portals.lease(self._stack)
            return self._portal
