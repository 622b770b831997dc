"""Where the journals of runs under way are of a store that is in no file."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from .journal_file import RecordedRun


class JournalRecord(Protocol):
    """The record of all runs that go on in this process; may be used from any thread.

    What a method raises breaks nothing: the next may be tried all the same.
    """

    is_shared: bool
    """Whether others than this machine see it: then a step is over once they do."""

    def begin(self, head: bytes, /) -> int:
        """A run begins; the number that stands for it."""

    def doing(self, run: int, place: int, step: bytes, /) -> int:
        """A step has begun."""

    def step(self, run: int, place: int, step: bytes, /) -> int:
        """A step is over; up to where `sync` must go for it to survive."""

    def end(self, run: int, head: bytes, /) -> int:
        """The run is over, but maybe not in the store yet."""

    def forget(self, run: int, /) -> None:
        """The run is in the store."""

    def sync(self, upto: int, /) -> None:
        """Make what was written survive."""

    @property
    def kept_bytes(self) -> int:
        """The bytes of all runs that are not forgotten."""

    def close(self) -> None:
        """Let go; what the store has not stays."""


class Journals(Protocol):
    """The journals of a store."""

    def writer(self) -> JournalRecord:
        """A record for this process."""

    def running(self) -> list[tuple[RecordedRun, datetime]]:
        """The runs under way, and when each wrote its last line."""
