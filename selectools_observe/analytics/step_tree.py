"""The nesting of steps: which step is inside which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..model.trace import AgentTrace, StepType, TraceStep

_ENDS = {
    StepType.GRAPH_NODE_END: StepType.GRAPH_NODE_START,
    StepType.GRAPH_PARALLEL_END: StepType.GRAPH_PARALLEL_START,
}
_STARTS = frozenset(_ENDS.values())
_IDS = (
    ("otel", "span_id", "parent_span_id", "spans"),
    ("openai", "span_id", "parent_id", "spans"),
    ("langchain", "run_id", "parent_run_id", "runs"),
)
"""Where integrations keep the id of a step's span or run, that of the one around it, and, for the
whole run, those that are not steps. LangChain's stand among the fields of the step."""


def parents(trace: AgentTrace) -> list[int | None]:
    """The step that each step is inside of, by its place; None at the top.

    A step is inside of the one whose span or run it names as its own's parent, as integrations
    keep them, also where others are at work at the same time; or of the step that it names by its
    number, ``parent_step`` in ``extra``, as the `Recorder` does. Else it is inside of the graph's
    node, or the parallel section, that has begun and not ended, rather one of its own name, or that
    names it as its branch. An end is inside of its start; one without a start changes nothing. A
    start without an end holds what follows, up to the end of what it is inside of.
    """
    found: list[int | None] = []
    opened = _Opened()
    named = _Named(trace)
    for place, step in enumerate(trace.steps):
        start = _ENDS.get(step.type)
        ended = None
        if start is not None:
            ended = named.begun(step)
            ended = opened.last(start, _name_of(step)) if ended is None else ended
        outer = named.around(step, place) if ended is None else ended
        if outer is None:
            found.append(opened.around(step))
        else:
            found.append(outer if outer >= 0 else None)
        if ended is not None:
            opened.end(ended)
        opened.add(step, place, found[-1])
        named.add(step, place)
    return found


def depths(trace: AgentTrace) -> list[int]:
    """How deep each step is, by its `parents`. An end is as deep as its start."""
    found: list[int] = []
    for step, outer in zip(trace.steps, parents(trace), strict=True):
        if outer is None:
            found.append(0)
        else:
            is_end = _ENDS.get(step.type) is trace.steps[outer].type
            found.append(found[outer] + (not is_end))
    return found


class _Opened:
    """The nodes and parallel sections that have begun and not ended.

    Each is looked at a few times only, however many there are: a run may have any number.
    """

    def __init__(self) -> None:
        self._inner: dict[int, list[int]] = {}
        self._latest: dict[tuple[str | None, ...], list[int]] = {}
        self._holders: list[int | None] = []

    def add(self, step: TraceStep, place: int, outer: int | None) -> None:
        """A step, which may be the start of one."""
        holder = outer if outer is None or outer in self._inner else self._holders[outer]
        self._holders.append(holder)
        if step.type not in _STARTS:
            return
        self._inner[place] = []
        if holder in self._inner:
            self._inner[holder].append(place)
        named: object = step.children
        names = named if isinstance(named, list) else []
        branches = [("branch", name) for name in names if isinstance(name, str)]
        node = _name_of(step)
        for key in ((), (step.type, node), ("named", node), *branches):
            self._latest.setdefault(key, []).append(place)

    def end(self, place: int) -> None:
        """It has ended, and what is inside of it and did not end."""
        ended = [place]
        while ended:
            ended += self._inner.pop(ended.pop(), ())

    def around(self, step: TraceStep) -> int | None:
        """The one that a step is inside of, which names none itself."""
        by_name = None
        node = _name_of(step)
        if node is not None:
            by_name = self.last("branch" if step.type in _STARTS else "named", node)
        return self.last() if by_name is None else by_name

    def last(self, *key: str | None) -> int | None:
        """The latest that is still at work."""
        places = self._latest.get(key, [])
        while places and places[-1] not in self._inner:
            places.pop()
        return places[-1] if places else None


def _name_of(step: TraceStep) -> str | None:
    """The node; a file may hold anything in the place of its name."""
    return step.node_name if isinstance(step.node_name, str) else None


class _Named:
    """The steps so far by the ids of their spans or runs."""

    def __init__(self, trace: AgentTrace) -> None:
        extra = trace.extra or {}
        self._places: dict[str, int] = {}
        self._outer = dict(_others(extra))
        kept = extra.get("otel")
        root = kept.get("root") if isinstance(kept, dict) else None
        self._roots = (trace.run_id, root.get("span_id") if isinstance(root, dict) else None)

    def add(self, step: TraceStep, place: int) -> None:
        own, _ = _ids(step)
        if own is not None and step.type not in _ENDS:
            self._places.setdefault(own, place)

    def begun(self, step: TraceStep) -> int | None:
        """The start of what this step ends."""
        own, _ = _ids(step)
        return None if own is None else self._places.get(own)

    def around(self, step: TraceStep, place: int) -> int | None:
        """The step that this one says it is inside of; -1 if that is the run itself."""
        _, outer = _ids(step)
        left = len(self._outer)  # spans of a mistaken sender may be inside of each other
        while outer in self._outer and outer not in self._places and left > 0:
            outer = self._outer[outer]
            left -= 1
        if outer is not None and (outer in self._places or outer in self._roots):
            return self._places.get(outer, -1)
        number = (step.extra or {}).get("parent_step")
        return number - 1 if type(number) is int and 0 < number <= place else None


def _ids(step: TraceStep) -> tuple[str | None, str | None]:
    extra = step.extra or {}
    for key, own, outer, _ in _IDS:
        kept = extra if key == "langchain" else extra.get(key)
        if isinstance(kept, dict) and isinstance(kept.get(own), str):
            parent = kept.get(outer)
            return kept[own], parent if isinstance(parent, str) else None
    return None, None


def _others(extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Spans and runs that are not steps, with the one around each."""
    for key, own, outer, others in _IDS:
        kept = extra.get(key)
        entries = kept.get(others) if isinstance(kept, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                name, around = entry.get(own), entry.get(outer)
                if isinstance(name, str) and isinstance(around, str):
                    yield name, around
