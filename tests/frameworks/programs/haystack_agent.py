"""Haystack, by its own spans of pipelines, components, agents and their steps."""

from capturing import URL, provider
from haystack import Pipeline, tracing
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack_integrations.tracing.opentelemetry import OpenTelemetryTracer
from script import AGENT, ASKED_MODEL, QUESTION, SYSTEM, find_order, refund

tracing.enable_tracing(OpenTelemetryTracer(provider().get_tracer("haystack")))
tracing.tracer.is_content_tracing_enabled = True

pipeline = Pipeline()
pipeline.add_component(
    AGENT,
    Agent(
        chat_generator=OpenAIChatGenerator(
            model=ASKED_MODEL, api_base_url=f"{URL}/v1", max_retries=0
        ),
        tools=[create_tool_from_function(find_order), create_tool_from_function(refund)],
        system_prompt=SYSTEM,
    ),
)
pipeline.run({AGENT: {"messages": [ChatMessage.from_user(QUESTION)]}})
