"""An agent that needs no network: it answers questions about Python's standard library.

Its tools are real and read the library of the Python that runs them. Its model is not: it follows a
script. Like a real one it is overloaded at times, guesses wrong, and has a limit to what it can
read.
"""

from __future__ import annotations

import ast
import json
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..capture import Recorder, Run
from ..model.trace import StepType, TraceStep

Call: TypeAlias = tuple[str, dict[str, Any]]
Results: TypeAlias = list[str]
Turn: TypeAlias = "list[Call] | Callable[[Results], str]"
"""What the model says: tools to be called, or an answer made of what they returned."""

Messages: TypeAlias = list[dict[str, Any]]
"""A conversation with the model, in the form of OpenAI's chat."""

MODEL = "scripted-1"
_INSTRUCTIONS = "Answer questions about Python's standard library. Use the tools; be brief."
_CONTEXT = 6000  # tokens that the model reads
_PRICES = (2.5e-6, 1e-5)  # dollars a token, read and written
_LETTERS_PER_TOKEN = 4

SCRIPT: dict[str, list[Turn]] = {
    "Which modules deal with time?": [
        [("find_modules", {"word": "time"}), ("describe", {"module": "zoneinfo"})],
        lambda results: f"{results[0]}. For time zones: {results[1]}",
    ],
    "Which is longer, json or csv?": [
        [("count_lines", {"module": "json"}), ("count_lines", {"module": "csv"})],
        lambda results: f"json has {results[0]} lines, csv {results[1]}.",
    ],
    "What is urlib for?": [
        [("describe", {"module": "urlib"})],
        [("find_modules", {"word": "url"})],
        [("describe", {"module": "urllib.parse"})],
        lambda results: f"You may mean urllib. Its heart is urllib.parse: {results[-1]}",
    ],
    "Compare the modules for data formats.": [
        [
            ("ask_agent", {"question": "Which is longer, json or csv?"}),
            ("ask_agent", {"question": "What is urlib for?"}),
        ],
        lambda results: f"Of the formats: {results[0]} Of addresses: {results[1]}",
    ],
    "Explain argparse from its source.": [
        [("count_lines", {"module": "argparse"})],
        [("read_source", {"module": "argparse"})],
        lambda results: f"It has {results[0]} lines.",
    ],
}

CONVERSATION = (
    ("ada", "Which modules deal with time?"),
    ("ben", "What is urlib for?"),
    ("cleo", "Explain argparse from its source."),
    ("ada", "Compare the modules for data formats."),
)
"""Who asks what, in order."""


class ModelError(Exception):
    """The model did not answer."""


class OverloadedError(ModelError):
    """The model did not answer now and may answer later."""


class ScriptedModel:
    """Says what the script says; is overloaded at its first call."""

    def __init__(self) -> None:
        self._awake = False

    def reply(self, question: str, turn: int, results: Results, tokens: int) -> list[Call] | str:
        """The next turn of the answer to a question.

        Raises:
            ModelError: It is overloaded, or was given more than it can read.
        """
        if not self._awake:
            self._awake = True
            time.sleep(0.08)
            raise OverloadedError("529: the model is overloaded, try again")
        if tokens > _CONTEXT:
            raise ModelError(f"400: the prompt has {tokens:,} tokens, the limit is {_CONTEXT:,}")
        found = SCRIPT[question][turn]
        reply = found(results) if callable(found) else found
        time.sleep(0.04 + len(str(reply)) / 2000)
        return reply


def _calls_of(calls: Sequence[Call], turn: int) -> list[dict[str, Any]]:
    """Tool calls as a model asks for them."""
    return [
        {
            "id": f"call_{turn}_{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]


@dataclass
class DemoAgent:
    """A loop of model and tools.

    Attributes:
        recorder: Records its runs.
        model: Who decides what to do.
    """

    recorder: Recorder
    model: ScriptedModel

    def answer(self, question: str, user: str) -> str:
        """Answer a question, or say why not. Each question is a run."""
        try:
            with self.recorder.run(
                "library question",
                input=question,
                user_id=user,
                session_id=f"session-{user}",
                agent="librarian",
                metadata={"user": user, "question": question},
            ) as run:
                run.output = answer = self._work(run, question, user)
        except ModelError as error:
            return f"(no answer: {error})"
        return answer

    def _work(self, run: Run, question: str, user: str) -> str:
        results: Results = []
        said = question
        messages: Messages = [
            {"role": "system", "content": _INSTRUCTIONS},
            {"role": "user", "content": question},
        ]
        for turn in range(len(SCRIPT[question])):
            reply = self._ask_model(run, question, turn, results, said=said, messages=messages)
            if isinstance(reply, str):
                return reply
            calls = _calls_of(reply, turn)
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            for call, (name, arguments) in zip(calls, reply, strict=True):
                run.add(TraceStep(StepType.TOOL_SELECTION, tool_name=name, tool_args=arguments))
                result = self._use_tool(run, name, arguments, user)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
                said += result
                results.append(result)
        raise ModelError("the script has no answer")

    def _ask_model(
        self,
        run: Run,
        question: str,
        turn: int,
        results: Results,
        *,
        said: str,
        messages: Messages,
    ) -> list[Call] | str:
        """What the model says; asked once more if it was overloaded."""
        for patience in (True, False):
            try:
                with run.llm_call(MODEL, prompt_tokens=len(said) // _LETTERS_PER_TOKEN) as step:
                    step.input = [*messages]
                    tokens = step.prompt_tokens or 0
                    reply = self.model.reply(question, turn, results, tokens)
                    step.completion_tokens = len(str(reply)) // _LETTERS_PER_TOKEN
                    step.cost_usd = tokens * _PRICES[0] + step.completion_tokens * _PRICES[1]
                    step.output = {"role": "assistant", "content": None}
                    if isinstance(reply, str):
                        step.output["content"] = reply
                    else:
                        step.output["tool_calls"] = _calls_of(reply, turn)
                    return reply
            except OverloadedError:
                if not patience:
                    raise
        raise AssertionError  # pragma: no cover - one of the two attempts returns or raises

    def _use_tool(self, run: Run, name: str, arguments: dict[str, Any], user: str) -> str:
        """What a tool returns; the words of its error if it fails, for the model to read."""
        try:
            with run.tool(name, arguments) as step:
                if name == "ask_agent":
                    step.tool_result = self.answer(arguments["question"], user)
                else:
                    step.tool_result = TOOLS[name](**arguments)
                return step.tool_result
        except (OSError, LookupError) as error:
            return f"{type(error).__name__}: {error}"


def find_modules(word: str) -> str:
    """The public modules whose name has the word in it."""
    found = sorted(n for n in sys.stdlib_module_names if word in n and not n.startswith("_"))
    return ", ".join(found)


def describe(module: str) -> str:
    """The first sentence of a module's documentation."""
    text = ast.get_docstring(ast.parse(_source(module))) or "It does not say."
    return " ".join(text.partition("\n\n")[0].split())


def count_lines(module: str) -> str:
    """How many lines a module's source has, all files of a package together."""
    return str(sum(len(path.read_text("utf-8").splitlines()) for path in _files(module)))


def read_source(module: str) -> str:
    """All of a module's source."""
    return _source(module)


TOOLS: dict[str, Callable[..., str]] = {
    "find_modules": find_modules,
    "describe": describe,
    "count_lines": count_lines,
    "read_source": read_source,
}


def _source(module: str) -> str:
    return next(_files(module)).read_text("utf-8")


def _files(module: str) -> Iterator[Path]:
    base = Path(sysconfig.get_path("stdlib"), *module.split("."))
    if base.with_suffix(".py").exists():
        yield base.with_suffix(".py")
    elif (base / "__init__.py").exists():
        yield base / "__init__.py"
        yield from sorted(set(base.rglob("*.py")) - {base / "__init__.py"})
    else:
        raise LookupError(f"there is no module {module!r}")
