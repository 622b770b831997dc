"""A run with what a store says of it: when it was saved, and its annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, cast

from .annotations import Annotation
from .trace import AgentTrace


class SavedTrace(Protocol):
    """What exports take in place of a trace, such as `saved_runs` gives.

    Attributes:
        trace: The run.
        created_at: When it was saved, aware; None if nobody knows.
        annotations: Its annotations, oldest first.
    """

    @property
    def trace(self) -> AgentTrace: ...
    @property
    def created_at(self) -> datetime | None: ...
    @property
    def annotations(self) -> Sequence[Annotation]: ...


def as_saved(trace: object) -> SavedTrace | None:
    """The object as a `SavedTrace`; None if it is a trace itself, or something else."""
    is_saved = hasattr(trace, "trace") and not hasattr(trace, "steps")
    return cast("SavedTrace", trace) if is_saved else None
