"""Transcripts of Claude Code (``~/.claude/projects/**/*.jsonl``): a session is a run.

One answer of the model is on as many lines as it has blocks, each with the usage of the whole:
it is one step, its usage counted once. A sub-agent is a run of its own, in its own file or (until
version 2) between the lines of its session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..model.json_values import is_one_of
from ..model.trace import AgentTrace, TraceStep
from .builders import run, seconds, short, step, text_of, total
from .form import JSONForm, JSONObject
from .source import Source

_SYNTHETIC = "<synthetic>"  # the model of messages that Claude Code writes itself
_ENDS = frozenset({"end_turn", "stop_sequence"})
_INTERRUPTED = "[Request interrupted by user"
_TITLE_KEYS = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}
_FILE_KEYS = ("sessionId", "leafUuid", "messageId", "parentUuid")


class _Call:
    """One answer of the model, line by line."""

    def __init__(self, made: TraceStep, asked: float) -> None:
        self.step = made
        self.asked = asked
        self.content: list[Any] = []

    def take(self, message: JSONObject, when: float) -> None:
        content = message.get("content")
        self.content += content if isinstance(content, list) else [content]
        self.step.duration_ms = round(max(when - self.asked, 0.0) * 1000, 3)
        thoughts = [b.get("thinking") for b in self.content if isinstance(b, dict)]
        self.step.reasoning = "\n".join(t for t in thoughts if isinstance(t, str) and t) or None


class _Session:
    """One run: a session, or a sub-agent of one."""

    def __init__(self, run_id: str, parent: str | None, session_id: str) -> None:
        self.run_id = run_id
        self.parent = parent
        self.session_id = session_id
        self.titles: dict[str, str] = {}
        self.cost: float | None = None  # as the tool reports it, with its sub-agents
        self._steps: list[TraceStep] = []
        self._calls: dict[str, _Call] = {}
        self._tools: dict[str, TraceStep] = {}
        self._waiting: dict[str, TraceStep] = {}
        self._unsent: list[JSONObject] = []
        self._first: JSONObject | None = None
        self._input: str | None = None
        self._output: str | None = None
        self._outcome: str | None = None
        self._agent: str | None = None
        self._began = self._last = 0.0

    def take(self, line: JSONObject) -> None:
        when = seconds(line.get("timestamp"))
        if when is None:
            return
        message = line.get("message")
        if self._first is None:
            self._began = self._last = when
        if self._first is None or (line.get("cwd") and not self._first.get("cwd")):
            self._first = line
        if isinstance(line.get("attributionAgent"), str):
            self._agent = line["attributionAgent"]
        kind = line.get("type")
        if kind == "assistant" and isinstance(message, dict):
            self._take_answer(line, message, when)
        elif kind == "user" and isinstance(message, dict):
            self._take_user(line, message, when)
        elif kind == "system":
            self._take_system(line, when)
        self._last = max(self._last, when)

    def _take_answer(self, line: JSONObject, message: JSONObject, when: float) -> None:
        if line.get("isApiErrorMessage") or message.get("model") == _SYNTHETIC:
            text = text_of(message.get("content"))
            if line.get("isApiErrorMessage"):
                self._steps.append(step("error", when, when, error=text or "API error"))
                self._outcome = "error"
            return
        key = str(message.get("id") or line.get("uuid"))
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Call(step("llm_call", self._last), self._last)
            call.step.input = self._unsent or None
            self._unsent = []
            self._steps.append(call.step)
        call.take(message, when)
        _set_usage(call.step, line, message)
        call.step.output = [{"role": "assistant", "content": call.content}]
        for block in message.get("content") or []:
            if isinstance(block, dict) and block.get("type") == "tool_use":
                self._begin_tool(block, when)
        self._output = text_of(call.content) or self._output
        self._outcome = "ok" if is_one_of(message.get("stop_reason"), _ENDS) else None

    def _begin_tool(self, block: JSONObject, when: float) -> None:
        arguments = block.get("input")
        made = step(
            "tool_execution", when,
            tool_name=str(block.get("name")),
            tool_args=arguments if isinstance(arguments, dict) else None,
            tool_call_id=block.get("id"),
        )  # fmt: skip
        self._steps.append(made)
        self._tools[str(block.get("id"))] = self._waiting[str(block.get("id"))] = made

    def _take_user(self, line: JSONObject, message: JSONObject, when: float) -> None:
        content = message.get("content")
        blocks = content if isinstance(content, list) else []
        results = [b for b in blocks if isinstance(b, dict) and b.get("type") == "tool_result"]
        for result in results:
            self._end_tool(result, line.get("toolUseResult"), when)
        self._unsent.append({"role": "user", "content": content})
        text = text_of(content)
        if results or text is None or line.get("isMeta"):
            return
        if text.startswith(_INTERRUPTED):
            self._outcome = "interrupted"
        else:
            self._outcome = None
            self._input = self._input or text

    def _end_tool(self, result: JSONObject, reported: Any, when: float) -> None:
        made = self._waiting.pop(str(result.get("tool_use_id")), None)
        if made is None:
            return
        text = text_of(result.get("content"))
        made.tool_result = text
        took = (when - float(made.timestamp)) * 1000
        if isinstance(reported, dict):
            reported_ms = reported.get("totalDurationMs", reported.get("durationMs"))
            took = float(reported_ms) if isinstance(reported_ms, int | float) else took
            if isinstance(reported.get("agentId"), str):
                child = f"{self.session_id}-{reported['agentId']}"
                made.extra = (made.extra or {}) | {"child_run_id": child}
        made.duration_ms = round(max(took, 0.0), 3)
        if result.get("is_error"):
            made.error = text or "the tool failed"

    def _take_system(self, line: JSONObject, when: float) -> None:
        match line.get("subtype"):
            case "api_error":
                self._steps.append(step("error", when, when, error=_api_error(line)))
            case "compact_boundary":
                summary = text_of(line.get("content"))
                self._steps.append(step("prompt_compressed", when, when, summary=summary))

    def run(self) -> AgentTrace | None:
        if not self._steps and self._input is None:
            return None
        first = self._first or {}
        title = next((self.titles[kind] for kind in _TITLE_KEYS if kind in self.titles), None)
        return run(
            self.run_id,
            self._began,
            self._steps,
            parent_run_id=self.parent,
            name=title or short(self._input),
            input=self._input,
            output=self._output,
            session_id=self.session_id,
            agent=self._agent or "claude-code",
            outcome=self._outcome or "unfinished",
            metadata={
                "source": "claude-code",
                "title": title,
                "cwd": first.get("cwd"),
                "git_branch": first.get("gitBranch") or None,
                "version": first.get("version"),
                "session_cost_usd": self.cost,
            },
        )


def _set_usage(made: TraceStep, line: JSONObject, message: JSONObject) -> None:
    """The usage of the whole answer; the last line has it whole, each has it."""
    made.model = message.get("model") if isinstance(message.get("model"), str) else None
    usage = message.get("usage")
    if isinstance(usage, dict):
        read, written = (usage.get(f"cache_{name}_input_tokens") for name in ("read", "creation"))
        made.prompt_tokens = total(usage.get("input_tokens"), read, written)
        made.completion_tokens = total(usage.get("output_tokens"))
        cached = {"cache_read_tokens": read, "cache_write_tokens": written}
        made.extra = (made.extra or {}) | {name: n for name, n in cached.items() if n}
    if isinstance(line.get("costUSD"), int | float):  # until version 1.0.9
        made.cost_usd = line["costUSD"]


def _api_error(line: JSONObject) -> str:
    said: Any = line.get("error") or line.get("cause")
    while isinstance(said, dict):
        said = said.get("message") or said.get("error")
    return said if isinstance(said, str) else text_of(line.get("content")) or "API error"


class _TranscriptReader:
    def __init__(self, _: Source) -> None:
        self._sessions: dict[str, _Session] = {}
        self._roots: dict[str, str] = {}  # of lines between a session's: the first of their agent
        self._titles: dict[str, str] = {}  # of lines that name no session
        self._current = ""

    def take(self, value: JSONObject, _: str) -> Iterator[AgentTrace]:
        session_id = value.get("sessionId")
        self._current = session_id if isinstance(session_id, str) else self._current
        kind = str(value.get("type"))
        if kind in _TITLE_KEYS:
            title = value.get(_TITLE_KEYS[kind])
            if isinstance(title, str) and title:
                titles = self._titles if session_id is None else self._session(value).titles
                titles[kind] = title
        elif isinstance(session_id, str):
            session = self._session(value)
            session.take(value)
            cost = value.get("totalCostUSD") if kind == "cost-state" else None
            session.cost = cost if isinstance(cost, int | float) else session.cost
        yield from ()

    def _session(self, line: JSONObject) -> _Session:
        session_id = str(line["sessionId"])
        agent = self._agent_of(line)
        key = session_id if agent is None else f"{session_id}-{agent}"
        found = self._sessions.get(key)
        if found is None:
            parent = None if agent is None else session_id
            found = self._sessions[key] = _Session(key, parent, session_id)
        return found

    def _agent_of(self, line: JSONObject) -> str | None:
        """The sub-agent that a line is of: by its id, or by the first of its lines."""
        if not line.get("isSidechain"):
            return None
        if isinstance(line.get("agentId"), str):
            return str(line["agentId"])
        uuid = str(line.get("uuid"))
        root = self._roots.get(str(line.get("parentUuid")), uuid)
        self._roots[uuid] = root
        return root

    def rest(self) -> Iterator[AgentTrace]:
        for session in self._sessions.values():
            if session.parent is None:
                session.titles = self._titles | session.titles
            made = session.run()
            if made is not None:
                yield made


def _recognises(value: JSONObject) -> bool:
    kind = value.get("type")
    return isinstance(kind, str) and "payload" not in value and any(k in value for k in _FILE_KEYS)


FORM = JSONForm(
    "claude-code",
    "a transcript of Claude Code",
    _recognises,
    _TranscriptReader,
    ("type", "sessionId", "uuid", "parentUuid", "message"),
    "`~/.claude/projects/**/*.jsonl`",
)
