"""An exception as a step tells it, whatever its class does when it is looked at."""

from __future__ import annotations

import asyncio

_CANCELLATIONS = (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)


def is_cancellation(error: object) -> bool:
    """Whether it makes code stop that has not failed."""
    return issubclass(type(error), _CANCELLATIONS)  # isinstance() would look at the error too


def error_text(error: BaseException) -> str:
    """An exception as a step's ``error``: its type and what it says."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error's own text may fail
        text = ""
    name = type(error).__name__
    return f"{name}: {text}" if text else name
