"""Many cases of one check, tried on one store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeAlias

import pytest

Case: TypeAlias = Callable[[object], AbstractContextManager[None]]


@contextlib.contextmanager
def all_cases() -> Iterator[Case]:
    """Try every case, then fail if one did, naming each that did.

    A store for each case would cost more than the check itself::

        with all_cases() as case:
            for value in values:
                with case(value):
                    assert await caller.ids(...) == [...]
    """
    failures: list[BaseException] = []
    tried = 0

    @contextlib.contextmanager
    def case(name: object) -> Iterator[None]:
        nonlocal tried
        tried += 1
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001
            # Raised at the end, with the others'.
            error.add_note(f"case: {ascii(name)[:200]}")
            failures.append(error)

    yield case
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {tried} cases failed", failures)
