"""AutoGen, by its own spans and OpenInference's."""

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from capturing import URL, provider
from openinference.instrumentation import using_attributes
from openinference.instrumentation.autogen_agentchat import AutogenAgentChatInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

spans = provider(everywhere=True)
AutogenAgentChatInstrumentor().instrument(tracer_provider=spans, skip_dep_check=True)
OpenAIInstrumentor().instrument(tracer_provider=spans, skip_dep_check=True)


async def main() -> None:
    model = OpenAIChatCompletionClient(
        model=ASKED_MODEL, base_url=f"{URL}/v1", api_key="none", max_retries=0
    )
    agent = AssistantAgent(
        AGENT,
        model,
        tools=[find_order, refund],
        system_message=SYSTEM,
        max_tool_iterations=5,
    )
    with using_attributes(session_id=SESSION, user_id=USER):
        await agent.run(task=QUESTION)


asyncio.run(main())
