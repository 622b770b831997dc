"""What is stored: runs (`AgentTrace`) made of steps (`TraceStep`), and their summaries.

Names, defaults and dictionary shapes are those of selectools 1.3.0, so that either side reads the
other's files. What this version does not know is kept in ``extra`` and written back as it came.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ..errors import InvalidTraceError
from .amounts import Number, is_finite, total_of
from .annotations import Latest
from .json_values import UnstorableValueError, copied, deep_copy, dumps, loads
from .shapes import TimedStep

# A key that no field of a file can take from us: a file that does use it goes the slow way round.
EXTRA_ON_THE_WIRE = "__selectools_observe_extra__"


class StepType(str, Enum):  # noqa: UP042 - its str() is not the value, as in selectools
    """What a step did. Equal to its plain string: ``StepType.LLM_CALL == "llm_call"``.

    ``StepType("anything")`` makes a member for a type this version does not know, so that newer
    files survive a round trip; ``.value`` holds the string.
    """

    LLM_CALL = "llm_call"
    TOOL_SELECTION = "tool_selection"
    TOOL_EXECUTION = "tool_execution"
    CACHE_HIT = "cache_hit"
    ERROR = "error"
    STRUCTURED_RETRY = "structured_retry"
    GUARDRAIL = "guardrail"
    COHERENCE_CHECK = "coherence_check"
    OUTPUT_SCREENING = "output_screening"
    SESSION_LOAD = "session_load"
    SESSION_SAVE = "session_save"
    MEMORY_SUMMARIZE = "memory_summarize"
    ENTITY_EXTRACTION = "entity_extraction"
    KG_EXTRACTION = "kg_extraction"
    BUDGET_EXCEEDED = "budget_exceeded"
    CANCELLED = "cancelled"
    PROMPT_COMPRESSED = "prompt_compressed"
    GRAPH_NODE_START = "graph_node_start"
    GRAPH_NODE_END = "graph_node_end"
    GRAPH_ROUTING = "graph_routing"
    GRAPH_CHECKPOINT = "graph_checkpoint"
    GRAPH_INTERRUPT = "graph_interrupt"
    GRAPH_RESUME = "graph_resume"
    GRAPH_PARALLEL_START = "graph_parallel_start"
    GRAPH_PARALLEL_END = "graph_parallel_end"
    GRAPH_STALL = "graph_stall"
    GRAPH_LOOP_DETECTED = "graph_loop_detected"

    # Enum's own hash is written in Python; steps are hashed at every save.
    __hash__ = str.__hash__

    @classmethod
    def _missing_(cls, value: object) -> StepType | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = value
        unknown._value_ = str.__str__(value)
        return unknown

    def __reduce_ex__(self, protocol: object) -> tuple[type[StepType], tuple[str]]:
        # By value, so that unknown types pickle and copy too.
        return (StepType, (self._value_,))


# Not looked at by the garbage collector, which would walk all steps of all loaded traces again and
# again: a step that contains itself (which no store could take) is the price.
class TraceStep(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One step of a run.

    Attributes:
        type: What the step did; a plain string becomes a `StepType` in `AgentTrace.add`, at save
            and at load.
        timestamp: When it began, seconds since the epoch.
        duration_ms: How long it took, milliseconds.
        tool_name: The tool selected or executed.
        tool_args: Its arguments.
        tool_result: What it returned, as text.
        model: The model called.
        prompt_tokens: Tokens sent to the model.
        completion_tokens: Tokens the model wrote.
        cost_usd: What the call cost, US dollars.
        reasoning: The model's stated reasoning.
        error: The error's text, if the step failed.
        summary: One line for people.
        node_name: The graph node the step ran in.
        step_number: The graph's own count of steps.
        checkpoint_id: The graph checkpoint written or read.
        interrupt_key: The key of a graph interrupt.
        from_node: Where a routing came from.
        to_node: Where it went.
        children: Names of the branches of a parallel step.
        input: What it was given: the messages of a model call, or any other JSON value.
        output: What came of it, likewise.
        extra: Fields of a file that this version does not know; written back next to the others.
    """

    # Factories keep these two in the file even when they hold the default.
    type: StepType
    timestamp: Number = msgspec.field(default_factory=time.time)
    duration_ms: Number = msgspec.field(default_factory=float)
    tool_name: str | None = None
    tool_args: dict[str, Any] | None = None
    tool_result: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Number | None = None
    reasoning: str | None = None
    error: str | None = None
    summary: str | None = None
    node_name: str | None = None
    step_number: int | None = None
    checkpoint_id: str | None = None
    interrupt_key: str | None = None
    from_node: str | None = None
    to_node: str | None = None
    children: list[str] | None = None
    input: Any = None
    output: Any = None
    extra: dict[str, Any] | None = msgspec.field(default=None, name=EXTRA_ON_THE_WIRE)

    if TYPE_CHECKING:  # msgspec makes one that takes a plain string for the type too

        def __init__(  # noqa: PLR0917
            self,
            type: StepType | str,  # noqa: A002
            timestamp: Number = ...,
            duration_ms: Number = ...,
            tool_name: str | None = None,
            tool_args: dict[str, Any] | None = None,
            tool_result: str | None = None,
            model: str | None = None,
            prompt_tokens: int | None = None,
            completion_tokens: int | None = None,
            cost_usd: Number | None = None,
            reasoning: str | None = None,
            error: str | None = None,
            summary: str | None = None,
            node_name: str | None = None,
            step_number: int | None = None,
            checkpoint_id: str | None = None,
            interrupt_key: str | None = None,
            from_node: str | None = None,
            to_node: str | None = None,
            children: list[str] | None = None,
            input: Any = None,  # noqa: A002
            output: Any = None,
            extra: dict[str, Any] | None = None,
        ) -> None: ...

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set, in their order, then what ``extra`` holds; a deep copy.

        Raises:
            InvalidTraceError: ``extra`` is no dictionary, or a value cannot be copied.
        """
        return self._as_dict(None, "")

    def _as_dict(self, run_id: object, path: str) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name in STEP_FIELDS:
            value = getattr(self, name)
            if value is not None:
                fields[name] = _own(value, run_id, path, name)
        fields["type"] = getattr(self.type, "value", self.type)
        if self.extra:
            fields |= _without(self.extra, _KNOWN_STEP_FIELDS, run_id, f"{path}extra")
        return fields

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The step of a dictionary made by `to_dict`; keys without a field go to ``extra``.

        Raises:
            TypeError: ``type`` is not a string.
        """
        known = {name: data[name] for name in STEP_FIELDS if name in data}
        known["type"] = step_type(known.get("type", "error"))
        # Written as null: a number that was none.
        for name in ("timestamp", "duration_ms"):
            if known.get(name, 0.0) is None:
                known[name] = 0.0
        extra = {name: value for name, value in data.items() if name not in _KNOWN_STEP_FIELDS}
        return cls(**known, extra=extra or None)


STEP_FIELDS: tuple[str, ...] = tuple(n for n in TraceStep.__struct_fields__ if n != "extra")
_KNOWN_STEP_FIELDS = frozenset(STEP_FIELDS)


class AgentTrace(msgspec.Struct):
    """One run of an agent: its steps in order, and what the caller says about it.

    Attributes:
        steps: The steps, oldest first.
        start_time: When the run began, seconds since the epoch.
        run_id: The run's id, a non-empty string; a random one unless given.
        parent_run_id: The run that started this one.
        metadata: Whatever the caller wants to find the run by.
        name: What kind of run it is: "refund", "nightly report".
        input: What was asked of it: text, messages, or any other JSON value.
        output: What it answered, likewise.
        session_id: The conversation or thread that it is part of.
        user_id: Whom it was made for.
        agent: The agent's name.
        tags: Words to find it by.
        outcome: How it ended: one of `OUTCOMES`. Unset, summaries tell it by the steps (see
            `selectools_observe.model.details`).
        end_time: When the run ended, seconds since the epoch. Unset, its last step tells.
        extra: Fields of a file that this version does not know; written back next to the others.

    The fields after ``metadata`` are written as further keys where they are set. A field that a
    file holds in another type than this is kept as it is.

    A trace is truthy even with no steps: a run that failed before its first step is worth keeping.
    """

    steps: list[TraceStep] = msgspec.field(default_factory=list)
    start_time: Number = msgspec.field(default_factory=time.time)
    run_id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    parent_run_id: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    name: str | None = None
    input: Any = None
    output: Any = None
    session_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    tags: list[str] | None = None
    outcome: str | None = None
    end_time: Number | None = None
    extra: dict[str, Any] | None = None

    def add(self, step: TraceStep) -> None:
        """Append a step.

        Raises:
            TypeError: The step's ``type`` is not a string.
        """
        step.type = step_type(step.type)
        self.steps.append(step)

    def filter(self, *, type: StepType | str | None = None) -> list[TraceStep]:  # noqa: A002
        """The steps of one type, or all of them."""
        return [step for step in self.steps if type is None or step.type == type]

    @property
    def total_duration_ms(self) -> Number:
        """The sum of all steps' durations, milliseconds; one that is not finite counts as 0."""
        return total_ms(self.steps)

    @property
    def llm_duration_ms(self) -> Number:
        """The share of `StepType.LLM_CALL` steps, milliseconds."""
        return total_ms(self.filter(type=StepType.LLM_CALL))

    @property
    def tool_duration_ms(self) -> Number:
        """The share of `StepType.TOOL_EXECUTION` steps, milliseconds."""
        return total_ms(self.filter(type=StepType.TOOL_EXECUTION))

    @property
    def started_at(self) -> datetime | None:
        """When the run began: ``start_time`` or its earliest step, UTC; None if no time is set."""
        began = span_of(self.start_time, self.steps, self.end_time)[0]
        return None if began is None else instant(began)

    @property
    def wall_ms(self) -> float | None:
        """From the first beginning to the last end, milliseconds; None if nothing tells."""
        return span_of(self.start_time, self.steps, self.end_time)[1]

    def timeline(self) -> str:
        """One line a step, then the totals, for people: the form that selectools gives."""
        from .selectools_forms import timeline  # noqa: PLC0415 - few ask for it

        return timeline(self)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the run to a file, as indented JSON in the shape of `to_dict`.

        Raises:
            InvalidTraceError: It holds what JSON cannot.
            OSError: The file cannot be written.
        """
        from .selectools_forms import write_json  # noqa: PLC0415 - few ask for it

        try:
            steps = list(self.steps)
            data = dumps(uncopied(self, self.run_id, steps, total_ms(steps)))
        except UnstorableValueError as error:
            raise InvalidTraceError(self.run_id, error.path, error.reason) from error.__cause__
        except (TypeError, AttributeError) as error:
            raise InvalidTraceError(self.run_id, "steps", f"cannot be read: {error}") from error
        write_json(data, path)

    def to_otel_spans(self) -> list[dict[str, Any]]:
        """The run as plain span dictionaries, as selectools gives them: the run, then its steps.

        Times are nanoseconds since the epoch. For spans by OpenTelemetry's GenAI conventions,
        sent to a collector, see `selectools_observe.integrations.opentelemetry`.
        """
        from .selectools_forms import span_dicts  # noqa: PLC0415 - few ask for it

        return span_dicts(self)

    def to_dict(self) -> dict[str, Any]:
        """The run as plain data, the shape that files hold; a deep copy.

        Raises:
            InvalidTraceError: ``extra`` is no dictionary, or a value cannot be copied.
        """
        steps, run_id = list(self.steps), self.run_id
        data = _run_fields(self, run_id, [], total_ms(steps))
        data = {name: _own(value, run_id, name) for name, value in data.items()}
        plain = [step._as_dict(run_id, f"steps[{n}].") for n, step in enumerate(steps)]  # noqa: SLF001
        data |= {"step_count": len(steps), "steps": plain}
        return data | _without(self.extra or {}, TRACE_KEYS, run_id, "extra")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The run of a dictionary made by `to_dict`; keys without a field go to ``extra``.

        Raises:
            TypeError: The data is not of that shape.
        """
        known = {name: data[name] for name in ("start_time", "run_id") if name in data}
        if known.get("start_time", 0.0) is None:
            known["start_time"] = 0.0
        steps = data.get("steps") or []
        if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
            raise TypeError("steps must be a list of objects")
        extra = {name: value for name, value in data.items() if name not in TRACE_KEYS}
        return cls(
            steps=[TraceStep.from_dict(step) for step in steps],
            parent_run_id=data.get("parent_run_id"),
            metadata=data.get("metadata") or {},
            extra=extra or None,
            **known,
            **{name: data[name] for name in DETAIL_FIELDS if name in data},
        )

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[TraceStep]:
        return iter(self.steps)

    def __bool__(self) -> bool:
        return True

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from .html_repr import trace_html  # noqa: PLC0415 - only notebooks need it

        return trace_html(self)

    def __repr__(self) -> str:
        return (
            f"AgentTrace(run_id={self.run_id!r}, steps={len(self.steps)}, "
            f"total_ms={self.total_duration_ms:.1f})"
        )


OUTCOMES = ("ok", "error", "cancelled", "interrupted", "unfinished")
"""How a run ends: as it should; with an error that nothing made good; told to stop; waiting for
somebody's answer; or not at all."""

DETAIL_FIELDS = (
    "name", "input", "output", "session_id", "user_id", "agent", "tags", "outcome",
    "end_time",
)  # fmt: skip
"""The fields of a run that are next to selectools' own."""

TRACE_KEYS = frozenset(
    {
        "run_id",
        "start_time",
        "total_duration_ms",
        "step_count",
        "steps",
        "parent_run_id",
        "metadata",
        *DETAIL_FIELDS,
    }
)


class TraceSummary(msgspec.Struct, gc=False):  # noqa: PLW1641 - not hashable: it may change
    """What `list` and `query` return: a run without its steps.

    Attributes:
        run_id: The run's id.
        steps: How many steps it has.
        total_ms: The sum of their durations, milliseconds.
        created_at: When the trace was saved, an aware UTC datetime.
        metadata: The run's metadata.
        prompt_tokens: Tokens sent to models, all steps together.
        completion_tokens: Tokens that models wrote.
        cost_usd: What the steps cost, US dollars, as far as they say it; None if none does.
        has_error: Some step is of type ``error`` or carries an ``error`` text.
        name: The run's name.
        input: What was asked of it, its first 200 characters.
        output: What it answered, likewise.
        session_id: The conversation or thread that it is part of.
        user_id: Whom it was made for.
        agent: The agent's name.
        tags: Its tags.
        outcome: How it ended, one of `OUTCOMES` unless the run itself says another word.
        started_at: When it began, an aware UTC datetime; None if nothing tells.
        wall_ms: From the first beginning to the last end, milliseconds; None if nothing tells.
        annotations: By name, the newest annotation of the run, or else of its steps; notes have
            their first 200 characters.

    Metadata that a store gives is decoded when it is first asked for. To write a summary as JSON
    use `to_dict`, not ``msgspec.structs.asdict``.

    ``prompt_tokens`` to ``has_error`` come from the steps; a backend that does not know them leaves
    them at zero, and the cost unknown. Those from ``name`` on come from the run's own fields or
    else from its metadata and its steps: `selectools_observe.model.details` says how.
    """

    run_id: str
    steps: int
    total_ms: float
    created_at: datetime
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    has_error: bool = False
    name: str | None = None
    input: str | None = None
    output: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    outcome: str = "ok"
    started_at: datetime | None = None
    wall_ms: float | None = None
    annotations: Latest = msgspec.field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        decode_metadata(self)
        decode_metadata(other)
        return super().__eq__(other)

    def __repr__(self) -> str:
        decode_metadata(self)
        return super().__repr__()

    @property
    def scores(self) -> dict[str, float]:
        """The scores that the run was given, by name."""
        found = self.annotations.items()
        return {name: one.score for name, one in found if one.score is not None}

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON values, in the shape that the HTTP service and the command speak."""
        decode_metadata(self)
        fields = msgspec.structs.asdict(self)
        fields["annotations"] = {name: one.to_dict() for name, one in self.annotations.items()}
        for name in ("created_at", "started_at"):
            if fields[name] is not None:
                fields[name] = instant_text(fields[name])
        return fields


# The field of the struct itself, in which metadata may be as it is stored: JSON of a msgspec.Raw.
_metadata_field = vars(TraceSummary)["metadata"]
# What copy.copy() would look for each time.
_copied_struct: Callable[[TraceSummary], TraceSummary] = methodcaller("__copy__")


def decode_metadata(summary: TraceSummary) -> dict[str, Any]:
    """The metadata of a summary, which is decoded if nobody asked for it yet."""
    metadata = _metadata_field.__get__(summary)
    if metadata.__class__ is msgspec.Raw:
        metadata = loads(bytes(metadata))
        _metadata_field.__set__(summary, metadata)
    return metadata  # type: ignore[no-any-return]


# Lists are made of many summaries, and few ask for the metadata, which may be of any size.
setattr(TraceSummary, "metadata", property(decode_metadata, _metadata_field.__set__))  # noqa: B010


def copy_of(summary: TraceSummary) -> TraceSummary:
    """A summary that its receiver may change."""
    same = _copied_struct(summary)
    metadata = _metadata_field.__get__(summary)
    if metadata.__class__ is not msgspec.Raw:
        _metadata_field.__set__(same, copied(metadata) if metadata else {})
    same.tags = [*summary.tags]
    same.annotations = {**summary.annotations}
    return same


class TraceUsage(msgspec.Struct, frozen=True, gc=False):
    """What the steps of a run used, all together.

    Attributes:
        prompt_tokens: Tokens sent to models.
        completion_tokens: Tokens that models wrote.
        cost_usd: US dollars.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


class TraceFacts(msgspec.Struct, frozen=True, gc=False):
    """What filters ask of a run beyond its summary.

    Attributes:
        parent_run_id: As in `AgentTrace`.
        has_error: Some step is of type ``error`` or carries an ``error`` text.
        step_types: The types that occur among the steps.
        tool_names: The tools that occur.
        models: The models that occur.
        failed_types: The types of the steps that failed.
        failed_tools: Their tools.
        failed_models: Their models.
    """

    parent_run_id: str | None
    has_error: bool
    step_types: frozenset[str] = frozenset()
    tool_names: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    failed_types: frozenset[str] = frozenset()
    failed_tools: frozenset[str] = frozenset()
    failed_models: frozenset[str] = frozenset()


STEP_TYPES: dict[str, StepType] = {kind.value: kind for kind in StepType}
"""The types that are known, by their strings."""


def step_type(value: object) -> StepType:
    """The `StepType` of a string, known or not.

    Raises:
        TypeError: It is not a string.
    """
    if value.__class__ is StepType:
        return value
    plain = value._value_ if isinstance(value, Enum) else value  # `value` takes four times as long
    if not isinstance(plain, str):
        raise TypeError(f"a step's type must be a string, not {value!r}")
    return (STEP_TYPES.get(plain) if plain.__class__ is str else None) or StepType(plain)


_DURATION = attrgetter("duration_ms")


def total_ms(steps: Iterable[TraceStep]) -> Number:
    """The sum of the steps' durations, milliseconds."""
    return total_of(list(map(_DURATION, steps)))


_NODE_END = StepType.GRAPH_NODE_END  # an enumeration takes long to look up a member of its own


def span_of(
    start_time: Number, steps: Sequence[TimedStep], end_time: Number | None = None
) -> tuple[Number | None, float | None]:
    """When a run began, seconds since 1970, and how long it took, milliseconds.

    A time that is not after 1970 or not finite is not known. A node's end is stamped when it ends,
    any other step when it begins.
    """
    began = start_time if _is_time(start_time) else None
    ended = end_time if end_time is not None and _is_time(end_time) else None
    for step in steps:
        at = step.timestamp
        if at.__class__ is not float and not is_finite(at):
            continue
        if 0 < at < _LATEST:
            if began is None or at < began:
                began = at
            took = step.duration_ms
            if took.__class__ is float or took.__class__ is int or is_finite(took):
                is_end = not 0 < took < _LATEST or step.type == _NODE_END
                end = at if is_end else at + took / 1000
                if ended is None or end > ended:
                    ended = end
    if began is None or (ended is None and steps):
        return began, None
    return began, 0.0 if ended is None else max(0.0, float(ended - began) * 1000)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def instant_text(moment: datetime) -> str:
    """A UTC instant as RFC 3339 text with microseconds."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def instant(seconds: Number) -> datetime | None:
    """The instant, UTC; None if there is no such date."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


_LATEST = 253_402_300_800.0  # the year 10000, seconds since 1970


def _is_time(value: Number) -> bool:
    return (value.__class__ is float or is_finite(value)) and 0 < value < _LATEST


def _without(
    extra: dict[str, Any], names: Container[str], run_id: object, path: str
) -> dict[str, Any]:
    if not isinstance(extra, dict):
        raise InvalidTraceError(run_id, path, f"must be a dict, not {type(extra).__name__}")
    return {
        name: _own(value, run_id, path, ".", str(name))
        for name, value in extra.items()
        if name not in names
    }


def _own(value: Any, run_id: object, *place: str) -> Any:
    """The value itself if it cannot change, or else a copy."""
    if isinstance(value, str | int | float):
        return value
    try:
        return deep_copy(value)
    except RecursionError:
        reason = "is nested too deeply to be copied"
        raise InvalidTraceError(run_id, "".join(place), reason) from None


def _run_fields(
    trace: AgentTrace, run_id: str, steps: list[dict[str, Any]], total: Number
) -> dict[str, Any]:
    """The fields of a run that are set, with these steps; nothing is copied."""
    data: dict[str, Any] = {
        "run_id": run_id,
        "start_time": trace.start_time,
        "total_duration_ms": total,
        "step_count": len(steps),
        "steps": steps,
    }
    if trace.parent_run_id is not None:
        data["parent_run_id"] = trace.parent_run_id
    if trace.metadata:
        data["metadata"] = trace.metadata
    found = ((name, getattr(trace, name)) for name in DETAIL_FIELDS)
    return data | {name: value for name, value in found if value is not None}


def uncopied(
    trace: AgentTrace, run_id: str, steps: Sequence[TraceStep], total: Number
) -> dict[str, Any]:
    """`AgentTrace.to_dict` without copying: some values cannot be copied but can be written.

    Raises:
        UnstorableValueError: ``extra`` is no dictionary, or holds what has a field of its own.
    """
    plain = [uncopied_step(step, number) for number, step in enumerate(steps)]
    check_extra(trace.extra, TRACE_KEYS, "extra")
    return _run_fields(trace, run_id, plain, total) | (trace.extra or {})


def uncopied_step(step: TraceStep, number: int) -> dict[str, Any]:
    """The fields of a step that are set, and those of its ``extra``; nothing is copied."""
    if step.extra is not None:
        check_extra(step.extra, STEP_FIELDS, f"steps[{number}].extra")
    present = {name: v for name, v in msgspec.structs.asdict(step).items() if v is not None}
    extra: dict[str, Any] = present.pop("extra", {})
    return present | extra


def check_extra(extra: dict[str, Any] | None, fields: Collection[str], path: str) -> None:
    """Refuse what is no dictionary, or holds one of these fields.

    Raises:
        UnstorableValueError: It is so.
    """
    if extra is not None and not isinstance(extra, dict):
        raise UnstorableValueError(path, f"must be a dict, not {type(extra).__name__}")
    if extra and not extra.keys().isdisjoint(fields):
        taken = min(extra.keys() & set(fields))
        raise UnstorableValueError(f"{path}.{taken}", "has a field of its own: set that")
