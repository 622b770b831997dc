"""The fixtures and flags that a conformance suite is given."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

import pytest

from ..model.trace import AgentTrace
from .callers import StoreCaller

Reopen: TypeAlias = Callable[[], Any]
Damage: TypeAlias = Callable[[str], object]
SetClock: TypeAlias = Callable[[datetime], object]


class Backend:
    """The base of all suites. Give ``store``; give or set the others where they apply.

    Fixtures:

    * ``store``: a fresh, empty store. Close it in the fixture; it may be closed already by then.
    * ``reopen``: a callable that gives a second store on the same data, or None (the default) when
      the data is gone with the store. The suite closes the stores it was given.
    * ``damage``: a callable that spoils the stored trace with this run id, past the store's back,
      so that it cannot be read; or None (the default).
    * ``set_clock``: a callable that makes the store's clock stand still at an aware datetime; or
      None (the default).

    Checks that need an optional fixture are skipped without it, and say so.
    """

    closes: ClassVar[bool] = True
    """Whether the store has a close: not part of the five methods, but of a good backend."""

    shared: ClassVar[bool] = True
    """Whether two stores may have the same data open at once and see each other's saves. Asked only
    of a backend with a ``reopen``."""

    many_loops: ClassVar[bool] = True
    """Whether one async store may be used from several event loops. Often a network client may not.
    """

    capacity: ClassVar[int | None] = None
    """How many traces the store keeps, the least recently saved or loaded being evicted first; None
    if it keeps all. The suite needs room for 700."""

    text_size: ClassVar[int] = 2_000_000
    """Characters in the longest text that the suite saves. Lower it for a backend with a limit."""

    annotates: ClassVar[bool] = True
    """Whether the store keeps annotations; what is derived from the five methods does not."""

    replaces_at_once: ClassVar[bool] = True
    """Whether a run that is saved again is seen exactly once at every moment. Without, it may be
    seen twice for a moment, never not at all."""

    tells_deleters_apart: ClassVar[bool] = True
    """Whether of two stores that delete a run at once exactly one is told that it did. Without,
    each may be told so, and the run is gone."""

    caller_type: ClassVar[type[StoreCaller]]

    @pytest.fixture
    def reopen(self) -> Reopen | None:
        """A second store on the same data; see `Backend`."""
        return None

    @pytest.fixture
    def damage(self) -> Damage | None:
        """Spoils a stored trace; see `Backend`."""
        return None

    @pytest.fixture
    def set_clock(self) -> SetClock | None:
        """Stops the store's clock; see `Backend`."""
        return None

    @pytest.fixture
    def caller(self, store: Any) -> StoreCaller:
        """The store, every method of which is awaited."""
        return self.caller_type(store)

    @contextlib.asynccontextmanager
    async def another(self, reopen: Reopen | None) -> AsyncIterator[StoreCaller]:
        """A second store on the same data, closed at the end."""
        if reopen is None:
            pytest.skip("no fixture `reopen`: the data is gone with the store")
        caller = self.caller_type(reopen())
        try:
            yield caller
        finally:
            if self.closes:
                await caller.close()

    async def save_all(self, caller: StoreCaller, traces: Iterable[AgentTrace]) -> list[str]:
        """Save traces one after another; their run ids, newest first."""
        return [await caller.save(trace) for trace in traces][::-1]
