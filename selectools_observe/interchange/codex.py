"""Transcripts of Codex (``~/.codex/sessions/**/rollout-*.jsonl``): a thread is a run.

A call of the model ends where its usage is reported: by its own record, or (until version 0.150) by
a ``token_count`` event, which is written again when nothing was added and then is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..model.json_values import is_one_of
from ..model.limits import loads_limited
from ..model.trace import AgentTrace, TraceStep
from .builders import run, seconds, short, step, text_of, total
from .form import JSONForm, JSONObject
from .source import Source

_LINES = frozenset(
    {"session_meta", "turn_context", "response_item", "event_msg", "compacted", "world_state",
     "token_usage_record", "inter_agent_communication"}
)  # fmt: skip
_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "tool_search_call"})


class _Thread:
    """One thread, line by line."""

    def __init__(self) -> None:
        self._meta: JSONObject = {}
        self._model: str | None = None
        self._steps: list[TraceStep] = []
        self._tools: dict[str, TraceStep] = {}
        self._answer: list[JSONObject] = []  # what the model said since its last usage
        self._unsent: list[JSONObject] = []
        self._asked: float | None = None  # when it was
        self._answered: float | None = None
        self._has_records = False
        self._counted: Any = None
        self._input: str | None = None
        self._output: str | None = None
        self._title: str | None = None
        self._outcome: str | None = None
        self._began: float | None = None

    def take(self, value: JSONObject) -> None:
        when = seconds(value.get("timestamp"))
        payload = value.get("payload")
        if when is None or not isinstance(payload, dict):
            return
        self._began = when if self._began is None else self._began
        match value.get("type"):
            case "session_meta":
                self._meta = self._meta or payload
            case "turn_context":
                self._model = str(payload["model"]) if payload.get("model") else self._model
                self._asked = when
            case "response_item":
                self._take_item(payload, when)
            case "token_usage_record":
                self._has_records = True
                self._end_call(payload.get("usage"), payload.get("response_id"))
            case "event_msg":
                self._take_event(payload, when)
            case "compacted":
                self._steps.append(step("prompt_compressed", when, when))

    def _take_item(self, item: JSONObject, when: float) -> None:
        kind = str(item.get("type"))
        if kind == "message" and item.get("role") != "assistant":
            self._unsent.append({"role": item.get("role"), "content": item.get("content")})
            self._asked = when
        elif kind.endswith("_output"):
            self._unsent.append(item)
            self._asked = when
            self._end_tool(item, when)
        else:
            self._answer.append(item)
            self._answered = when
            if kind in _CALLS:
                self._begin_tool(item, when)
            elif kind == "web_search_call":
                self._steps.append(step("tool_execution", when, when, tool_name="web_search",
                                        tool_args=_object(item.get("action"))))  # fmt: skip
            elif kind == "message":
                self._output = text_of(item.get("content")) or self._output

    def _begin_tool(self, item: JSONObject, when: float) -> None:
        given = item.get("arguments", item.get("input", item.get("action")))
        call_id = str(item.get("call_id") or item.get("id"))
        made = step(
            "tool_execution", when,
            tool_name=str(item.get("name") or "shell"),
            tool_args=_object(given),
            tool_call_id=call_id,
        )  # fmt: skip
        self._tools[call_id] = made
        self._steps.append(made)

    def _end_tool(self, item: JSONObject, when: float) -> None:
        made = self._tools.get(str(item.get("call_id")))
        if made is None:
            return
        output = item.get("output")
        if isinstance(output, dict):
            output = output.get("content") or output.get("body")
        text = output if isinstance(output, str) else text_of(output)
        made.tool_result = made.tool_result if made.tool_result is not None else text
        if not made.duration_ms:
            made.duration_ms = round(max(when - float(made.timestamp), 0.0) * 1000, 3)

    def _take_event(self, event: JSONObject, when: float) -> None:
        match event.get("type"):
            case "token_count" if not self._has_records:
                self._take_count(event.get("info"))
            case "user_message":
                self._said(event.get("message"))
            case "item_completed" if isinstance(event.get("item"), dict):
                self._take_completed(event["item"])
            case "exec_command_end" | "mcp_tool_call_end" | "patch_apply_end":
                self._take_end(event)
            case "task_complete" | "turn_complete":
                self._outcome = "ok"
            case "task_started" | "turn_started":
                self._outcome = None
                self._asked = when
            case "turn_aborted":
                self._outcome = "interrupted"
            case "error" | "stream_error":
                error = str(event.get("message") or "error")
                self._steps.append(step("error", when, when, error=error))
                self._outcome = "error"
            case "thread_name_updated":
                name = event.get("thread_name")
                self._title = name if isinstance(name, str) else self._title

    def _take_count(self, info: Any) -> None:
        if not isinstance(info, dict) or info.get("total_token_usage") == self._counted:
            return
        self._counted = info.get("total_token_usage")
        self._end_call(info.get("last_token_usage"), None)

    def _take_completed(self, item: JSONObject) -> None:
        if item.get("type") == "UserMessage":
            self._said(text_of(item.get("content")))
        else:
            self._take_end(item | {"call_id": item.get("id")})

    def _take_end(self, event: JSONObject) -> None:
        """What the program itself says of a tool call: its exit code, its output, its time."""
        made = self._tools.get(str(event.get("call_id")))
        if made is None:
            return
        took = event.get("duration")
        if isinstance(took, dict) and isinstance(took.get("secs"), int):
            made.duration_ms = took["secs"] * 1000 + took.get("nanos", 0) / 10**6
        output = event.get("aggregated_output")
        made.tool_result = output if isinstance(output, str) else made.tool_result
        code = event.get("exit_code")
        if isinstance(code, int) and code != 0:
            made.error = f"exit code {code}"
        elif event.get("success") is False or event.get("status") == "failed":
            made.error = str(event.get("stderr") or event.get("error") or "failed")

    def _said(self, text: Any) -> None:
        if isinstance(text, str) and text:
            self._input = self._input or text

    def _end_call(self, usage: Any, response_id: Any) -> None:
        if not isinstance(usage, dict):
            return
        ended = self._answered or self._asked or self._began or 0.0
        began = min(self._asked or ended, ended)
        made = step(
            "llm_call", began, ended,
            model=self._model,
            prompt_tokens=total(usage.get("input_tokens")),
            completion_tokens=total(usage.get("output_tokens")),
            reasoning=_reasoning(self._answer),
            cache_read_tokens=usage.get("cached_input_tokens") or None,
            cache_write_tokens=usage.get("cache_write_input_tokens") or None,
            reasoning_tokens=usage.get("reasoning_output_tokens") or None,
            response_id=response_id,
            input=self._unsent or None,
            output=self._answer or None,
        )  # fmt: skip
        place = len(self._steps)
        while place and self._steps[place - 1].timestamp >= began:  # before the tools it called
            place -= 1
        self._steps.insert(place, made)
        self._answer, self._unsent, self._answered = [], [], None

    def run(self) -> AgentTrace | None:
        run_id = self._meta.get("id") or self._meta.get("session_id")
        if not isinstance(run_id, str) or (not self._steps and self._input is None):
            return None
        git = self._meta.get("git")
        return run(
            run_id,
            seconds(self._meta.get("timestamp")) or self._began or 0.0,
            self._steps,
            parent_run_id=_parent(self._meta),
            name=self._title or short(self._input),
            input=self._input,
            output=self._output,
            session_id=str(self._meta.get("session_id") or run_id),
            agent="codex",
            outcome=self._outcome or "unfinished",
            metadata={
                "source": "codex",
                "title": self._title,
                "cwd": self._meta.get("cwd"),
                "git_branch": git.get("branch") if isinstance(git, dict) else None,
                "version": self._meta.get("cli_version"),
                "provider": self._meta.get("model_provider"),
            },
        )


def _parent(meta: JSONObject) -> str | None:
    """The thread that began this one as its sub-agent, or that it was forked from."""
    source = meta.get("source")
    while isinstance(source, dict):
        if isinstance(source.get("parent_thread_id"), str):
            return str(source["parent_thread_id"])
        source = next((value for value in source.values() if isinstance(value, dict)), None)
    for name in ("parent_thread_id", "forked_from_id"):
        if isinstance(meta.get(name), str):
            return str(meta[name])
    return None


def _reasoning(items: list[JSONObject]) -> str | None:
    texts = [text_of(item.get("summary")) for item in items if item.get("type") == "reasoning"]
    return "\n".join(text for text in texts if text) or None


def _object(value: Any) -> JSONObject | None:
    if isinstance(value, str):
        try:
            value = loads_limited(value)
        except ValueError:
            return {"input": value}
    return value if isinstance(value, dict) else None


class _RolloutReader:
    def __init__(self, _: Source) -> None:
        self._thread = _Thread()

    def take(self, value: JSONObject, _: str) -> Iterator[AgentTrace]:
        self._thread.take(value)
        yield from ()

    def rest(self) -> Iterator[AgentTrace]:
        made = self._thread.run()
        if made is not None:
            yield made


def _recognises(value: JSONObject) -> bool:
    return is_one_of(value.get("type"), _LINES) and isinstance(value.get("payload"), dict)


FORM = JSONForm(
    "codex",
    "a transcript of Codex",
    _recognises,
    _RolloutReader,
    ("timestamp", "type", "payload"),
    "`~/.codex/sessions/**/rollout-*.jsonl`",
)
