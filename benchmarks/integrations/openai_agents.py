"""The SDK's own processor, and ours: ``python -m benchmarks.integrations.openai_agents``.

A trace is an agent with 5 model calls and 5 function calls, about 6 KB of data. The exporter of the
SDK's processor is replaced by one that does nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents import agent_span, function_span, generation_span, trace
from agents.tracing import set_trace_processors
from agents.tracing.processor_interface import TracingExporter
from agents.tracing.processors import BatchTraceProcessor

from selectools_observe import InMemoryTraceStore
from selectools_observe.integrations.openai_agents import TraceStoreProcessor

from .rounds import TimedStore, blocking, show, show_save

TEXT = "All is well that ends well, said the model. " * 11
USAGE = {"input_tokens": 1200, "output_tokens": 150}


class NoOp(TracingExporter):
    def export(self, items: list[Any]) -> None:
        for item in items:
            item.export()  # as the default exporter begins


def agent(*processors: Any) -> Callable[[], None]:
    def run() -> None:
        set_trace_processors(list(processors))
        with trace("support"), agent_span("support"):
            for _ in range(5):
                output = [{"role": "assistant", "content": TEXT}]
                with generation_span(model="gpt-4o", output=output, usage=USAGE):
                    pass
                with function_span("find_order", input='{"number": 7}', output=TEXT):
                    pass

    return run


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as name, TimedStore(Path(name) / "traces.db") as timed:
        batch = BatchTraceProcessor(NoOp(), max_queue_size=100_000)
        medians = blocking(
            {
                "spans, no processor": agent(),
                "the SDK's processor, no-op exporter": agent(batch),
                "TraceStoreProcessor, in memory": agent(TraceStoreProcessor(InMemoryTraceStore())),
                "TraceStoreProcessor, SQLite": agent(TraceStoreProcessor(timed)),
            },
            rounds,
        )
        show("An agent's own thread", medians)
        show_save(timed)
        set_trace_processors([])
        batch.shutdown()


if __name__ == "__main__":
    main()
