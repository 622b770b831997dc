"""Agno, by OpenInference's instrumentation."""

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from capturing import URL, provider
from openinference.instrumentation.agno import AgnoInstrumentor
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

AgnoInstrumentor().instrument(tracer_provider=provider(), skip_dep_check=True)
agent = Agent(
    name=AGENT,
    model=OpenAIChat(ASKED_MODEL, base_url=f"{URL}/v1", api_key="none", max_retries=0),
    tools=[find_order, refund],
    system_message=SYSTEM,
    telemetry=False,
)
agent.run(QUESTION, session_id=SESSION, user_id=USER)
