"""A trace to JSON and back, without loss.

Strict and fast first: msgspec writes and reads the shapes we know. What it refuses (fields of a
newer version, values of foreign types, lone surrogates) goes through plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

import msgspec

from .breath import Breath
from .errors import InvalidTraceError
from .jsonvalue import (
    UnstorableValueError,
    dumps,
    dumps_slowly,
    is_nested_deeply,
    loads,
    plain,
    replace_foreign,
)
from .models import (
    STEP_FIELDS,
    TRACE_KEYS,
    AgentTrace,
    Number,
    StepType,
    TraceFacts,
    TraceStep,
    TraceSummary,
    step_type,
    total_ms,
)


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
    """

    run_id: str
    steps: int
    total_ms: float
    metadata: bytes
    trace: bytes
    facts: TraceFacts

    def summary(self, created_at: datetime) -> TraceSummary:
        """The summary of this trace, saved at that time; its metadata is a fresh copy."""
        return TraceSummary(
            self.run_id, self.steps, self.total_ms, created_at, loads(self.metadata)
        )


class _WrittenTrace(msgspec.Struct, omit_defaults=True):
    run_id: str
    start_time: Number
    total_duration_ms: Number
    step_count: int
    steps: list[TraceStep]
    parent_run_id: str | None = None
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _PackedTrace(msgspec.Struct, omit_defaults=True):
    run_id: str
    start_time: Number
    total_duration_ms: Number
    step_count: int
    steps: list[TraceStep]
    parent_run_id: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


class _PackedMetadata(msgspec.Struct):
    metadata: Any = msgspec.field(default_factory=dict)


class _TraceHead(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    run_id: str
    start_time: Number
    total_duration_ms: Any = None
    step_count: Any = None
    parent_run_id: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


class _ReadTrace(_TraceHead, kw_only=True):
    steps: list[TraceStep]


class _SplitTrace(_TraceHead, kw_only=True):
    steps: list[msgspec.Raw]


_encoder = msgspec.json.Encoder(enc_hook=replace_foreign)
_decoder = msgspec.json.Decoder(_ReadTrace)
_packer = msgspec.msgpack.Encoder(enc_hook=replace_foreign)
_unpacker = msgspec.msgpack.Decoder()
_metadata_unpacker = msgspec.msgpack.Decoder(_PackedMetadata)
_TIMESTAMPS = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")
_splitter = msgspec.json.Decoder(_SplitTrace)
_step_decoder = msgspec.json.Decoder(TraceStep)

LARGE = 256 * 1024
"""Bytes of JSON that take milliseconds to decode: too long for an event loop."""


def encode(trace: object) -> EncodedTrace:
    """A snapshot of the trace, or of any object with its shape.

    Raises:
        InvalidTraceError: It is no trace, or holds a value that cannot be stored.
    """
    own = as_agent_trace(trace)
    run_id = _checked_run_id(own.run_id)
    try:
        return _encode(own, run_id)
    except UnstorableValueError as error:
        raise InvalidTraceError(run_id, error.path, error.reason) from error.__cause__


def snapshot(trace: object) -> Snapshot:
    """`encode`, most of it put off until somebody asks.

    Raises:
        InvalidTraceError: As `encode`.
    """
    own = as_agent_trace(trace)
    run_id = _checked_run_id(own.run_id)
    try:
        return _snapshot(own, run_id)
    except UnstorableValueError as error:
        raise InvalidTraceError(run_id, error.path, error.reason) from error.__cause__


def _snapshot(own: AgentTrace, run_id: str) -> Snapshot:
    steps = list(own.steps)
    plain = _settle(steps, run_id)
    if is_nested_deeply(own.metadata):
        _refuse_depth(own.metadata, "metadata")
    total = total_ms(steps)
    packed = None
    if plain and not own.extra:
        written = _PackedTrace(
            run_id, own.start_time, total, len(steps), steps, own.parent_run_id, own.metadata or {}
        )
        packed = _pack(written)
    json = encode(own).trace if packed is None else b""
    return Snapshot(run_id, len(steps), float(total), packed, json)


class Snapshot:
    """A deep copy of a trace that becomes JSON when it is asked for.

    Packed, it is made several times faster than JSON, and unlike objects it costs the garbage
    collector nothing.

    Attributes:
        run_id: The run's id.
        steps: How many steps it has.
        total_ms: The sum of their durations, milliseconds.
    """

    __slots__ = ("_json", "_packed", "run_id", "steps", "total_ms")

    def __init__(
        self, run_id: str, steps: int, total_ms: float, packed: bytes | None, json: bytes = b""
    ) -> None:
        self.run_id = run_id
        self.steps = steps
        self.total_ms = total_ms
        self._packed = packed
        self._json = json

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return len(self._json if self._packed is None else self._packed)

    def trace(self) -> bytes:
        """The trace, a JSON object."""
        return self._json if self._packed is None else dumps(_unpacker.decode(self._packed))

    def summary(self, created_at: datetime) -> TraceSummary:
        """The summary of this trace, saved at that time."""
        if self._packed is None:
            metadata = loads(self._json).get("metadata", {})
        else:
            metadata = loads(dumps(_metadata_unpacker.decode(self._packed).metadata))
        return TraceSummary(self.run_id, self.steps, self.total_ms, created_at, metadata)

    def facts(self) -> TraceFacts:
        """What filters ask of the steps."""
        return facts_of(decode(self.trace()))


def _pack(trace: _PackedTrace) -> bytes | None:
    """The trace in msgpack; None if that would keep less of it than JSON does."""
    try:
        packed = _packer.encode(trace)
    except Exception:  # noqa: BLE001 - the slow way does it or says why not
        return None
    # Timestamps lose their zone there.
    return None if any([mark in packed for mark in _TIMESTAMPS]) else packed


def _encode(trace: AgentTrace, run_id: str) -> EncodedTrace:
    steps = list(trace.steps)
    plain = _settle(steps, run_id)
    if is_nested_deeply(trace.metadata):
        _refuse_depth(trace.metadata, "metadata")
    metadata = dumps(trace.metadata, "metadata") if trace.metadata else b"{}"
    total = total_ms(steps)
    whole = None
    if plain and not trace.extra:
        whole = _encode_fast(trace, run_id, steps, total, metadata)
    if whole is None:
        whole = dumps_slowly(_as_dict(trace, run_id, steps, total))
    facts = _facts(trace.parent_run_id, steps)
    return EncodedTrace(run_id, len(steps), float(total), metadata, whole, facts)


def _encode_fast(
    trace: AgentTrace, run_id: str, steps: list[TraceStep], total: Number, metadata: bytes
) -> bytes | None:
    """The trace as JSON; None if msgspec will not take it."""
    raw = msgspec.Raw(metadata) if trace.metadata else msgspec.UNSET
    written = _WrittenTrace(
        run_id, trace.start_time, total, len(steps), steps, trace.parent_run_id, raw
    )
    try:
        return _encoder.encode(written)
    except Exception:  # noqa: BLE001 - the slow way does it or says why not
        return None


def _as_dict(
    trace: AgentTrace, run_id: str, steps: list[TraceStep], total: Number
) -> dict[str, object]:
    """`AgentTrace.to_dict` without copying: some values cannot be copied but can be written."""
    data: dict[str, object] = {
        "run_id": run_id,
        "start_time": trace.start_time,
        "total_duration_ms": total,
        "step_count": len(steps),
        "steps": [_step_as_dict(step, number) for number, step in enumerate(steps)],
    }
    if trace.parent_run_id is not None:
        data["parent_run_id"] = trace.parent_run_id
    if trace.metadata:
        data["metadata"] = trace.metadata
    _check_extra(trace.extra, TRACE_KEYS, "extra")
    return data | (trace.extra or {})


def _check_extra(extra: dict[str, Any] | None, fields: Collection[str], path: str) -> None:
    taken = sorted(set(fields).intersection(extra or ()))
    if taken:
        raise UnstorableValueError(f"{path}.{taken[0]}", "has a field of its own: set that")


def _step_as_dict(step: TraceStep, number: int) -> dict[str, object]:
    _check_extra(step.extra, STEP_FIELDS, f"steps[{number}].extra")
    fields = {name: getattr(step, name) for name in STEP_FIELDS}
    present = {name: value for name, value in fields.items() if value is not None}
    return present | (step.extra or {})


def _settle(steps: list[TraceStep], run_id: str) -> bool:
    """Make sure that all steps have a proper type; whether none has unknown fields."""
    plain = True
    for number, step in enumerate(steps):
        if step.type.__class__ is not StepType:
            _settle_type(step, number, run_id)
        if step.extra:
            plain = False
        if step.tool_args is not None and is_nested_deeply(step.tool_args):
            _refuse_depth(step.tool_args, f"steps[{number}].tool_args")
    return plain


def _refuse_depth(value: object, path: str) -> None:
    """Raise the error for a value that some reader might not be able to follow.

    Raises:
        UnstorableValueError: Always: it contains itself, or else it is nested too deeply.
    """
    dumps_slowly(value, path)  # says where, if it contains itself
    raise UnstorableValueError(path, "is nested too deeply")


def _settle_type(step: TraceStep, number: int, run_id: str) -> None:
    try:
        step.type = step_type(step.type)
    except TypeError:
        reason = f"must be a string, not {type(step.type).__name__}"
        raise InvalidTraceError(run_id, f"steps[{number}].type", reason) from None


def is_storable_id(run_id: object) -> bool:
    """Whether a trace could be saved under this id at all."""
    try:
        return isinstance(run_id, str) and bool(run_id.encode())
    except UnicodeEncodeError:
        return False


def _checked_run_id(run_id: object) -> str:
    if not isinstance(run_id, str) or not run_id:
        raise InvalidTraceError(run_id, "run_id", "must be a non-empty string")
    try:
        run_id.encode()
    except UnicodeEncodeError:
        raise InvalidTraceError(run_id, "run_id", "holds a lone surrogate") from None
    return str.__str__(run_id)


def facts_of(trace: AgentTrace) -> TraceFacts:
    """What filters ask of a trace beyond its summary."""
    return _facts(trace.parent_run_id, trace.steps)


def _facts(parent_run_id: object, steps: list[TraceStep]) -> TraceFacts:
    """The facts of what is stored, which may differ from what was given."""
    types = {step.type for step in steps}
    return TraceFacts(
        next(iter(_texts([parent_run_id])), None),
        StepType.ERROR in types or any([_is_set(step.error) for step in steps]),
        _texts([str.__str__(kind) for kind in types]),
        _texts([step.tool_name for step in steps]),
        _texts([step.model for step in steps]),
    )


def _is_set(value: object) -> bool:
    return value is not None and (value.__class__ is str or plain(value) is not None)


def _texts(values: list[Any]) -> frozenset[str]:
    """The strings among the values, as they are stored."""
    try:
        distinct = set(values)
    except TypeError:  # some cannot be hashed
        distinct = set(filter(_is_text, map(plain, values)))
    distinct.discard(None)
    for value in distinct:
        if value.__class__ is not str or not value.isascii():
            return frozenset(filter(_is_text, map(plain, distinct)))
    return frozenset(distinct)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def decode(data: bytes, trace_type: TraceType = AgentTrace) -> Any:
    """The trace of a JSON object written by `encode`, by selectools or by a newer version.

    Raises:
        ValueError: It is no JSON, or not of a trace's shape.
    """
    if trace_type is not AgentTrace:
        return _from_dict(trace_type, data)
    try:
        read = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return _from_dict(AgentTrace, data)
    if any([step.extra is not None for step in read.steps]):
        return _from_dict(AgentTrace, data)
    return AgentTrace(read.steps, read.start_time, read.run_id, read.parent_run_id, read.metadata)


def decode_in_pieces(data: bytes, trace_type: TraceType = AgentTrace) -> Any:
    """`decode` for a large trace, in a thread beside an event loop that must not wait for long.

    Raises:
        ValueError: As `decode`.
    """
    if trace_type is AgentTrace:
        try:
            read = _splitter.decode(data)
        except (msgspec.MsgspecError, RecursionError):
            return decode(data, trace_type)
        breath = Breath()
        steps: list[TraceStep] = []
        for raw in read.steps:
            try:
                steps.append(_step_decoder.decode(raw))
            except (msgspec.MsgspecError, RecursionError):
                return decode(data, trace_type)
            breath.take()
        if not any([step.extra is not None for step in steps]):
            return AgentTrace(
                steps, read.start_time, read.run_id, read.parent_run_id, read.metadata
            )
    return decode(data, trace_type)


def _from_dict(trace_type: TraceType, data: bytes) -> Any:
    fields = loads(data)
    if isinstance(fields, dict) and not is_storable_id(fields.get("run_id")):
        raise ValueError("it has no run_id")
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - of the data, not of a caller
    try:
        return trace_type.from_dict(fields)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is not of a trace's shape: {error}") from error


def as_agent_trace(trace: object) -> AgentTrace:
    """The trace itself if it is ours, or else our copy of an object with its shape.

    Raises:
        InvalidTraceError: It is no trace.
    """
    if (
        type(trace) is AgentTrace
        and type(trace.steps) is list
        and set(map(type, trace.steps)) <= {TraceStep}
    ):
        _check_metadata(trace.run_id, trace.metadata)
        return trace
    fields = _fields(trace)
    run_id = fields.pop("run_id", None)
    steps = fields.pop("steps", None)
    if not isinstance(steps, list | tuple):
        raise InvalidTraceError(
            run_id, type(trace).__name__, "is no trace: it has no list of steps"
        )
    metadata = fields.pop("metadata", None)
    _check_metadata(run_id, metadata)
    for derived in ("total_duration_ms", "step_count"):
        fields.pop(derived, None)
    return AgentTrace(
        steps=[_as_step(step, number, run_id) for number, step in enumerate(list(steps))],
        start_time=fields.pop("start_time", 0.0),
        run_id=run_id,  # checked by `encode`, which names the run
        parent_run_id=fields.pop("parent_run_id", None),
        metadata=metadata or {},
        extra=fields.pop("extra", None) or fields or None,
    )


def _check_metadata(run_id: object, metadata: object) -> None:
    if metadata is not None and not isinstance(metadata, dict):
        reason = f"must be a dict, not {type(metadata).__name__}"
        raise InvalidTraceError(run_id, "metadata", reason)


def _as_step(step: object, number: int, run_id: object) -> TraceStep:
    if type(step) is TraceStep:
        return step
    try:
        return TraceStep(**vars(step))
    except TypeError:
        pass  # no attributes, or others than ours
    fields = _fields(step)
    if "type" not in fields:
        raise InvalidTraceError(run_id, f"steps[{number}]", "is no step: it has no type")
    known = {name: fields.pop(name) for name in STEP_FIELDS if name in fields}
    return TraceStep(**known, extra=fields.pop("extra", None) or fields or None)


def _fields(value: object) -> dict[str, Any]:
    """An object's public fields, by name; of a plain dictionary, its entries."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, Enum | type):
        return {}
    if isinstance(value, dict):
        return {str(name): field for name, field in value.items()}
    slots = [name for kind in type(value).__mro__ for name in _names(vars(kind).get("__slots__"))]
    fields = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    fields |= getattr(value, "__dict__", {})
    return {name: field for name, field in fields.items() if name[:1] != "_"}


def _names(slots: object) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots or ()  # type: ignore[return-value]
