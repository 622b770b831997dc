"""The error for a framework that is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Around imports from a framework: if it is missing, say which extra brings it.

    Raises:
        ModuleNotFoundError: With the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        message = f'{what} needs {error.name}: pip install "selectools-observe[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name) from error
