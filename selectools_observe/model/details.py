"""What a summary says of a run next to its numbers: its name, input, output, session and outcome.

A run's own fields come first. What is not set is told by what is there, whenever somebody asks;
nothing of it is written into the stored run:

* ``name``, ``session_id``, ``user_id``, ``agent``: the metadata's entry under one of the names that
  frameworks use (`METADATA_NAMES`, the first that is there); ``tags``: ``metadata["tags"]``.
* ``input``: the first user message of the steps' ``input``; ``output``: the last text that a model
  answered.
* ``outcome``: ``unfinished`` if the metadata says so; ``cancelled`` by a cancelled step; then
  ``interrupted`` by a graph's interrupt that nothing resumed; ``error`` by a failure that nothing
  made good (`outcome_of`); or else ``ok``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Protocol, cast

import msgspec

from .amounts import Number, is_finite
from .facets import StepScan, is_free_of, is_set
from .json_values import plain
from .message_text import text_of
from .shapes import SummarizedStep
from .text import shortened
from .trace import AgentTrace, TraceSummary, TraceUsage, instant, span_of

METADATA_NAMES: dict[str, tuple[str, ...]] = {
    "name": ("name", "run_name", "workflow_name", "trace_name"),
    "session_id": (
        "session_id", "thread_id", "conversation_id", "group_id", "gen_ai.conversation.id",
        "session.id", "sessionId",
    ),
    "user_id": ("user_id", "user", "user.id", "enduser.id", "userId"),
    "agent": ("agent", "agent_name", "gen_ai.agent.name", "agent.name"),
}  # fmt: skip
"""Under which keys of the metadata frameworks tell of a run, the first that is there."""

_ALL_NAMES = frozenset(name for names in METADATA_NAMES.values() for name in names)
_FAILURES = frozenset({"error", "budget_exceeded"})
_TELLING = frozenset({*_FAILURES, "cancelled", "graph_interrupt"})
_TOOLS = frozenset({"tool_execution", "tool_selection"})


class RunDetails(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a summary says of a run next to its numbers; the fields are those of `TraceSummary`.

    ``started_us`` is ``started_at`` in microseconds since 1970. ``is_free``: the steps say that
    they cost nothing, which is not the same as saying nothing.
    """

    name: str | None = None
    input: str | None = None
    output: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    tags: tuple[str, ...] = ()
    outcome: str = "ok"
    started_us: int | None = None
    wall_ms: float | None = None
    is_free: bool = False

    @property
    def started_at(self) -> datetime | None:
        """When the run began."""
        return None if self.started_us is None else instant(self.started_us / 1e6)


class DetailedRun(Protocol):
    """The part of a run that details are told by, besides its steps."""

    start_time: Number
    name: Any
    input: Any
    output: Any
    session_id: Any
    user_id: Any
    agent: Any
    tags: Any
    outcome: Any
    end_time: Number | None


def details_of(trace: AgentTrace) -> RunDetails:
    """What a summary says of a run."""
    return details_of_parts(trace, trace.metadata, trace.steps)


def details_of_parts(
    run: DetailedRun,
    metadata: Mapping[str, Any],
    steps: Sequence[SummarizedStep],
    scan: StepScan | None = None,
) -> RunDetails:
    """What a summary says of a run that consists of these parts: its own fields, and the rest.

    Args:
        run: The run's own fields.
        metadata: Its metadata.
        steps: Its steps.
        scan: What is known of the steps already.
    """
    began, wall_ms = span_of(run.start_time, steps, run.end_time)
    name, session_id, user_id, agent = _names(run, metadata)
    asked, answered = run.input, run.output
    if asked is not None:
        asked = _short(asked, "user")
    elif scan is None or scan.has_input:
        asked = _input_of_steps(steps)
    if answered is not None:
        answered = _short(answered, "assistant")
    elif scan is None or scan.has_output:
        answered = _output_of_steps(steps)
    tags = metadata.get("tags") if run.tags is None else run.tags
    return RunDetails(
        name,
        asked,
        answered,
        session_id,
        user_id,
        agent,
        () if tags is None else _tags(tags),
        _outcome(run.outcome, metadata, steps, scan),
        None if began is None else round(began * 1_000_000),
        wall_ms,
        is_free_of(steps) if scan is None else scan.is_free,
    )


def cost_of(usage: TraceUsage, details: RunDetails) -> float | None:
    """What a run cost; None if no step says it."""
    return usage.cost_usd if usage.cost_usd or details.is_free else None


def make_summary(  # noqa: PLR0917 - a summary's fields, in their order
    run_id: str,
    steps: int,
    total_ms: float,
    created_at: datetime,
    metadata: dict[str, Any] | msgspec.Raw,
    usage: TraceUsage,
    has_error: bool,  # noqa: FBT001
    details: RunDetails,
) -> TraceSummary:
    """A summary of what is known of a run, its metadata as it is or the JSON of an object."""
    return TraceSummary(
        run_id,
        steps,
        total_ms,
        created_at,
        cast("dict[str, Any]", metadata),
        usage.prompt_tokens,
        usage.completion_tokens,
        cost_of(usage, details),
        has_error,
        details.name,
        details.input,
        details.output,
        details.session_id,
        details.user_id,
        details.agent,
        list(details.tags),
        details.outcome,
        details.started_at,
        details.wall_ms,
    )


def _names(run: DetailedRun, metadata: Mapping[str, Any]) -> list[str | None]:
    """The fields of `METADATA_NAMES`: the run's own, or what its metadata has."""
    names: list[str | None] = list(_own_names(run))
    is_named = not _ALL_NAMES.isdisjoint(metadata)
    for number, own in enumerate(names):
        if own is not None:
            names[number] = _word(own)
        elif is_named:
            names[number] = _name_in(metadata, _KEYS[number])
    return names


_own_names = attrgetter(*METADATA_NAMES)
_KEYS = tuple(METADATA_NAMES.values())


def _name_in(metadata: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    for key in keys:
        if key in metadata and (name := _word(metadata[key])):
            return name
    return None


_LARGEST_NUMBER = 2**63  # that is a name; Python does not even write all that are larger


def _word(value: Any) -> str | None:
    """A value as a name: text, or a number or an id as text."""
    if value is None or value.__class__ is str:
        return value
    if isinstance(value, bool | dict | list | tuple | set | float):
        return None
    try:
        stored = plain(value)
    except ValueError:
        return None
    if type(stored) is int and abs(stored) < _LARGEST_NUMBER:
        return str(stored)
    return stored if isinstance(stored, str) else None


def _tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple | set | frozenset):
        return ()
    words = [word for word in map(_word, value) if word is not None]
    return tuple(dict.fromkeys(words))


def _short(value: Any, role: str, *, as_json: bool = True) -> str | None:
    """The text of a value as it is stored, shortened."""
    try:
        stored = value if value.__class__ is str else plain(value)
        return shortened(text_of(stored, role, as_json=as_json))
    except ValueError:
        return None


def _input_of_steps(steps: Sequence[SummarizedStep]) -> str | None:
    """What the first of them was asked in words, or else given."""
    given = [step.input for step in steps if step.input is not None and step.type not in _TOOLS]
    return _first_text(given, "user")


def _output_of_steps(steps: Sequence[SummarizedStep]) -> str | None:
    """What the last of them answered in words, or else gave back."""
    came = [step.output for step in steps if step.output is not None and step.type not in _TOOLS]
    return _first_text(came[::-1], "assistant")


def _first_text(values: Sequence[Any], role: str) -> str | None:
    for as_json in (False, True):
        for value in values:
            text = _short(value, role, as_json=as_json)
            if text:
                return text
    return None


def _outcome(
    own: Any,
    metadata: Mapping[str, Any],
    steps: Sequence[SummarizedStep],
    scan: StepScan | None,
) -> str:
    said = _word(own) if own is not None else None
    if said:
        return said
    if metadata.get("unfinished") is True:
        return "unfinished"
    if scan is not None and not scan.failed and scan.types.isdisjoint(_TELLING):
        return "ok"  # as most do
    return outcome_of(steps)


def outcome_of(steps: Sequence[SummarizedStep]) -> str:
    """How a run with these steps ended.

    A failure is made good by a model call that went well after it, and by a later step of the same
    type and tool that went well: a tool that failed and was called again does not make a run fail.
    """
    types = {step.type for step in steps}
    if types.isdisjoint(_TELLING) and not any([step.error is not None for step in steps]):
        return "ok"  # as most do
    if "cancelled" in types:
        return "cancelled"
    if "graph_interrupt" in types and _is_interrupted(steps):
        return "interrupted"
    return "error" if _has_failed(steps) else "ok"


def _is_interrupted(steps: Sequence[SummarizedStep]) -> bool:
    interrupted = False
    for step in steps:
        if step.type == "graph_interrupt":
            interrupted = True
        elif step.type == "graph_resume":
            interrupted = False
    return interrupted


def _has_failed(steps: Sequence[SummarizedStep]) -> bool:
    succeeded: dict[tuple[str, str | None], float] = {}
    answered = -1.0
    # What could make a failure good is the like of it, or an answer.
    telling = {step.type for step in steps if step.error is not None or step.type in _FAILURES}
    telling.add("llm_call")
    for step in reversed(steps):
        kind = step.type
        if kind not in telling:
            continue
        end = _end_of(step)
        tool = step.tool_name
        what = (kind, tool if tool.__class__ is str else _word(tool))
        if kind in _FAILURES or (step.error is not None and is_set(step.error)):
            # What went well inside the failed step, before its end, made nothing good.
            if answered < end and succeeded.get(what, -1.0) < end:
                return True
        else:
            if end > succeeded.get(what, -1.0):
                succeeded[what] = end
            if kind == "llm_call" and end > answered:
                answered = end
    return False


def _end_of(step: SummarizedStep) -> float:
    """When a step ended; where no times are known, the order of the steps decides."""
    at, took = step.timestamp, step.duration_ms
    if at.__class__ is not float and not is_finite(at):
        return 0.0
    if took.__class__ is not float and not is_finite(took):
        took = 0
    if not 0 < at < _ENDLESS:
        return 0.0
    return at + took / 1000 if 0 < took < _ENDLESS else float(at)


_ENDLESS = float("inf")
