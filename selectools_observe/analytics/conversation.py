"""A run as a conversation: what was said, each message once, and each tool call with its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from ..model.amounts import is_finite
from ..model.json_values import canonical, plain, readable
from ..model.messages import (
    BlobPart,
    Message,
    Part,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    messages_from,
)
from ..model.text import missing_characters
from ..model.trace import AgentTrace, StepType, TraceStep
from .new_messages import NewMessages
from .open_calls import OpenCalls, UnansweredCalls

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
        not_kept: How many characters capture cut off (``truncate=``); they are stored nowhere.
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
    not_kept: int | None = None

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
        self._waiting: OpenCalls[Turn] = OpenCalls()
        self._called: UnansweredCalls[Turn] = UnansweredCalls(_is_answered)

    def turns(self) -> list[Turn]:
        for index, step in enumerate(self._trace.steps):
            self._read(index, step)
        self._add_ends()
        for turn in self._turns:
            turn.not_kept = sum(map(missing_characters, _texts_as_given(turn))) or None
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
        after: list[ToolCallPart] = []
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                after.append(part)
            elif isinstance(part, ToolResultPart):
                self._result(index, part)
            else:
                spoken.append(part)
        if spoken:
            turn = _of_step("message", index, step, name=step.model) if is_answer else None
            turn = turn or Turn("message", index)
            turn.role, turn.parts, turn.error = message.role, spoken, None
            self._turns.append(turn)
        for part in after:
            self._choose(index, step, part)

    def _choose(self, index: int, step: TraceStep, part: ToolCallPart) -> None:
        """A model asks for a tool."""
        turn = _call_turn(index, step, part)
        self._add_tool(turn)
        self._waiting.add(turn, turn.name, turn.arguments)

    def _add_tool(self, turn: Turn) -> None:
        self._turns.append(turn)
        self._called.add(turn, turn.call_id, turn.name)

    def _result(self, index: int, part: ToolResultPart) -> None:
        """The message with a tool's result: it is the call's, or stands by itself."""
        found = self._called.find(part.id, part.name)
        if found is None:
            found = Turn("tool", index, "tool", name=part.name, call_id=part.id)
            self._add_tool(found)
        self._waiting.close(found)
        if found.result is None and found.error is None:
            if part.is_error:
                found.error = _as_text(part.response)
            else:
                found.result = part.response

    def _execute(self, index: int, step: TraceStep) -> None:
        found = self._waiting.find(_named(step.tool_name), step.tool_args)
        turn = _of_step("tool", index, step, name=step.tool_name)
        turn.role = "tool"
        turn.arguments = step.tool_args if step.tool_args is not None else step.input
        result = step.tool_result if step.tool_result is not None else step.output
        # Some write an error as the result too: it is said once.
        turn.result = None if result is not None and result == step.error else result
        if found is None:
            self._add_tool(turn)
            return
        self._waiting.close(found)
        turn.call_id = found.call_id
        if turn.arguments is None:
            turn.arguments = found.arguments
        for name in turn.__struct_fields__:
            setattr(found, name, getattr(turn, name))

    def _select(self, index: int, step: TraceStep) -> None:
        """A model's choice of a tool: its words, and a call that waits for its execution."""
        if step.reasoning:
            said = Message("assistant", [TextPart(content=_as_text(step.reasoning))])
            if self._new.add(said):
                self._say(index, step, said)
        name = _named(step.tool_name)
        if name is None or self._waiting.find(name, step.tool_args):
            return
        self._choose(index, step, ToolCallPart(name=name, arguments=step.tool_args))

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


def _of_step(kind: TurnKind, index: int, step: TraceStep, *, name: object) -> Turn:
    return Turn(
        kind,
        index,
        name=_named(name),
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


def _is_answered(turn: Turn) -> bool:
    return turn.result is not None or turn.error is not None


def _named(value: object) -> str | None:
    """A name; a file may hold anything there."""
    return None if value is None else _as_text(value)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _word(kind: str) -> str:
    return str.__str__(kind)


def _number(value: Any) -> float | None:
    return float(value) if value is not None and is_finite(value) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or abs(number) >= 2**53 else int(number)


def turns_with(turns: Sequence[Turn], words: str) -> list[int]:
    """The indices of the turns in which words are said, in upper or lower case.

    Looked through are messages, reasoning, names and arguments of tools, results and errors; no
    pictures and files.
    """
    wanted = words.lower()
    return [at for at, turn in enumerate(turns) if any(wanted in t.lower() for t in _texts(turn))]


def _texts_as_given(turn: Turn) -> Iterator[str]:
    waiting: list[Any] = [turn.arguments, turn.result, turn.error]
    waiting += [getattr(part, "content", None) for part in turn.parts]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _texts(turn: Turn) -> Iterator[str]:
    for part in turn.parts:
        if not isinstance(part, BlobPart):
            yield getattr(part, "content", None) or readable(msgspec.to_builtins(part))
    for value in (turn.name, turn.arguments, turn.result, turn.error):
        if value is not None:
            yield value if isinstance(value, str) else readable(plain(value))


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
