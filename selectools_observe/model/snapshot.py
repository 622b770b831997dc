"""A trace kept in memory: a deep copy that becomes JSON when it is asked for."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import msgspec

from ..errors import InvalidTraceError
from .amounts import total_of
from .codec import EncodedTrace, decode, encode, written
from .details import details_of_parts, make_summary
from .facets import facts_of, has_error, usage_of
from .json_values import UnstorableValueError, dumps, loads, replace_foreign
from .reference_writer import may_hold_timestamp, may_repeat
from .references import KEY
from .trace import EXTRA_ON_THE_WIRE, STEP_FIELDS, TRACE_KEYS, AgentTrace, TraceFacts, TraceSummary
from .validation import check_metadata_depth, fit_to_store, validate_steps

_SMALL = 64 * 1024  # bytes in which not much can be said twice
_ABSENT = msgspec.Raw()


class _PackedStep(msgspec.Struct, gc=False):
    type: str
    timestamp: Any
    duration_ms: Any
    tool_name: Any = None
    error: Any = None
    prompt_tokens: Any = None
    completion_tokens: Any = None
    cost_usd: Any = None
    packed_input: msgspec.Raw = msgspec.field(default=_ABSENT, name="input")
    packed_output: msgspec.Raw = msgspec.field(default=_ABSENT, name="output")

    @property
    def input(self) -> Any:
        return _unpacker.decode(self.packed_input) if self.packed_input else None

    @property
    def output(self) -> Any:
        return _unpacker.decode(self.packed_output) if self.packed_output else None


class _PackedSummary(msgspec.Struct):
    steps: list[_PackedStep]
    start_time: Any
    metadata: Any = msgspec.field(default_factory=dict)
    name: Any = None
    input: Any = None
    output: Any = None
    session_id: Any = None
    user_id: Any = None
    agent: Any = None
    tags: Any = None
    outcome: Any = None
    end_time: Any = None


_packer = msgspec.msgpack.Encoder(enc_hook=replace_foreign)
_unpacker = msgspec.msgpack.Decoder()
_summary_unpacker = msgspec.msgpack.Decoder(tuple[_PackedSummary, msgspec.Raw])


def snapshot(trace: object, *, compact: bool = False) -> Snapshot:
    """`encode`, most of it put off until somebody asks.

    Args:
        trace: A trace, or any object with its shape.
        compact: To be kept for long: if it is large, what repeats in it is kept once, which takes
            longer than to copy it.

    Raises:
        InvalidTraceError: As `encode`.
    """
    if type(trace) is EncodedTrace:
        return Snapshot(trace.run_id, trace.steps, trace)
    own, run_id = fit_to_store(trace)
    try:
        return _snapshot(own, run_id, compact=compact)
    except UnstorableValueError as error:
        raise InvalidTraceError(run_id, error.path, error.reason) from error.__cause__


def _snapshot(own: AgentTrace, run_id: str, *, compact: bool) -> Snapshot:
    steps = list(own.steps)
    plain = validate_steps(steps, run_id) or all(
        [_has_names(step.extra, _STEP_NAMES) for step in steps]
    )
    check_metadata_depth(own.metadata)
    packed = None
    if plain and _has_names(own.extra, _RUN_NAMES):
        # The total is seldom asked for: see `Snapshot.trace`.
        run = written(own, run_id, 0, steps, own.metadata or msgspec.UNSET)
        packed = _pack((run, own.extra))
    if packed is not None and compact and len(packed) > _SMALL and may_repeat(steps):
        packed = None
    return Snapshot(run_id, len(steps), encode(own) if packed is None else packed)


_RUN_NAMES = TRACE_KEYS | {KEY}
_STEP_NAMES = frozenset(STEP_FIELDS)


def _has_names(extra: dict[str, Any] | None, fields: AbstractSet[str]) -> bool:
    """Whether all that has no field has a name, and one that is no field's."""
    return not extra or (fields.isdisjoint(extra) and _TEXT.issuperset(map(type, extra)))


_TEXT = frozenset({str})


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A deep copy of a trace that becomes JSON when it is asked for.

    Packed, it is made several times faster than JSON, and unlike objects it costs the garbage
    collector nothing.

    Attributes:
        run_id: The run's id.
        steps: How many steps it has.
        created_at: When it is to have been saved; None: when it is.
    """

    run_id: str
    steps: int
    _kept: bytes | EncodedTrace
    created_at: datetime | None = None

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return len(self._kept if isinstance(self._kept, bytes) else self._kept.trace)

    def trace(self) -> bytes:
        """The trace, a JSON object."""
        if not isinstance(self._kept, bytes):
            return self._kept.trace
        trace, extra = _unpacker.decode(self._kept)
        trace["total_duration_ms"] = total_of([step["duration_ms"] for step in trace["steps"]])
        for step in trace["steps"]:
            step.update(step.pop(EXTRA_ON_THE_WIRE, None) or {})
        return dumps(trace | (extra or {}))

    def summary(self, created_at: datetime) -> TraceSummary:
        """The summary of this trace, saved at that time."""
        if not isinstance(self._kept, bytes):
            return self._kept.summary(created_at)
        unpacked, _ = _summary_unpacker.decode(self._kept)
        stored = dumps(unpacked.metadata)
        steps = unpacked.steps
        return make_summary(
            self.run_id,
            self.steps,
            float(total_of([step.duration_ms for step in steps])),
            created_at,
            msgspec.Raw(stored),
            usage_of(steps),
            has_error(steps),
            details_of_parts(unpacked, loads(stored), steps),
        )

    def facts(self) -> TraceFacts:
        """What filters ask of the steps."""
        if not isinstance(self._kept, bytes):
            return self._kept.facts
        return facts_of(decode(self.trace()))


def _pack(trace: object) -> bytes | None:
    """The trace in msgpack; None if that would keep less of it than JSON does."""
    try:
        packed = _packer.encode(trace)
    except Exception:  # noqa: BLE001 - the slow way does it or says why not
        return None
    return None if may_hold_timestamp(packed) else packed
