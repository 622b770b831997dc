"""A run as JSON: whole, or a window of its steps with long texts cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

import anyio.lowlevel
import msgspec

from ..analytics.conversation import cut_texts
from ..model.json_values import dumps
from ..model.trace import DETAIL_FIELDS, AgentTrace, TraceStep

_PIECE = 64 * 1024  # bytes
_STEPS_AT_ONCE = 64

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Window:
    """What of a run is asked for.

    Attributes:
        text_limit: The most characters of a text; None for all.
        offset: The first step.
        limit: How many steps; None for all.
        fields: The fields of a step; None for all.
        parents: Of all steps, which one each is inside of; None if that is not asked for.
    """

    text_limit: int | None = None
    offset: int = 0
    limit: int | None = None
    fields: frozenset[str] | None = None
    parents: list[int | None] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self == Window()


async def pieces(trace: AgentTrace, window: Window) -> AsyncGenerator[bytes]:
    """The run as JSON, in pieces of some 64 KiB; others run between them."""
    collected = bytearray()
    for part in _parts(trace, window):
        if len(part) > _PIECE:
            if collected:
                yield bytes(collected)
                collected.clear()
            view = memoryview(part)
            for start in range(0, len(part), _PIECE):
                await anyio.lowlevel.checkpoint()
                yield bytes(view[start : start + _PIECE])
            continue
        collected += part
        if len(collected) >= _PIECE:
            await anyio.lowlevel.checkpoint()
            yield bytes(collected)
            collected.clear()
    yield bytes(collected)


def _parts(trace: AgentTrace, window: Window) -> Iterator[bytes]:
    head: dict[str, Any] = {
        "run_id": trace.run_id,
        "start_time": trace.start_time,
        "total_duration_ms": trace.total_duration_ms,
        "step_count": len(trace.steps),
    }
    if trace.parent_run_id is not None:
        head["parent_run_id"] = trace.parent_run_id
    if trace.metadata:
        head["metadata"] = trace.metadata
    details = {name: getattr(trace, name) for name in DETAIL_FIELDS}
    head |= {name: value for name, value in details.items() if value is not None}
    head |= trace.extra or {}
    if window.text_limit is not None:
        head = _cut_head(head, window.text_limit)
    if not window.is_whole:
        head["step_offset"] = window.offset
    if window.parents is not None:
        head["parents"] = window.parents
    yield dumps(head)[:-1] + b',"steps":['
    end = None if window.limit is None else window.offset + window.limit
    steps = trace.steps[window.offset : end]
    for start in range(0, len(steps), _STEPS_AT_ONCE):
        some = steps[start : start + _STEPS_AT_ONCE]
        if start:
            yield b","
        yield b",".join([_step(step, window) for step in some])
    yield b"]}"


def _step(step: TraceStep, window: Window) -> bytes:
    if window.fields is None and window.text_limit is None:
        return step_json(step)
    fields = _fields(step)
    if window.fields is not None:
        fields = {name: value for name, value in fields.items() if name in window.fields}
    changes, sizes = _cut_fields(fields, window.text_limit)
    if sizes:
        return dumps({**fields, **changes, "cut": sizes})
    return step_json(step) if window.fields is None else dumps(fields)


def step_json(step: TraceStep) -> bytes:
    """A step, whole."""
    if step.extra is None:
        try:
            return _encoder.encode(step)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            pass
    return dumps(step.to_dict())


def _cut_head(head: dict[str, Any], limit: int) -> dict[str, Any]:
    """What is said of a run next to its steps, its long texts cut."""
    given = {name: value for name, value in head.items() if name not in _IDS}
    changes, sizes = _cut_values(given, limit)
    return {**head, **changes, "cut": sizes} if sizes else head


_IDS = frozenset({"run_id", "parent_run_id"})


def _cut_values(values: dict[str, Any], limit: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Those of these values that have long texts, cut, and how large they were."""
    changes: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    for name, value in values.items():
        cut = cut_texts(value, limit)
        if cut is not value:
            changes[name] = cut
            sizes[name] = len(value) if isinstance(value, str) else len(dumps(value))
    return changes, sizes


def _cut_fields(fields: dict[str, Any], limit: int | None) -> tuple[dict[str, Any], dict[str, int]]:
    """Those fields of a step that are too long, cut, and how large they were."""
    if limit is None:
        return {}, {}
    arguments = fields.get("tool_args")
    changes, sizes = _cut_values({n: v for n, v in fields.items() if n not in _NOT_CUT}, limit)
    if arguments is not None:
        size = len(dumps(arguments))
        if size > limit:
            changes["tool_args"] = None
            sizes["tool_args"] = size
    return changes, sizes


_NOT_CUT = frozenset({"type", "tool_args"})


def _fields(step: TraceStep) -> dict[str, Any]:
    fields = {
        name: value for name, value in msgspec.structs.asdict(step).items() if value is not None
    }
    fields.pop("extra", None)
    return {**fields, **(step.extra or {})}
