"""The tool calls of a conversation that wait for their execution or their result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..model.json_values import canonical

Call = TypeVar("Call")


class OpenCalls(Generic[Call]):
    """Calls by tool and arguments, the oldest first; however many wait, each is found at once."""

    def __init__(self) -> None:
        self._by_key: dict[object, dict[int, Call]] = {}
        self._keys: dict[int, tuple[object, ...]] = {}

    def add(self, call: Call, name: str | None, arguments: Any) -> None:
        """Let a call wait for its execution."""
        keys = (name, (name, canonical(arguments)))
        self._keys[id(call)] = keys
        for key in keys:
            self._by_key.setdefault(key, {})[id(call)] = call

    def find(self, name: str | None, arguments: Any) -> Call | None:
        """The call that an execution is of: the same arguments if there is one, or the first."""
        if name not in self._by_key:
            return None
        for key in ((name, canonical(arguments)), name):
            for call in self._by_key.get(key, {}).values():
                return call
        return None

    def close(self, call: Call) -> None:
        """It waits no longer."""
        for key in self._keys.pop(id(call), ()):
            del self._by_key[key][id(call)]


class UnansweredCalls(Generic[Call]):
    """Calls that have no result yet, the newest first.

    Args:
        is_answered: Whether a call has a result by now.
    """

    def __init__(self, is_answered: Callable[[Call], bool]) -> None:
        self._is_answered = is_answered
        self._by_id: dict[str, Call] = {}
        self._stacks: dict[tuple[bool, str | None], list[Call]] = {}

    def add(self, call: Call, call_id: str | None, name: str | None) -> None:
        """Let a call wait for its result."""
        if call_id is not None:
            self._by_id[call_id] = call
        for is_nameless in (False,) if call_id is not None else (False, True):
            for known in {None, name}:
                self._stacks.setdefault((is_nameless, known), []).append(call)

    def find(self, call_id: str | None, name: str | None) -> Call | None:
        """The call that a result is of: the one with its id, or else the last without a result.

        A result with an id is of no call that has another.
        """
        if call_id is not None and call_id in self._by_id:
            return self._by_id[call_id]
        stack = self._stacks.get((call_id is not None, name), [])
        while stack and self._is_answered(stack[-1]):
            stack.pop()
        return stack[-1] if stack else None
