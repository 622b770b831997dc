"""Validation: any object with a trace's shape, as a trace that can be stored."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import msgspec

from ..errors import InvalidTraceError
from .json_values import SCALARS, UnstorableValueError, dumps_slowly, is_nested_deeply
from .trace import (
    DETAIL_FIELDS,
    STEP_FIELDS,
    STEP_TYPES,
    AgentTrace,
    StepType,
    TraceStep,
    check_extra,
    step_type,
)

_STEPS = frozenset({TraceStep})
_DETAILS = frozenset(DETAIL_FIELDS)
_DERIVED = frozenset({"total_duration_ms", "step_count"})
_MESSAGES = ("input", "output")
_COMMON_FIELDS = tuple(name for name in STEP_FIELDS if name not in _MESSAGES)  # with selectools


def fit_to_store(trace: object) -> tuple[AgentTrace, str]:
    """A trace, or any object with its shape, as ours, and its run id.

    Raises:
        InvalidTraceError: It is not a trace, or has no proper run id.
    """
    own = as_agent_trace(trace)
    return own, checked_run_id(own.run_id)


def as_agent_trace(trace: object) -> AgentTrace:
    """The trace itself if it is ours, or else our copy of an object with its shape.

    Raises:
        InvalidTraceError: It is not a trace.
    """
    if (
        type(trace) is AgentTrace
        and type(trace.steps) is list
        and _STEPS.issuperset(map(type, trace.steps))
    ):
        _check_dicts(trace.run_id, trace.metadata, trace.extra)
        return trace
    fields = _fields(trace)
    run_id = fields.pop("run_id", None)
    steps = fields.pop("steps", None)
    if not isinstance(steps, list | tuple):
        raise InvalidTraceError(
            run_id, type(trace).__name__, "is not a trace: 'steps' is missing or not a list"
        )
    metadata = fields.pop("metadata", None)
    _check_dicts(run_id, metadata, fields.get("extra"))
    for derived in _DERIVED.intersection(fields):
        del fields[derived]
    return AgentTrace(
        steps=[_as_step(step, number, run_id) for number, step in enumerate(list(steps))],
        start_time=fields.pop("start_time", 0.0),
        run_id=run_id,  # checked by `encode`, which names the run
        parent_run_id=fields.pop("parent_run_id", None),
        metadata=metadata or {},
        **{name: fields.pop(name) for name in _DETAILS.intersection(fields)},
        extra=fields.pop("extra", None) or fields or None,
    )


def _check_dicts(run_id: object, metadata: object, extra: object) -> None:
    for name, value in (("metadata", metadata), ("extra", extra)):
        if value is not None and not isinstance(value, dict):
            raise InvalidTraceError(run_id, name, f"must be a dict, not {type(value).__name__}")


def _as_step(step: object, number: int, run_id: object) -> TraceStep:
    if type(step) is TraceStep:
        return step
    try:
        fields = vars(step)
        if (*fields,) == _COMMON_FIELDS:  # as most are, and by position is sooner done
            return TraceStep(*fields.values())
        return TraceStep(**fields)
    except TypeError:
        pass  # no attributes, or others than ours
    fields = _fields(step)
    if "type" not in fields:
        raise InvalidTraceError(run_id, f"steps[{number}]", "is not a step: 'type' is missing")
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
    slotted = [named for kind in type(value).__mro__ if (named := vars(kind).get("__slots__"))]
    slots = [name for named in slotted for name in _names(named)]
    fields = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    fields |= getattr(value, "__dict__", {})
    return {name: field for name, field in fields.items() if name[:1] != "_"}


def _names(slots: object) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots  # type: ignore[return-value]


def validate_steps(steps: list[TraceStep], run_id: str) -> bool:
    """Make sure that all steps have a proper type; whether none has unknown fields."""
    plain = True
    are_scalars = SCALARS.issuperset
    for number, step in enumerate(steps):
        kind = step.type
        if kind.__class__ is not StepType:
            if kind.__class__ is str and kind in STEP_TYPES:  # as most are
                step.type = STEP_TYPES[kind]
            else:
                _validate_type(step, number, run_id)
        if step.extra is not None:
            check_extra(step.extra, (), f"steps[{number}].extra")
            _validate_messages(step)
            plain = plain and not step.extra
        args = step.tool_args
        if args.__class__ is dict and are_scalars(map(type, args.values())):
            continue  # as most are
        if args is not None and is_nested_deeply(args):
            _refuse_depth(args, f"steps[{number}].tool_args")
    return plain


def _validate_messages(step: TraceStep) -> None:
    """Put messages that were left in ``extra`` where they belong, as they did before."""
    extra = step.extra or {}
    moved = [name for name in _MESSAGES if name in extra and getattr(step, name) is None]
    if moved:
        step.extra = {name: value for name, value in extra.items() if name not in moved}
        for name in moved:
            setattr(step, name, extra[name])


def _validate_type(step: TraceStep, number: int, run_id: str) -> None:
    try:
        step.type = step_type(step.type)
    except TypeError:
        reason = f"must be a string, not {type(step.type).__name__}"
        raise InvalidTraceError(run_id, f"steps[{number}].type", reason) from None


def _refuse_depth(value: object, path: str) -> None:
    """Raise the error for a value that some reader might not be able to follow.

    Raises:
        UnstorableValueError: Always: it contains itself, or else it is nested too deeply.
    """
    dumps_slowly(value, path)  # says where, if it contains itself
    raise UnstorableValueError(path, "is nested too deeply")


def is_storable_id(run_id: object) -> bool:
    """Whether a trace could be saved under this id at all."""
    try:
        return isinstance(run_id, str) and bool(run_id.encode())
    except UnicodeEncodeError:
        return False


def checked_run_id(run_id: object) -> str:
    if run_id.__class__ is str and run_id.isascii() and run_id:  # as most are
        return run_id
    if not isinstance(run_id, str) or not run_id:
        raise InvalidTraceError(run_id, "run_id", "must be a non-empty string")
    if not is_storable_id(run_id):
        raise InvalidTraceError(run_id, "run_id", "contains a lone surrogate")
    return str.__str__(run_id)


def check_metadata_depth(metadata: object) -> None:
    """Refuse metadata that some reader might not be able to follow.

    Raises:
        UnstorableValueError: It contains itself, or is nested too deeply.
    """
    if is_nested_deeply(metadata):
        _refuse_depth(metadata, "metadata")
