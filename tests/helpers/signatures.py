"""The methods and signatures of a class, with what differs between async and blocking taken off."""

from __future__ import annotations

import inspect
import re

BLOCKING_NAME = {"aclose": "close"}


def methods(cls: type) -> dict[str, object]:
    """The public methods of a class, under their blocking names."""
    names = [name for name in dir(cls) if not name.startswith("_")]
    return {
        BLOCKING_NAME.get(name, name): getattr(cls, name)
        for name in names
        if inspect.isfunction(getattr(cls, name))
    }


def parameters(method) -> list[tuple]:
    """Names, kinds and defaults; for a constructor and for most methods the annotations too."""
    found = inspect.signature(method).parameters.values()
    return [(p.name, p.kind, p.default, p.annotation) for p in found]


def returned(method) -> str:
    """What a method returns, without the waiting."""
    return re.sub(
        r"\bAsyncIterator\b", "Iterator", str(inspect.signature(method).return_annotation)
    )
