"""What says which extra brings a package that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Around imports of what an extra brings: if they fail, say how it is installed.

    Args:
        extra: The extra.
        what: What cannot go on without it, as a message begins.

    Raises:
        ModuleNotFoundError: With the command that installs it.
        ImportError: Likewise, where it is there but cannot be imported, such as too old a release.
    """
    try:
        yield
    except ImportError as error:
        reason = str(error) or "it cannot be imported"
        problem = f"does not work here ({reason})"
        if isinstance(error, ModuleNotFoundError):
            problem = f"needs {(error.name or reason).partition('.')[0]}"
        message = f'{what} {problem}: pip install "selectools-observe[{extra}]"'
        raise type(error)(message, name=error.name) from error
