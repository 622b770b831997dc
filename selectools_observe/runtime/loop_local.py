"""State that belongs to one event loop, for stores that serve several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .fork import rest_during_forks
from .interface import Runtime

StateT = TypeVar("StateT")


class LoopLocal(Generic[StateT]):
    """One state for each event loop (or one for all threads), made at first use.

    That of a closed loop is discarded when the next one is made. After a fork the child begins
    with none.
    """

    def __init__(
        self, runtime: Runtime, make: Callable[[], StateT], discard: Callable[[StateT], None]
    ) -> None:
        self._runtime = runtime
        self._make = make
        self._discard = discard
        self._states: dict[object, StateT] = {}
        self._lock = threading.Lock()
        rest_during_forks(self)

    def current(self) -> StateT:
        scope_key = self._runtime.scope_key()
        state = self._states.get(scope_key)
        return state if state is not None else self._new(scope_key)

    def _new(self, scope_key: object) -> StateT:
        with self._lock:
            for other in [key for key in self._states if self._runtime.is_gone(key)]:
                self._discard(self._states.pop(other))
            if scope_key not in self._states:
                self._states[scope_key] = self._make()
            return self._states[scope_key]

    def take_all(self) -> tuple[StateT | None, list[StateT]]:
        """Empty: the current state, if there is one, and all others."""
        with self._lock:
            states, self._states = self._states, {}
        try:
            mine = states.pop(self._runtime.scope_key(), None)
        except RuntimeError:  # no event loop here
            mine = None
        return mine, list(states.values())

    def __iter__(self) -> Iterator[StateT]:
        return iter(list(self._states.values()))

    def before_fork(self) -> None:
        pass

    def after_fork_in_parent(self) -> None:
        pass

    def after_fork_in_child(self) -> None:
        self._states = {}
        self._lock = threading.Lock()
