"""Runs of LangChain, which nest, as traces.

A root run becomes a trace. In it, calls of models and tools are steps, and a LangGraph node is two,
where it begins and where it ends. What is neither (a prompt, a parser, a sequence) is told next to
the steps, in the trace's ``extra["langchain"]["runs"]``. The duration of a node's end, and of a
tool, is its own time, without that of steps inside it: so a run's total counts no moment twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias
from uuid import UUID

from ...capture.error_text import error_text, is_cancellation
from ...model.trace import AgentTrace, StepType, TraceStep
from .values import goes_to, interrupts

log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["model", "tool", "node", "runnable"]

_HIDDEN = "langsmith:hidden"
_NODE_TAG = "graph:step:"
_ATTEMPT_TAG = "retry:attempt:"
_PLACE = ("langgraph_node", "langgraph_step")
"""Metadata that has fields of its own."""
_WHOSE = {
    "session_id": ("session_id", "thread_id", "conversation_id"),
    "user_id": ("user_id", "user.id"),
    "agent": ("lc_agent_name", "agent_name"),
}
"""Metadata that says whose a run is."""


class Run:
    """A run of LangChain that has begun.

    Attributes:
        step: Its step, if it is one; of a node, the one at its begin.
        entry: What is told of it next to the steps, if it is none.
        root: The run that everything is part of.
    """

    def __init__(self, kind: Kind, run_id: UUID, name: str | None, parent: Run | None) -> None:
        self.kind = kind
        self.run_id = run_id
        self.name = name
        self.parent = parent
        self.root: Root = parent.root if parent else Root(self)
        self.step: TraceStep | None = None
        self.entry: dict[str, Any] | None = None
        self.began_at = time.time()
        self.began = time.perf_counter()
        self.first_token: float | None = None
        self.chunks = 0
        self.metadata: Mapping[str, Any] = {}
        self.inner: list[tuple[float, float]] = []
        """When steps inside it ran."""

    @property
    def node(self) -> Run | None:
        """The node that it is, or is part of."""
        run: Run | None = self
        while run is not None and run.kind != "node":
            run = run.parent
        return run

    def keep(self, **what: Any) -> None:
        """Keep what has no field."""
        kept = {name: value for name, value in what.items() if value not in (None, [], {})}
        if self.step is not None:
            for name in ("input", "output"):
                if name in kept:
                    setattr(self.step, name, kept.pop(name))
        if self.step is not None:
            self.step.extra = (self.step.extra or {}) | kept
        elif self.entry is not None:
            self.entry |= kept

    def end(self) -> float:
        """Note that it ended; how long it took on its own, milliseconds."""
        ended = time.perf_counter()
        if self.kind != "runnable":
            around = self.parent
            while around is not None and around.kind == "runnable":
                around = around.parent
            if around is not None:
                around.inner.append((self.began, ended))
        return (ended - self.began - _covered(self.inner)) * 1000


class Root:
    """What belongs to one root run: its trace, and the runs that are part of it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.trace = AgentTrace(run_id=str(run.run_id))
        self.members: dict[UUID, Run] = {}
        self.tags: set[str] = set()
        self.entries: list[dict[str, Any]] = []
        self.paused_by: set[Any] = set()
        self.reported: set[int] = set()
        """The errors that steps tell already, by their ids: each is alive until the root ends."""

    def finish(self) -> AgentTrace:
        """The trace; what is still open in it is marked."""
        for run in self.members.values():
            run.keep(unfinished=True)
        if self.entries:
            self.kept["runs"] = self.entries
        return self.trace

    @property
    def kept(self) -> dict[str, Any]:
        """What the trace keeps of LangChain's own."""
        self.trace.extra = self.trace.extra or {}
        kept: dict[str, Any] = self.trace.extra.setdefault("langchain", {})
        return kept


class Runs:
    """All that is under way. One serves any number of threads.

    Args:
        max_open_runs: How many root runs there may be at once.
    """

    def __init__(self, max_open_runs: int) -> None:
        self._max = max_open_runs
        self._lock = threading.Lock()
        self._open: dict[UUID, Run] = {}
        self._roots: dict[UUID, Root] = {}

    def get(self, run_id: UUID) -> Run | None:
        return self._open.get(run_id)

    def __len__(self) -> int:
        return len(self._open)

    def begin(
        self,
        kind: Kind,
        run_id: UUID,
        parent_run_id: UUID | None,
        name: str | None,
        tags: Sequence[str] | None,
        metadata: Mapping[str, Any] | None,
    ) -> Run:
        """A run begins; as a child of its parent if that is under way here."""
        tags, metadata = tags or (), metadata or {}
        if kind == "runnable" and any(tag.startswith(_NODE_TAG) for tag in tags):
            kind = "node" if metadata.get("langgraph_node") == name else kind
        parent = self._open.get(parent_run_id) if parent_run_id else None
        run = Run(kind, run_id, name, parent)
        if parent is None:
            _describe_root(run.root, parent_run_id, tags, metadata)
        _describe(run, tags, metadata)
        with self._lock:
            self._open[run_id] = run
            run.root.members[run_id] = run
            if parent is None:
                self._roots[run_id] = run.root
        return run

    def end(self, run_id: UUID, error: BaseException | None = None) -> tuple[Run | None, bool]:
        """A run ends: the run, if it is known, and whether it is a root."""
        with self._lock:
            run = self._open.pop(run_id, None)
            if run is None:
                return None, False
            run.root.members.pop(run_id, None)
            is_root = self._roots.pop(run_id, None) is not None
            if is_root:
                self._forget(run.root)
        _end(run, error)
        if is_root:
            run.root.trace.end_time = run.began_at + (time.perf_counter() - run.began)
        if is_root and error is not None:
            _tell_error(run.root, error)
        return run, is_root

    def given_up(self) -> AgentTrace | None:
        """The oldest root's trace so far, if there are too many."""
        with self._lock:
            if len(self._roots) <= self._max:
                return None
            root = self._roots.pop(next(iter(self._roots)))
            self._forget(root)
        log.warning("run %r is still open after %d others", root.trace.run_id, self._max)
        return _unfinished(root)

    def rest(self) -> list[AgentTrace]:
        """The traces so far of all that is under way, which is forgotten."""
        with self._lock:
            roots = list(self._roots.values())
            self._roots.clear()
            self._open.clear()
        return [_unfinished(root) for root in roots]

    def _forget(self, root: Root) -> None:
        for run_id in root.members:
            self._open.pop(run_id, None)


def _unfinished(root: Root) -> AgentTrace:
    root.trace.metadata["unfinished"] = True
    return root.finish()


def _describe_root(
    root: Root, parent_run_id: UUID | None, tags: Sequence[str], metadata: Mapping[str, Any]
) -> None:
    root.tags = set(tags)
    root.trace.start_time = root.run.began_at
    root.trace.parent_run_id = str(parent_run_id) if parent_run_id else None
    root.trace.metadata = dict(metadata)
    root.trace.name = root.run.name
    for field, names in _WHOSE.items():
        said = next((metadata[name] for name in names if metadata.get(name)), None)
        if said is not None:
            setattr(root.trace, field, str(said))
    if tags:
        root.trace.tags = list(tags)
    if root.run.name:
        root.trace.metadata.setdefault("name", root.run.name)
    if tags:
        root.trace.metadata.setdefault("tags", list(tags))


def _describe(run: Run, tags: Sequence[str], metadata: Mapping[str, Any]) -> None:
    """Make a run's step, or its entry next to the steps."""
    root = run.root
    if run.kind == "runnable":
        if run.parent is not None and _HIDDEN not in tags:
            run.entry = {
                "run_id": str(run.run_id),
                "parent_run_id": str(run.parent.run_id),
                "name": run.name,
                "timestamp": run.began_at,
            }
            root.entries.append(run.entry)
    else:
        types = {
            "model": StepType.LLM_CALL,
            "tool": StepType.TOOL_EXECUTION,
            "node": StepType.GRAPH_NODE_START,
        }
        run.step = TraceStep(types[run.kind], timestamp=run.began_at)
        _place(run.step, run, metadata)
        root.trace.steps.append(run.step)
    attempts = [tag.removeprefix(_ATTEMPT_TAG) for tag in tags if tag.startswith(_ATTEMPT_TAG)]
    run.metadata = metadata
    known = run.parent.metadata if run.parent else root.trace.metadata
    own = {n: v for n, v in metadata.items() if known.get(n) != v and n not in _PLACE}
    run.keep(
        metadata=own,
        tags=[tag for tag in tags if tag not in root.tags],
        attempt=int(attempts[0]) if attempts and attempts[0].isdecimal() else None,
    )
    if run.step is not None:
        run.keep(run_id=str(run.run_id))
        run.keep(parent_run_id=str(run.parent.run_id) if run.parent else None)


def _place(step: TraceStep, run: Run, metadata: Mapping[str, Any]) -> None:
    node = run.node
    number = metadata.get("langgraph_step")
    step.node_name = node.name if node else metadata.get("langgraph_node")
    step.step_number = number if isinstance(number, int) else None


def _end(run: Run, error: BaseException | None) -> None:
    own = run.end()
    if run.kind == "node":
        begin = run.step
        run.step = TraceStep(StepType.GRAPH_NODE_END, duration_ms=own)
        if begin is not None:
            run.step.node_name, run.step.step_number = begin.node_name, begin.step_number
        run.keep(run_id=str(run.run_id))
        run.keep(parent_run_id=str(run.parent.run_id) if run.parent else None)
        run.root.trace.steps.append(run.step)
    elif run.step is not None:
        run.step.duration_ms = own
    elif run.entry is not None:
        run.entry["duration_ms"] = (time.perf_counter() - run.began) * 1000
    if run.chunks:
        waited = (run.first_token or run.began) - run.began
        run.keep(chunks=run.chunks, time_to_first_token_ms=waited * 1000)
    if error is not None:
        _fail(run, error)


def _fail(run: Run, error: BaseException) -> None:
    paused = interrupts(error)
    if is_cancellation(error):
        run.keep(unfinished=True)
    elif paused is not None:
        # What pauses a node inside pauses the nodes around it too: that is one interrupt.
        new = [each for each in paused if each["id"] not in run.root.paused_by]
        if run.kind == "node" and run.step is not None and new:
            run.step.type = StepType.GRAPH_INTERRUPT
            run.step.interrupt_key = new[0]["id"]
            run.keep(interrupts=new)
            run.root.paused_by |= {each["id"] for each in new}
    elif goes_to(error) is not None:
        if run.kind == "node" and id(error) not in run.root.reported:
            run.root.reported.add(id(error))  # the nodes around it hand on the same
            route(run, goes_to(error) or [])
    elif run.step is not None:
        run.step.error = error_text(error)
        run.root.reported.add(id(error))
    else:
        run.keep(error=error_text(error))


def route(run: Run, places: list[str]) -> None:
    """Have the trace say where a node that has ended hands on."""
    if (ended := run.step) is None:
        return
    for place in places:
        step = TraceStep(StepType.GRAPH_ROUTING, from_node=ended.node_name, to_node=place)
        step.node_name, step.step_number = ended.node_name, ended.step_number
        run.root.trace.steps.append(step)


def _tell_error(root: Root, error: BaseException) -> None:
    """Have the trace say why its root run failed, if no step of it does."""
    steps = root.trace.steps
    if is_cancellation(error):
        summary = f"The run was ended by {type(error).__name__}"
        steps.append(TraceStep(StepType.CANCELLED, summary=summary))
    elif goes_to(error) is not None:
        if "langgraph_node" not in root.trace.metadata:  # no graph around it takes the hand-off
            steps.append(TraceStep(StepType.ERROR, error=error_text(error)))
    elif id(error) not in root.reported and interrupts(error) is None:
        steps.append(TraceStep(StepType.ERROR, error=error_text(error)))


def _covered(spans: list[tuple[float, float]]) -> float:
    """How long at least one of these spans lasted."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
