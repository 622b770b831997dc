"""CrewAI, by OpenInference's instrumentations: of CrewAI, and of OpenAI's client."""

import os

os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "false",
}

from capturing import URL, provider
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from openinference.instrumentation import using_attributes
from openinference.instrumentation.crewai import CrewAIInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

spans = provider()
CrewAIInstrumentor().instrument(tracer_provider=spans, skip_dep_check=True)
OpenAIInstrumentor().instrument(tracer_provider=spans, skip_dep_check=True)
agent = Agent(
    role=AGENT,
    goal="Help.",
    backstory=SYSTEM,
    llm=LLM(model=f"openai/{ASKED_MODEL}", base_url=f"{URL}/v1", api_key="none", max_retries=0),
    tools=[tool("find_order")(find_order), tool("refund")(refund)],
    max_retry_limit=0,
)
task = Task(description=QUESTION, expected_output="A sentence.", agent=agent)
with using_attributes(session_id=SESSION, user_id=USER):
    Crew(agents=[agent], tasks=[task]).kickoff()
