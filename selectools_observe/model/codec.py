"""The codec: a trace to JSON and back, without loss.

Strict and fast first: msgspec writes and reads the shapes we know. What it refuses (fields of a
newer version, values of foreign types, lone surrogates) goes through plain dictionaries.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from ..errors import InvalidTraceError
from ..runtime.gil import GilYielder
from .amounts import Number
from .details import RunDetails, details_of_parts, make_summary
from .facets import StepScan
from .json_values import UnstorableValueError, dumps, loads, replace_foreign
from .reference_writer import may_repeat, with_references
from .references import KEY, expand
from .trace import (
    AgentTrace,
    TraceFacts,
    TraceStep,
    TraceSummary,
    TraceUsage,
    step_type,
    total_ms,
    uncopied,
    uncopied_step,
)
from .validation import check_metadata_depth, fit_to_store, is_storable_id, validate_steps


class TraceType(Protocol):
    """What ``trace_type=`` takes: a class that makes its objects from a dictionary."""

    def from_dict(self, data: dict[str, Any], /) -> Any:
        """The object for the dictionary that `AgentTrace.to_dict` describes."""


class EncodedTrace(msgspec.Struct, frozen=True, gc=False):
    """A trace as stores keep it: a snapshot that nothing done to the trace can reach.

    Attributes:
        run_id: The run's id.
        steps: How many steps it has.
        total_ms: The sum of their durations, milliseconds.
        metadata: The metadata, a JSON object.
        trace: The whole trace, a JSON object.
        facts: What filters ask of the steps.
        usage: Their tokens and costs.
        details: What a summary says next to that.
        created_at: When it is to have been saved; None: when it is.
        shows_words: Whether each word stands in the JSON as it is: none is cut by a reference, and
            only control characters are escapes. Letters that fold to others are none the less such.
    """

    run_id: str
    steps: int
    total_ms: float
    metadata: bytes
    trace: bytes
    facts: TraceFacts
    usage: TraceUsage
    details: RunDetails
    created_at: datetime | None = None
    shows_words: bool = False

    def summary(self, created_at: datetime) -> TraceSummary:
        """The summary of this trace, saved at that time; its metadata is one of its own."""
        return make_summary(
            self.run_id,
            self.steps,
            self.total_ms,
            created_at,
            msgspec.Raw(self.metadata),
            self.usage,
            self.facts.has_error,
            self.details,
        )


class JSONChange:
    """A change of a stored run, as a store's ``update`` takes it, that may go without its objects.

    To decode a large run holds the interpreter; who does that elsewhere wants the JSON.
    """

    def __call__(self, stored: Any) -> Any:
        """The trace to be saved, or None; ``stored`` is a trace, or None."""
        raise NotImplementedError

    def takes_json(self, stored: bytes | None) -> bool:
        """Whether it wants this one as JSON."""
        raise NotImplementedError

    def of_json(self, stored: bytes | None) -> EncodedTrace | None:
        """The same as of an object."""
        raise NotImplementedError


class WrittenTrace(msgspec.Struct, omit_defaults=True):
    """A trace in the shape that is written, its metadata as it is or encoded already."""

    run_id: str
    start_time: Number
    total_duration_ms: Number
    step_count: int
    steps: list[TraceStep]
    parent_run_id: str | None = None
    metadata: dict[str, Any] | msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    name: str | None = None
    input: Any = None
    output: Any = None
    session_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    tags: list[str] | None = None
    outcome: str | None = None
    end_time: Number | None = None


def written(
    trace: AgentTrace, run_id: str, total: Number, steps: list[TraceStep], metadata: Any
) -> WrittenTrace:
    """A trace in the shape that is written."""
    return WrittenTrace(
        run_id,
        trace.start_time,
        total,
        len(steps),
        steps,
        trace.parent_run_id,
        metadata,
        trace.name,
        trace.input,
        trace.output,
        trace.session_id,
        trace.user_id,
        trace.agent,
        trace.tags,
        trace.outcome,
        trace.end_time,
    )


class _TraceHead(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    run_id: str
    start_time: Number
    total_duration_ms: Any = None
    step_count: Any = None
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

    def trace(self, steps: list[TraceStep]) -> AgentTrace:
        """The trace that was read, with these steps."""
        return AgentTrace(
            steps,
            self.start_time,
            self.run_id,
            self.parent_run_id,
            self.metadata,
            self.name,
            self.input,
            self.output,
            self.session_id,
            self.user_id,
            self.agent,
            self.tags,
            self.outcome,
            self.end_time,
        )


class _ReadTrace(_TraceHead, kw_only=True):
    steps: list[TraceStep]


class _SplitTrace(_TraceHead, kw_only=True):
    steps: list[msgspec.Raw]


_encoder = msgspec.json.Encoder(enc_hook=replace_foreign)
_decoder = msgspec.json.Decoder(_ReadTrace)
_splitter = msgspec.json.Decoder(_SplitTrace)
_step_decoder = msgspec.json.Decoder(TraceStep)

LARGE = 256 * 1024
"""Bytes of JSON that take milliseconds to decode: too long for an event loop."""


def encode(trace: object) -> EncodedTrace:
    """A snapshot of the trace, or of any object with its shape.

    Raises:
        InvalidTraceError: It is not a trace, or holds a value that cannot be stored.
    """
    if type(trace) is EncodedTrace:  # whoever had it encoded did so where it could take its time
        return trace
    own, run_id = fit_to_store(trace)
    try:
        return _encode(own, run_id)
    except UnstorableValueError as error:
        raise InvalidTraceError(run_id, error.path, error.reason) from error.__cause__


def stored_json(trace: AgentTrace) -> bytes:
    """The JSON that `encode` gives, without all that is told of it besides.

    Raises:
        InvalidTraceError: It holds a value that cannot be stored.
    """
    own, run_id = fit_to_store(trace)
    try:
        return _as_json(own, run_id, list(own.steps)).trace
    except UnstorableValueError as error:
        raise InvalidTraceError(run_id, error.path, error.reason) from error.__cause__


def encoded_of(stored: bytes) -> EncodedTrace:
    """What `encode` gives for a stored trace; JSON that we wrote stays as it is.

    Raises:
        ValueError: It is not JSON, or not of a trace's shape.
        InvalidTraceError: Another program wrote it, and it holds a value that cannot be stored.
    """
    is_like_ours = stored.startswith(b'{"run_id":"') and b"\n" not in stored
    trace = _decoded_fast(stored) if is_like_ours else None
    if trace is None:
        trace = decode(stored)
        marked = b'{"run_id":%b,"%b":' % (dumps(trace.run_id), KEY.encode())
        if not is_like_ours or not stored.startswith(marked):
            return encode(trace)
    metadata = dumps(trace.metadata) if trace.metadata else b"{}"
    whole = _JSON(stored, metadata, total_ms(trace.steps), shows_words=False)
    return _told_of(trace, trace.run_id, trace.steps, whole)


def encode_step(step: TraceStep) -> bytes:
    """A step as JSON, as it is in a trace.

    Raises:
        TypeError: Its ``type`` is not a string.
        UnstorableValueError: It holds a value that cannot be stored.
    """
    step.type = step_type(step.type)
    if not step.extra:
        with contextlib.suppress(Exception):  # the slow way does it or says why not
            return _encoder.encode(step)
    return dumps(uncopied_step(step, 0))


def decode_step(data: bytes) -> TraceStep:
    """The step of a JSON object written by `encode_step`.

    Raises:
        ValueError: It is not JSON, or not of a step's shape.
    """
    try:
        return _step_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return TraceStep.from_dict(loads(data))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not a step: {error}") from error


class _JSON(NamedTuple):
    """A run as it is stored."""

    trace: bytes
    metadata: bytes
    total: Number
    shows_words: bool


def _encode(trace: AgentTrace, run_id: str) -> EncodedTrace:
    steps = list(trace.steps)
    return _told_of(trace, run_id, steps, _as_json(trace, run_id, steps))


def _told_of(
    trace: AgentTrace, run_id: str, steps: list[TraceStep], written: _JSON
) -> EncodedTrace:
    """A run as it is stored, with all that is told of it."""
    scan = StepScan(steps)
    return EncodedTrace(
        run_id,
        len(steps),
        float(written.total),
        written.metadata,
        written.trace,
        scan.facts(trace.parent_run_id),
        scan.usage(),
        details_of_parts(trace, trace.metadata or {}, steps, scan),
        shows_words=written.shows_words,
    )


def _as_json(trace: AgentTrace, run_id: str, steps: list[TraceStep]) -> _JSON:
    plain = validate_steps(steps, run_id)
    check_metadata_depth(trace.metadata)
    metadata = dumps(trace.metadata, "metadata") if trace.metadata else b"{}"
    total = total_ms(steps)
    whole, shows_words = None, False
    if may_repeat(steps) or KEY in (trace.extra or ()):
        whole, shows_words = _encode_with_references(trace, run_id, steps, total)
    if whole is None and plain and not trace.extra:
        whole = _encode_fast(trace, run_id, steps, total, metadata)
        shows_words = whole is not None
    if whole is None:
        whole, shows_words = _dumped(uncopied(trace, run_id, steps, total))
    return _JSON(whole, metadata, total, shows_words)


def _encode_fast(
    trace: AgentTrace, run_id: str, steps: list[TraceStep], total: Number, metadata: bytes
) -> bytes | None:
    """The trace as JSON; None if msgspec will not take it."""
    raw = msgspec.Raw(metadata) if trace.metadata else msgspec.UNSET
    try:
        return _encoder.encode(written(trace, run_id, total, steps, raw))
    except Exception:  # noqa: BLE001 - the slow way does it or says why not
        return None


def _encode_with_references(
    trace: AgentTrace, run_id: str, steps: list[TraceStep], total: Number
) -> tuple[bytes | None, bool]:
    """The trace as JSON in which nothing long stands twice; None if that cannot be done.

    And whether it shows all words.
    """
    try:
        run, shows_words = with_references(uncopied(trace, run_id, steps, total))
        encoded, is_direct = _dumped(run)
    except Exception:  # noqa: BLE001 - the way without does it or says why not
        return None, False
    return encoded, shows_words and is_direct


def _dumped(run: object) -> tuple[bytes, bool]:
    """A run's JSON, and whether only control characters are escapes in it."""
    try:
        return _encoder.encode(run), True
    except Exception:  # noqa: BLE001 - the slow way does it or says why not
        return dumps(run), False


def decode(data: bytes, trace_type: TraceType = AgentTrace) -> Any:
    """The trace of a JSON object written by `encode`, by selectools or by a newer version.

    Raises:
        ValueError: It is not JSON, or not of a trace's shape.
    """
    if trace_type is not AgentTrace:
        return _from_dict(trace_type, data)
    trace = _decoded_fast(data)
    return _from_dict(AgentTrace, data) if trace is None else trace


def _decoded_fast(data: bytes) -> AgentTrace | None:
    """The trace of JSON that holds nothing but what we know; None of other JSON."""
    try:
        read = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if any([step.extra is not None for step in read.steps]):
        return None
    return read.trace(read.steps)


def decode_in_pieces(data: bytes, trace_type: TraceType = AgentTrace) -> Any:
    """`decode` for a large trace, in a thread next to an event loop that must not wait for long.

    Raises:
        ValueError: As `decode`.
    """
    if trace_type is AgentTrace:
        try:
            read = _splitter.decode(data)
        except (msgspec.MsgspecError, RecursionError):
            return decode(data, trace_type)
        yielder = GilYielder()
        steps: list[TraceStep] = []
        for raw in read.steps:
            try:
                steps.append(_step_decoder.decode(raw))
            except (msgspec.MsgspecError, RecursionError):
                return decode(data, trace_type)
            yielder.maybe_yield()
        if not any([step.extra is not None for step in steps]):
            return read.trace(steps)
    return decode(data, trace_type)


def _from_dict(trace_type: TraceType, data: bytes) -> Any:
    fields = loads(data)
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - of the data, not of a caller
    if not is_storable_id(fields.get("run_id")):
        raise ValueError("it has no run_id")
    try:
        return trace_type.from_dict(expand(fields))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a trace: {error}") from error
