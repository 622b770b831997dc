"""The OpenAI Agents SDK, by its own trace processor."""

import atexit

from agents import (
    Agent,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
    set_trace_processors,
)
from agents.tracing import TracingProcessor
from capturing import STORE, URL, report
from openai import AsyncOpenAI
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

from selectools_observe import SQLiteTraceStore
from selectools_observe.integrations.openai_agents import TraceStoreProcessor


class Reporter(TracingProcessor):
    def on_trace_start(self, trace):
        pass

    def on_trace_end(self, trace):
        report(trace.export())

    def on_span_start(self, span):
        pass

    def on_span_end(self, span):
        data = span.span_data
        report(span.export(), getattr(data, "input", None), getattr(data, "response", None))

    def force_flush(self):
        pass

    def shutdown(self):
        pass


store = SQLiteTraceStore(STORE)
processor = TraceStoreProcessor(store)
atexit.register(store.close)
set_trace_processors([processor, Reporter()])
client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none")
agent = Agent(
    name=AGENT,
    instructions=SYSTEM,
    model=OpenAIResponsesModel(ASKED_MODEL, client),
    tools=[
        function_tool(find_order),
        function_tool(refund, failure_error_function=lambda _, error: str(error)),
    ],
)
config = RunConfig(workflow_name="refunds", group_id=SESSION, trace_metadata={"user_id": USER})
try:
    Runner.run_sync(agent, QUESTION, run_config=config)
finally:
    processor.shutdown()
