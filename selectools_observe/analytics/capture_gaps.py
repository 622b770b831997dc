"""What of a run capture did not keep: texts that it cut, and events that it lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..model.text import counted
from ..model.trace import AgentTrace
from .conversation import Turn


class CaptureGaps(msgspec.Struct, frozen=True):
    """What is missing in a run as it was stored.

    Attributes:
        texts: How many of its messages, tool calls and results were cut.
        characters: How many characters are missing there.
        lost_events: How many events of the framework could not be taken.
    """

    texts: int = 0
    characters: int = 0
    lost_events: int = 0

    def __bool__(self) -> bool:
        return bool(self.texts or self.lost_events)

    def __str__(self) -> str:
        cut = f"{counted(self.characters, 'character')} of {counted(self.texts, 'message')}"
        found = [f"capture cut {cut}"] if self.texts else []
        if self.lost_events:
            found.append(f"capture lost {counted(self.lost_events, 'event')}")
        return "; ".join(found)


def gaps_of(trace: AgentTrace, turns: Sequence[Turn]) -> CaptureGaps:
    """What capture did not keep of a run, whose turns `conversation_of` gives."""
    cut = [turn.not_kept for turn in turns if turn.not_kept is not None]
    return CaptureGaps(len(cut), sum(cut), lost_events(trace.extra or {}))


def gaps_as_json(gaps: CaptureGaps) -> dict[str, Any]:
    """The figures, and under ``message`` what they say."""
    return {**msgspec.to_builtins(gaps), "message": str(gaps)}


def lost_events(extra: Mapping[str, Any]) -> int:
    """How many events a framework's integration could not read; it notes them in ``extra``."""
    places = [extra, *(value for value in extra.values() if isinstance(value, Mapping))]
    found = [place["lost_events"] for place in places if "lost_events" in place]
    return sum(len(each) for each in found if isinstance(each, list))
