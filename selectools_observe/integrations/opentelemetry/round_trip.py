"""What we write next to the conventions' attributes, so that a run we sent comes back as it was.

The conventions have no place for a step's checkpoint, its own count of steps or a float's last
digit. Whatever a reader of the attributes alone would get wrong is in one attribute.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import msgspec

from ...model.json_values import dumps, json_text
from ...model.limits import loads_limited
from ...model.trace import STEP_FIELDS
from .spans import SpanRecord

MARK = "selectools_observe.mark"


class Fix(msgspec.Struct, omit_defaults=True):
    """What to change in a dictionary: entries to set, names to take out."""

    set: dict[str, Any] = {}
    unset: list[str] = []

    def applied(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The dictionary with these changes."""
        kept = {name: value for name, value in data.items() if name not in self.unset}
        return kept | self.set


class StepMark(Fix):
    """A step that a span stands for.

    Attributes:
        index: Its place among the run's steps.
        end: It is told by the span's end, not by its start.
        usage: It is told by what the span reports of tokens and costs.
        keep: Entries of its ``extra`` that the span's attributes tell; others there, of a step that
            was never OpenTelemetry's, somebody added on the way.
    """

    index: int = 0
    end: bool = False
    keep: list[str] = []
    usage: bool = False

    @property
    def part(self) -> str:
        """Which part of the span tells it."""
        return "end" if self.end else "usage" if self.usage else "start"


class Mark(msgspec.Struct, omit_defaults=True):
    """All that one of our spans says next to the conventions.

    Attributes:
        added: Attributes that are not the step's, but said once more for other readers.
        steps: The steps it stands for.
        native: They were never OpenTelemetry's; nothing of the span is to be kept with them.
        run: Changes to the run; on its first span only.
        created_at: When a store had saved the run, as text; on its first span only.
    """

    added: list[str] = []
    steps: list[StepMark] = []
    native: bool = False
    run: Fix | None = None
    created_at: str | None = None


def marked(record: SpanRecord, mark: Mark) -> SpanRecord:
    """The span with its mark."""
    text = json_text(msgspec.to_builtins(mark))
    return msgspec.structs.replace(record, attributes=record.attributes | {MARK: text})


def unmarked(record: SpanRecord) -> tuple[SpanRecord, Mark | None]:
    """The span without its mark and what came with it; a mark that cannot be read stays."""
    text = record.attributes.get(MARK)
    if not isinstance(text, str):
        return record, None
    try:
        mark = msgspec.convert(loads_limited(text), Mark)
    except (ValueError, msgspec.ValidationError):
        return record, None
    others = {
        name: value
        for name, value in record.attributes.items()
        if name != MARK and name not in mark.added
    }
    return msgspec.structs.replace(record, attributes=others), mark


# Others add messages of their own making under these names, so they have to be asked for.
_OWN = frozenset(STEP_FIELDS) - {"input", "output"}


def without_additions(reported: Mapping[str, Any], keep: Container[str]) -> dict[str, Any]:
    """A step's fields, and those other entries that are to be kept."""
    return {name: reported[name] for name in reported if name in _OWN or name in keep}


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Fix:
    """What makes of the one dictionary the other."""
    return Fix(
        set={
            name: value
            for name, value in wanted.items()
            if name not in found or dumps(found[name]) != dumps(value)
        },
        unset=[name for name in found if name not in wanted],
    )
