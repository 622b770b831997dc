"""The nesting of steps: which step is inside which."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.trace import StepType, TraceStep

_ENDS = {
    StepType.GRAPH_NODE_END: StepType.GRAPH_NODE_START,
    StepType.GRAPH_PARALLEL_END: StepType.GRAPH_PARALLEL_START,
}
_STARTS = frozenset(_ENDS.values())


def depths(steps: Sequence[TraceStep]) -> list[int]:
    """How deep each step is: what is between the start and the end of a graph's node, or of a
    parallel section, is inside of it. An end is as deep as its start.

    An end without a start changes nothing; a start without an end, as in a run that broke off,
    holds all that follows. A step that names the step it happened in, as the `Recorder` notes by
    the number ``parent_step`` in ``extra``, is inside of that.
    """
    found: list[int] = []
    opened: list[tuple[str, str | None]] = []
    for step in steps:
        parent = (step.extra or {}).get("parent_step")
        if isinstance(parent, int) and 0 < parent <= len(found):
            found.append(found[parent - 1] + 1)
            continue
        start = _ENDS.get(step.type)
        if start is not None:
            place = _last(opened, (start, step.node_name))
            if place is not None:
                del opened[place:]
        found.append(len(opened))
        if step.type in _STARTS:
            opened.append((step.type, step.node_name))
    return found


def _last(opened: Sequence[tuple[str, str | None]], wanted: tuple[str, str | None]) -> int | None:
    for place in range(len(opened) - 1, -1, -1):
        if opened[place] == wanted:
            return place
    return None
