"""smolagents, by OpenInference's instrumentation."""

import smolagents
from capturing import URL, provider
from openinference.instrumentation import using_attributes
from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

SmolagentsInstrumentor().instrument(tracer_provider=provider())
model = smolagents.OpenAIServerModel(ASKED_MODEL, api_base=f"{URL}/v1", api_key="none")
agent = smolagents.ToolCallingAgent(
    [smolagents.tool(find_order), smolagents.tool(refund)],
    model,
    name=AGENT,
    description="It helps.",
    instructions=SYSTEM,
    verbosity_level=0,
)
with using_attributes(session_id=SESSION, user_id=USER):
    agent.run(QUESTION)
