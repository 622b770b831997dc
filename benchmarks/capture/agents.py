"""What capture costs whole agents: ``python -m benchmarks.capture.agents``.

Each agent runs with and without capture, in turns, its runs saved in memory; its models answer at
once, and every call of a model repeats the conversation so far. What counts is the processor time
of the agent's own thread: nothing there waits, and others on the machine are not charged to it.
Beside it stands that of all threads: what capture does next to the agent.
``--beside TREE`` runs the same with the package of another checkout, in processes in turns, and
gives the ratio. Agents whose framework is not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.integrations.rounds import blocking

MODEL_CALL = 200_000.0
"""Microseconds that a model takes to answer, where it is not scripted: rather little."""

TEXT = "All is well that ends well, said the model. " * 11
TURNS = 5


class Agent(NamedTuple):
    """An agent's run without capture and with it, and how often it calls a model."""

    bare: Callable[[], object]
    captured: Callable[[], object]
    calls: int


def openai_agents(stack: contextlib.ExitStack) -> Agent:
    from agents import agent_span, function_span, generation_span, trace
    from agents.tracing import set_trace_processors

    from selectools_observe import InMemoryTraceStore
    from selectools_observe.integrations.openai_agents import TraceStoreProcessor

    usage = {"input_tokens": 1200, "output_tokens": 150}
    processor = TraceStoreProcessor(InMemoryTraceStore())

    def run(*processors: TraceStoreProcessor) -> None:
        set_trace_processors(list(processors))
        said = [{"role": "user", "content": TEXT}]
        with trace("support"), agent_span("support"):
            for _ in range(TURNS):
                answer = {"role": "assistant", "content": TEXT}
                with generation_span(model="gpt-4o", input=said, output=[answer], usage=usage):
                    pass
                with function_span("find_order", input='{"number": 7}', output=TEXT):
                    pass
                said = [*said, answer, {"role": "tool", "tool_call_id": "a", "content": TEXT}]

    stack.callback(set_trace_processors, [])
    return Agent(run, lambda: run(processor), TURNS)


def selectools(_: contextlib.ExitStack, **options: bool) -> Agent:
    from benchmarks.integrations.selectools import runner
    from selectools_observe import InMemoryTraceStore
    from selectools_observe.integrations.selectools import TraceSavingObserver

    store = InMemoryTraceStore()
    try:
        observer = TraceSavingObserver(store, **options)
    except TypeError:  # an earlier checkout, which never kept what was said
        observer = TraceSavingObserver(store)
    bare, captured = runner(), runner(observer)
    return Agent(
        lambda: bare.clone_for_isolation().run("How is it?"),
        lambda: captured.clone_for_isolation().run("How is it?"),
        2,
    )


def selectools_messages(_: contextlib.ExitStack) -> Agent:
    """The messages of `selectools`' calls, copied and encoded by the least code that does it."""
    import msgspec

    from benchmarks.integrations.selectools import Model, runner

    calls = []

    class Remembering(Model):
        def complete(self, *, messages: Any, **given: Any) -> Any:
            calls.append(list(messages))
            return super().complete(messages=messages, **given)

    agent = runner()
    agent.provider = Remembering()
    agent.run("How is it?")
    asked = [calls[0], *calls]  # the run's own question, and what each call is given
    encode = msgspec.msgpack.Encoder().encode

    def part(message: Any) -> dict[str, Any]:
        if message.role == "tool":
            return {"id": message.tool_call_id, "name": message.tool_name, "is": message.content}
        asks = [
            [call.id, call.tool_name, dict(call.parameters)] for call in message.tool_calls or ()
        ]
        return {"text": message.content, "calls": asks}

    def copied() -> bytes:
        return encode(
            [
                [{"role": message.role.value, "parts": [part(message)]} for message in messages]
                for messages in asked
            ]
        )

    return Agent(lambda: None, copied, len(calls))


def langchain(_: contextlib.ExitStack) -> Agent:
    from langchain.agents import create_agent

    from benchmarks.integrations.langchain import QUESTION, Model, weather
    from selectools_observe import InMemoryTraceStore
    from selectools_observe.integrations.langchain import TraceCallbackHandler

    agent = create_agent(Model(), [weather])
    given = {"callbacks": [TraceCallbackHandler(InMemoryTraceStore())]}
    return Agent(lambda: agent.invoke(QUESTION), lambda: agent.invoke(QUESTION, given), 2)


def _genai(said: list[dict[str, str]], answer: dict[str, str]) -> dict[str, str | int]:
    def told(messages: list[dict[str, str]]) -> str:
        parts = [
            {"role": m["role"], "parts": [{"type": "text", "content": m["content"]}]}
            for m in messages
        ]
        return json.dumps(parts)

    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 150,
        "gen_ai.input.messages": told(said),
        "gen_ai.output.messages": told([answer]),
    }


def _openinference(said: list[dict[str, str]], answer: dict[str, str]) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.token_count.prompt": 1200,
        "llm.token_count.completion": 150,
        "input.value": json.dumps({"messages": said}),
        "input.mime_type": "application/json",
        "output.value": TEXT,
    }
    for name, messages in (("input", said), ("output", [answer])):
        for number, message in enumerate(messages):
            for key, value in message.items():
                found[f"llm.{name}_messages.{number}.message.{key}"] = value
    return found


_GENAI_TOOL = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "find_order",
    "gen_ai.tool.call.arguments": '{"number": 7}',
    "gen_ai.tool.call.result": TEXT,
}
_OPENINFERENCE_TOOL = {
    "openinference.span.kind": "TOOL",
    "tool.name": "find_order",
    "input.value": '{"number": 7}',
    "output.value": TEXT,
}


def _spans(
    stack: contextlib.ExitStack,
    agent: dict[str, str],
    tool: dict[str, str],
    model: Callable[[list[dict[str, str]], dict[str, str]], dict[str, str | int]],
) -> Agent:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from selectools_observe import InMemoryTraceStore
    from selectools_observe.integrations.opentelemetry import TraceStoreSpanExporter

    calls = []
    said = [{"role": "user", "content": TEXT}]
    for _ in range(TURNS):
        answer = {"role": "assistant", "content": TEXT}
        calls.append(model(said, answer))
        said = [*said, answer, {"role": "user", "content": TEXT}]

    def runs(exporter: TraceStoreSpanExporter | None) -> Callable[[], None]:
        provider = TracerProvider(shutdown_on_exit=False)
        if exporter is not None:
            provider.add_span_processor(SimpleSpanProcessor(exporter))
        stack.callback(provider.shutdown)
        tracer = provider.get_tracer("benchmark")

        def run() -> None:
            with tracer.start_as_current_span("support", attributes=agent):
                for attributes in calls:
                    with tracer.start_as_current_span("chat gpt-4o", attributes=attributes):
                        pass
                    with tracer.start_as_current_span("find_order", attributes=tool):
                        pass

        return run

    return Agent(runs(None), runs(TraceStoreSpanExporter(InMemoryTraceStore())), TURNS)


def genai(stack: contextlib.ExitStack) -> Agent:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
    return _spans(stack, agent, _GENAI_TOOL, _genai)


def openinference(stack: contextlib.ExitStack) -> Agent:
    agent = {"openinference.span.kind": "AGENT", "input.value": TEXT, "output.value": TEXT}
    return _spans(stack, agent, _OPENINFERENCE_TOOL, _openinference)


AGENTS: dict[str, Callable[[contextlib.ExitStack], Agent]] = {
    "OpenAI Agents, 5 calls, 5 tools": openai_agents,
    "selectools, 2 calls, 2 tools": selectools,
    "selectools, with contents=False": partial(selectools, contents=False),
    "selectools' messages alone, encoded": selectools_messages,
    "LangChain, 2 calls, 2 tools": langchain,
    "OpenTelemetry GenAI, 5 calls, 5 tools": genai,
    "OpenInference, 5 calls, 5 tools": openinference,
}


class Measured(NamedTuple):
    """Microseconds a run."""

    bare: float
    captured: float
    calls: int
    all_threads: float
    """What capture takes in all threads."""

    @property
    def capture(self) -> float:
        return self.captured - self.bare

    @property
    def share(self) -> float:
        """Of the run, if each call of a model took `MODEL_CALL`."""
        return self.capture / (self.captured + self.calls * MODEL_CALL)


def measure(runs: int, only: str) -> Iterator[tuple[str, Measured]]:
    """Each agent that can be run here."""
    for name, made in AGENTS.items():
        if only.lower() in name.lower():
            with contextlib.ExitStack() as stack, contextlib.suppress(ImportError):
                agent = made(stack)
                timed = {"bare": agent.bare, "captured": agent.captured}
                found = blocking(timed, runs, time.thread_time)
                whole = blocking(timed, runs, time.process_time)
                everywhere = whole["captured"] - whole["bare"]
                yield name, Measured(found["bare"], found["captured"], agent.calls, everywhere)


def _in(tree: Path, runs: int, only: str) -> dict[str, Measured]:
    """What a process measures that has the package of a checkout, and these benchmarks."""
    here = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "selectools_observe").symlink_to(tree.resolve() / "selectools_observe")
        command = [sys.executable, "-m", __spec__.name, f"--runs={runs}", f"--only={only}"]
        environment = {**os.environ, "PYTHONPATH": f"{name}{os.pathsep}{here}"}
        done = subprocess.run(
            [*command, "--json"], env=environment, cwd=name, stdout=subprocess.PIPE, check=True
        )
    return {name: Measured(*found) for name, found in json.loads(done.stdout).items()}


def _medians(rounds: list[dict[str, Measured]]) -> dict[str, Measured]:
    return {
        name: Measured(
            statistics.median(each[name].bare for each in rounds),
            statistics.median(each[name].captured for each in rounds),
            rounds[0][name].calls,
            statistics.median(each[name].all_threads for each in rounds),
        )
        for name in rounds[0]
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="runs of each agent in a round")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each checkout")
    parser.add_argument("--only", default="", help="agents whose name holds this")
    parser.add_argument("--beside", type=Path, help="another checkout, to compare with")
    parser.add_argument("--json", action="store_true", help="one round, here, as JSON")
    options = parser.parse_args()
    if options.json:
        print(json.dumps(dict(measure(options.runs, options.only))))
        return 0
    trees = [Path(__file__).resolve().parents[2], *([options.beside] if options.beside else [])]
    rounds: list[list[dict[str, Measured]]] = [[] for _ in trees]
    for _ in range(options.rounds):
        for tree, found in zip(trees, rounds, strict=True):
            found.append(_in(tree, options.runs, options.only))
    ours, *others = [_medians(found) for found in rounds]
    heads = f"{'':<40}{'bare':>8}{'capture':>9}{'all threads':>13}"
    print(f"{heads}  of a run with 200 ms a call   beside")
    for name, found in ours.items():
        row = f"{name:<40}{found.bare:>8,.0f}{found.capture:>9,.0f}{found.all_threads:>10,.0f} µs"
        row += f" {found.share:>12.3%}"
        if others and (other := others[0].get(name)):
            whole = found.captured / other.captured
            row += f"{'':>12}{found.capture / other.capture:.2f}, whole run {whole:.2f}"
        print(row)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
