"""What belongs to one event loop, for stores that serve several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .fork import rest_during_forks
from .interface import Runtime

StateT = TypeVar("StateT")


class LoopLocal(Generic[StateT]):
    """One lane for each event loop (or one for all threads), made at first use.

    A lane whose loop is closed is discarded when the next one is made. After a fork the child
    begins with none.
    """

    def __init__(
        self, runtime: Runtime, make: Callable[[], StateT], discard: Callable[[StateT], None]
    ) -> None:
        self._runtime = runtime
        self._make = make
        self._discard = discard
        self._lanes: dict[object, StateT] = {}
        self._lock = threading.Lock()
        rest_during_forks(self)

    def current(self) -> StateT:
        here = self._runtime.here()
        lane = self._lanes.get(here)
        return lane if lane is not None else self._new(here)

    def _new(self, here: object) -> StateT:
        with self._lock:
            for other in [key for key in self._lanes if self._runtime.is_gone(key)]:
                self._discard(self._lanes.pop(other))
            if here not in self._lanes:
                self._lanes[here] = self._make()
            return self._lanes[here]

    def take_all(self) -> tuple[StateT | None, list[StateT]]:
        """Empty: the current lane, if there is one, and all others."""
        with self._lock:
            lanes, self._lanes = self._lanes, {}
        try:
            mine = lanes.pop(self._runtime.here(), None)
        except RuntimeError:  # no event loop here
            mine = None
        return mine, list(lanes.values())

    def __iter__(self) -> Iterator[StateT]:
        return iter(list(self._lanes.values()))

    def before_fork(self) -> None:
        pass

    def after_fork_in_parent(self) -> None:
        pass

    def after_fork_in_child(self) -> None:
        self._lanes = {}
        self._lock = threading.Lock()
