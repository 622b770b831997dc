"""A page of anything: a list that knows where the next page begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


class Page(list[T]):
    """A list, and where the next page begins.

    Args:
        items: What is on the page.
        next_cursor: See the attribute; or what makes it when it is asked for.
    """

    def __init__(
        self, items: Iterable[T] = (), next_cursor: str | Callable[[], str] | None = None
    ) -> None:
        super().__init__(items)
        self._next = next_cursor

    @property
    def next_cursor(self) -> str | None:
        """What to hand to the same method, with the same arguments, for the page after this one.

        None when this is the last.
        """
        if callable(self._next):
            self._next = self._next()
        return self._next
