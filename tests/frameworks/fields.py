"""A stored run held against the script, field by field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from script import (
    AGENT,
    ANSWER,
    ANSWERED_MODEL,
    ASKED_MODEL,
    CALLS,
    CLAUDE,
    GEMINI,
    MODEL_SECONDS,
    OUT_OF_ORDER,
    QUESTION,
    SESSION,
    SYSTEM,
    TOOL_SECONDS,
    TURNS,
    USER,
)

from selectools_observe import AgentTrace, TraceStep, TraceSummary
from selectools_observe.analytics import PriceTable
from selectools_observe.model.messages import Message, messages_of

TOLD = "yes"
"""The field is what was scripted."""
ABSENT = "no"
"""It is empty."""
WRONG = "wrong"
"""It is something else."""
ESTIMATED = "estimated"
"""It is not reported, but can be told by what is."""


class Stored(NamedTuple):
    """A stored run as a check looks at it."""

    run: AgentTrace
    summary: TraceSummary

    @property
    def calls(self) -> list[TraceStep]:
        """The calls of the model."""
        return self.run.filter(type="llm_call")

    @property
    def tools(self) -> list[TraceStep]:
        """The tools that ran or failed; not one that only carries the answer."""
        return [
            step
            for step in self.run
            if step.type in {"tool_execution", "error"}
            and step.tool_name not in {None, "final_answer", "finish"}
        ]


def _same(found: object, wanted: object) -> str:
    if found == wanted:
        return TOLD
    items = found if isinstance(found, list) else [found]
    return ABSENT if all(item in (None, "", [], {}) for item in items) else WRONG


def _holds(text: str | None, wanted: str) -> str:
    if not text:
        return ABSENT
    return TOLD if wanted in text else WRONG


def _is_said(messages: Iterable[Message], role: str, wanted: str) -> str:
    """Whether a message of this role says it, and none of another role does."""
    saying = [message for message in messages if wanted in _whole(message)]
    if not saying:
        return ABSENT
    return TOLD if any(message.role == role for message in saying) else WRONG


def _whole(message: Message) -> str:
    return message.text or str(message.to_dict())


def _each(steps: list[TraceStep], wanted: list[Any], value: Callable[[TraceStep], Any]) -> str:
    """The first of the steps hold these values; more may come, as where an answer is asked for."""
    return _same([value(step) for step in steps[: len(wanted)]], wanted)


def _extra(name: str) -> Callable[[TraceStep], Any]:
    return lambda step: (step.extra or {}).get(name)


def _answered_calls(stored: Stored) -> list[TraceStep]:
    return [step for step in stored.calls if step.prompt_tokens]


def _calls_in_output(stored: Stored) -> str:
    chosen = stored.run.filter(type="tool_selection")
    if chosen:
        found = [(step.tool_name, step.tool_args) for step in chosen]
        return _same(found, [(call.name, call.arguments) for call in CALLS])
    found = [
        (part.name, part.arguments)
        for step in stored.calls
        for message in messages_of(step).output
        for part in message.tool_calls
        if part.name in {call.name for call in CALLS}
    ]
    return _same(found, [(call.name, call.arguments) for call in CALLS])


def _call_ids(stored: Stored) -> str:
    chosen = [_extra("tool_call_id")(step) for step in stored.run.filter(type="tool_selection")]
    found = chosen or [
        part.id
        for step in stored.calls
        for message in messages_of(step).output
        for part in message.tool_calls
    ]
    return _same(found[: len(CALLS)], [call.id for call in CALLS])


def _history(stored: Stored) -> str:
    """Each call is given what came of the one before."""
    calls = stored.calls[1 : len(TURNS)]
    if len(calls) < len(TURNS) - 1:
        return ABSENT
    given = [" ".join(_whole(message) for message in messages_of(step).input) for step in calls]
    told = [
        (call.result or call.error or "") in said for call, said in zip(CALLS, given, strict=True)
    ]
    return TOLD if all(told) else WRONG if any(told) else ABSENT


def _answer_of_call(stored: Stored) -> str:
    said = " ".join(
        _whole(message) for step in stored.calls[-2:] for message in messages_of(step).output
    )
    return _holds(said, ANSWER)


def _input(stored: Stored) -> str:
    said = stored.summary.input or ""
    if said.startswith("{"):
        return WRONG  # the arguments of a function, not what was asked
    return _holds(said, QUESTION)


def _output(stored: Stored) -> str:
    return _same(stored.summary.output, ANSWER)


def _model_times(stored: Stored) -> str:
    took = [step.duration_ms for step in _answered_calls(stored)]
    if not any(took):
        return ABSENT
    return TOLD if all(ms >= MODEL_SECONDS * 1000 for ms in took) else WRONG


def _tool_times(stored: Stored) -> str:
    took = [step.duration_ms for step in stored.tools if step.tool_name == "find_order"]
    if not any(took):
        return ABSENT
    return TOLD if all(ms >= TOOL_SECONDS * 1000 for ms in took) else WRONG


def _run_time(stored: Stored) -> str:
    """No moment counts twice, and none of the script's is missing."""
    total, wall = stored.summary.total_ms, stored.summary.wall_ms
    if not total or not wall:
        return ABSENT
    least = (MODEL_SECONDS * len(TURNS) + TOOL_SECONDS) * 1000
    return TOLD if least <= total <= wall + 1 else WRONG


def _order(stored: Stored) -> str:
    """Model, tool, model, tool, ..."""
    tools = {id(step) for step in stored.tools}
    steps = [step for step in stored.run if step.type == "llm_call" or id(step) in tools]
    said = "".join("t" if id(step) in tools else "m" for step in steps)
    return TOLD if re.match("mtmtmtm", said) else WRONG if said else ABSENT


def _nodes(stored: Stored) -> str:
    """Each step tells the agent or the node of a graph that it ran in."""
    nodes = [step.node_name for step in [*stored.calls, *stored.tools]]
    if not any(nodes):
        return TOLD if stored.summary.agent == AGENT else ABSENT  # there is one only
    return TOLD if all(nodes) else WRONG


def _models(stored: Stored) -> str:
    """The model that answered, which need not be called as it was asked for."""
    found = {str(step.model).rpartition("/")[2] for step in _answered_calls(stored)}
    if found and found <= {ANSWERED_MODEL, CLAUDE, GEMINI}:
        return TOLD
    return ABSENT if found <= {"None", ASKED_MODEL} else WRONG


def _asked_models(stored: Stored) -> str:
    found = {_extra("request_model")(step) or step.model for step in _answered_calls(stored)}
    found = {str(name).rpartition("/")[2] for name in found if name}
    return TOLD if found and found <= {ASKED_MODEL, CLAUDE, GEMINI} else ABSENT


def _finish(stored: Stored) -> str:
    found = [_extra("finish_reason")(step) for step in _answered_calls(stored)]
    if not any(found):
        return ABSENT
    return TOLD if all(found) else WRONG


def _cost(stored: Stored) -> str:
    """A cost that is reported; or one that the prices give, by the model and the tokens."""
    calls = _answered_calls(stored)
    if calls and all(step.cost_usd for step in calls):
        return TOLD
    prices = PriceTable()
    known = [prices.estimate(step) for step in calls]
    return ESTIMATED if known and all(known) else ABSENT


def _tool_errors(stored: Stored) -> str:
    failed = [step.error for step in stored.tools]
    wanted = [call.error is not None for call in CALLS]
    if not any(failed):
        return ABSENT
    good = [error is not None for error in failed] == wanted and CALLS[1].error in str(failed[1])
    return TOLD if good else WRONG


def _tool_results(stored: Stored) -> str:
    found = [step.tool_result for step in stored.tools if step.error is None]
    return _same(found, [call.result for call in CALLS if call.result is not None])


def _outcome(stored: Stored) -> str:
    return TOLD if stored.summary.outcome == "ok" else WRONG


def _broken_outcome(stored: Stored) -> str:
    return TOLD if stored.summary.outcome == "error" else WRONG


def _broken_error(stored: Stored) -> str:
    errors = [step.error for step in stored.run if step.error]
    if not errors:
        return ABSENT
    return TOLD if any(OUT_OF_ORDER in error for error in errors) else WRONG


class Field(NamedTuple):
    """A field of the matrix.

    Attributes:
        name: What it is called there.
        check: What is found of it in a stored run.
        marks: What a report that tells it holds: texts, each of which must occur.
        clients: It is asked of clients of model providers too, not of agents alone.
    """

    name: str
    check: Callable[[Stored], str]
    marks: tuple[str, ...] = ()
    clients: bool = False


def _usage(name: str) -> tuple[str, ...]:
    return tuple(str(getattr(turn.usage, name)) for turn in TURNS)


FIELDS = (
    Field("name", lambda s: TOLD if s.summary.name else ABSENT),
    Field("agent", lambda s: _same(s.summary.agent, AGENT), (AGENT,)),
    Field("input", _input, (QUESTION,)),
    Field("output", _output, (ANSWER,)),
    Field("session", lambda s: _same(s.summary.session_id, SESSION), (SESSION,)),
    Field("user", lambda s: _same(s.summary.user_id, USER), (USER,)),
    Field("outcome", _outcome),
    Field("steps in order", _order),
    Field("node of each step", _nodes),
    Field("time of the run", _run_time),
    Field("model", _models, (ANSWERED_MODEL,), clients=True),
    Field("model asked for", _asked_models, clients=True),
    Field(
        "system prompt",
        lambda s: _is_said(messages_of(s.calls[0]).input if s.calls else [], "system", SYSTEM),
        (SYSTEM,), clients=True,
    ),
    Field(
        "question",
        lambda s: _is_said(messages_of(s.calls[0]).input if s.calls else [], "user", QUESTION),
        (QUESTION,), clients=True,
    ),
    Field("history", _history, clients=True),
    Field("tool calls asked for", _calls_in_output, clients=True),
    Field("their ids", _call_ids, tuple(call.id for call in CALLS), clients=True),
    Field("answer", _answer_of_call, (ANSWER,), clients=True),
    Field("finish reason", _finish, clients=True),
    Field(
        "prompt tokens",
        lambda s: _each(_answered_calls(s), [t.usage.prompt for t in TURNS],
                        lambda step: step.prompt_tokens),
        _usage("prompt"), clients=True,
    ),
    Field(
        "completion tokens",
        lambda s: _each(_answered_calls(s), [t.usage.completion for t in TURNS],
                        lambda step: step.completion_tokens),
        _usage("completion"), clients=True,
    ),
    Field(
        "cached tokens",
        lambda s: _each(_answered_calls(s), [t.usage.cached for t in TURNS],
                        _extra("cache_read_tokens")),
        _usage("cached"), clients=True,
    ),
    Field(
        "reasoning tokens",
        lambda s: _each(_answered_calls(s), [t.usage.reasoning for t in TURNS],
                        _extra("reasoning_tokens")),
        _usage("reasoning"), clients=True,
    ),
    Field("cost", _cost, clients=True),
    Field("time of calls", _model_times, clients=True),
    Field("tools", lambda s: _same([x.tool_name for x in s.tools], [c.name for c in CALLS])),
    Field(
        "arguments", lambda s: _same([x.tool_args for x in s.tools], [c.arguments for c in CALLS])
    ),
    Field("results", _tool_results, tuple(c.result for c in CALLS if c.result)),
    Field("errors of tools", _tool_errors, (str(CALLS[1].error),)),
    Field(
        "ids of tool calls",
        lambda s: _same([_extra("tool_call_id")(x) for x in s.tools], [c.id for c in CALLS]),
    ),
    Field("time of tools", _tool_times),
)  # fmt: skip

BROKEN_FIELDS = (
    Field("outcome of a failed run", _broken_outcome, clients=True),
    Field("its error", _broken_error, (OUT_OF_ORDER,), clients=True),
)


def compared(stored: Stored | None, fields: Iterable[Field], reported: str) -> dict[str, str]:
    """What is found of each field; ``lost`` where it was reported and is not what is stored."""
    found = {}
    for field in fields:
        value = ABSENT if stored is None else field.check(stored)
        marks = [re.search(rf"(?<!\w){re.escape(mark)}(?!\w)", reported) for mark in field.marks]
        if value not in {TOLD, ESTIMATED} and marks and all(marks):
            value = f"{value}, but reported"
        found[field.name] = value
    return found
