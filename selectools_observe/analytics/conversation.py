"""A run as a conversation: what was said, each message once, and each tool call with its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from ..model.json_values import canonical
from ..model.messages import (
    Message,
    Part,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    messages_from,
)
from ..model.trace import AgentTrace, StepType, TraceStep, is_finite
from .new_messages import NewMessages

TurnKind: TypeAlias = Literal["message", "tool", "event"]


class Turn(msgspec.Struct, omit_defaults=True):
    """One entry of a conversation.

    Attributes:
        kind: ``message``: somebody says something. ``tool``: a tool call with what came of it.
            ``event``: what else a person should see, such as an error.
        step: The index of the step that it is of, from 0.
        role: Who says it: ``system``, ``user``, ``assistant``, ``tool``.
        parts: What is said, in the shape of `selectools_observe.model.messages`.
        name: The tool, the model, or the type of the step.
        arguments: What the tool was given.
        result: What it gave back.
        error: What went wrong.
        call_id: The provider's id of the call.
        timestamp: When the step began, seconds since 1970.
        duration_ms: How long it took.
        cost_usd: What it cost.
        prompt_tokens: Tokens sent to the model.
        completion_tokens: Tokens that it wrote.
    """

    kind: TurnKind
    step: int
    role: str | None = None
    parts: list[Part] = []
    name: str | None = None
    arguments: Any = None
    result: Any = None
    error: str | None = None
    call_id: str | None = None
    timestamp: float | None = None
    duration_ms: float | None = None
    cost_usd: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def text(self) -> str:
        """What is said in words; reasoning left out."""
        return "\n".join([part.content for part in self.parts if isinstance(part, TextPart)])


def conversation_of(trace: AgentTrace) -> list[Turn]:
    """What was said in a run, in order.

    Each model call repeats what was said before it; here every message stands once, where it was
    said first. A call of a tool, its execution and the message with its result are one turn. A run
    whose steps hold no messages shows its own ``input`` and ``output``.
    """
    return _Reading(trace).turns()


class _Reading:
    """The turns so far, and what is needed to know what is new."""

    def __init__(self, trace: AgentTrace) -> None:
        self._trace = trace
        self._turns: list[Turn] = []
        self._new = NewMessages()
        self._open: list[Turn] = []  # tool calls whose result is not there yet

    def turns(self) -> list[Turn]:
        for index, step in enumerate(self._trace.steps):
            self._read(index, step)
        self._add_ends()
        return self._turns

    def _read(self, index: int, step: TraceStep) -> None:
        kind = step.type
        if kind == StepType.TOOL_EXECUTION:
            self._execute(index, step)
        elif kind == StepType.TOOL_SELECTION:
            self._select(index, step)
        elif kind == StepType.LLM_CALL or step.input is not None or step.output is not None:
            self._call(index, step)
        elif step.error or kind == StepType.ERROR:
            self._turns.append(_of_step("event", index, step, name=_word(kind)))

    def _call(self, index: int, step: TraceStep) -> None:
        given, answered = self._new.of(step)
        for message in given:
            self._say(index, step, message)
        for message in answered:
            self._say(index, step, message, is_answer=True)
        if step.error:
            self._turns.append(_of_step("event", index, step, name=step.model))

    def _say(
        self, index: int, step: TraceStep, message: Message, *, is_answer: bool = False
    ) -> None:
        spoken: list[Part] = []
        after: list[Turn] = []
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                after.append(_call_turn(index, step, part))
            elif isinstance(part, ToolResultPart):
                self._result(index, part)
            else:
                spoken.append(part)
        if spoken:
            turn = _of_step("message", index, step, name=step.model) if is_answer else None
            turn = turn or Turn("message", index)
            turn.role, turn.parts, turn.error = message.role, spoken, None
            self._turns.append(turn)
        self._turns += after
        self._open += after

    def _result(self, index: int, part: ToolResultPart) -> None:
        """The message with a tool's result: it is the call's, or stands by itself."""
        found = self._call_of(part)
        if found is None:
            found = Turn("tool", index, "tool", name=part.name, call_id=part.id)
            self._turns.append(found)
        elif found in self._open:
            self._open.remove(found)
        if found.result is None and found.error is None:
            found.result = part.response
            if part.is_error:
                found.error = _as_text(part.response)

    def _call_of(self, part: ToolResultPart) -> Turn | None:
        """The call that a result is of: the one with its id, or else one that has none yet."""
        called = [turn for turn in reversed(self._turns) if turn.kind == "tool"]
        same = (turn for turn in called if part.id is not None and turn.call_id == part.id)
        return next(same, None) or next((turn for turn in called if _may_be_of(turn, part)), None)

    def _execute(self, index: int, step: TraceStep) -> None:
        found = self._waiting(step)
        turn = _of_step("tool", index, step, name=step.tool_name)
        turn.role = "tool"
        turn.arguments = step.tool_args if step.tool_args is not None else step.input
        turn.result = step.tool_result if step.tool_result is not None else step.output
        if found is None:
            self._turns.append(turn)
            return
        self._open.remove(found)
        turn.call_id = found.call_id
        if turn.arguments is None:
            turn.arguments = found.arguments
        self._turns[self._turns.index(found)] = turn

    def _waiting(self, step: TraceStep) -> Turn | None:
        """The call that an execution is of: the same arguments if there is one, or the first."""
        named = [turn for turn in self._open if turn.name == step.tool_name]
        same = (turn for turn in named if turn.arguments == step.tool_args)
        return next(same, named[0] if named else None)

    def _select(self, index: int, step: TraceStep) -> None:
        """A model's choice of a tool: its words, and a call that waits for its execution."""
        if step.reasoning:
            said = Message("assistant", [TextPart(content=step.reasoning)])
            if self._new.add(said):
                self._say(index, step, said)
        if step.tool_name is not None and self._waiting(step) is None:
            part = ToolCallPart(name=step.tool_name, arguments=step.tool_args)
            turn = _call_turn(index, step, part)
            self._turns.append(turn)
            self._open.append(turn)

    def _add_ends(self) -> None:
        """The run's own question and answer, where no step says them."""
        asked = messages_from(self._trace.input, "user")
        answered = messages_from(self._trace.output, "assistant")
        texts = {turn.text for turn in self._turns}
        new = [message for message in asked if message.text not in texts]
        self._turns[:0] = [Turn("message", 0, one.role, one.parts) for one in new if one.parts]
        last = max(0, len(self._trace.steps) - 1)
        for message in answered:
            if message.text not in texts and message.parts:
                self._turns.append(Turn("message", last, message.role, message.parts))


def _of_step(kind: TurnKind, index: int, step: TraceStep, *, name: str | None) -> Turn:
    return Turn(
        kind,
        index,
        name=name,
        error=None if step.error is None else str(step.error),
        timestamp=_number(step.timestamp),
        duration_ms=_number(step.duration_ms),
        cost_usd=_number(step.cost_usd),
        prompt_tokens=_whole(step.prompt_tokens),
        completion_tokens=_whole(step.completion_tokens),
    )


def _call_turn(index: int, step: TraceStep, part: ToolCallPart) -> Turn:
    return Turn(
        "tool",
        index,
        "tool",
        name=part.name,
        arguments=part.arguments,
        call_id=part.id,
        timestamp=_number(step.timestamp),
    )


def _may_be_of(turn: Turn, part: ToolResultPart) -> bool:
    if part.id is not None and turn.call_id is not None:
        return False
    is_open = turn.result is None and turn.error is None
    return is_open and (part.name is None or part.name == turn.name)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _word(kind: str) -> str:
    return str.__str__(kind)


def _number(value: Any) -> float | None:
    return float(value) if value is not None and is_finite(value) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or abs(number) >= 2**53 else int(number)


def turns_as_json(turns: Sequence[Turn], text_limit: int | None = None) -> Iterator[Any]:
    """Turns as JSON values, their long texts cut to this many characters.

    A turn with cut texts says under ``cut`` how long the longest was.
    """
    for turn in turns:
        value = msgspec.to_builtins(turn)
        if text_limit is not None:
            cut = cut_texts(value, text_limit)
            value = value if cut is value else {**cut, "cut": _longest_text(value)}
        yield value


def cut_texts(value: Any, limit: int) -> Any:
    """A JSON value, its long texts cut to this many characters; the value itself if it has none."""
    if isinstance(value, str):
        return value if len(value) <= limit else value[:limit]
    if isinstance(value, dict):
        changed = {key: cut for key, v in value.items() if (cut := cut_texts(v, limit)) is not v}
        return {**value, **changed} if changed else value
    if isinstance(value, list):
        items = [cut_texts(item, limit) for item in value]
        is_cut = any(cut is not item for cut, item in zip(items, value, strict=True))
        return items if is_cut else value
    return value


def _longest_text(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(_longest_text, inner), default=0)
