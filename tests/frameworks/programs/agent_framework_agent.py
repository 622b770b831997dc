"""Microsoft's Agent Framework, by its own spans."""

import asyncio

from capturing import URL, provider

spans = provider(everywhere=True)

from agent_framework.observability import enable_instrumentation
from agent_framework.openai import OpenAIChatClient
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, find_order, refund

enable_instrumentation(enable_sensitive_data=True)


async def main() -> None:
    client = OpenAIChatClient(model=ASKED_MODEL, base_url=f"{URL}/v1", api_key="none")
    client.function_invocation_configuration["include_detailed_errors"] = True
    agent = client.as_agent(name=AGENT, instructions=SYSTEM, tools=[find_order, refund])
    session = agent.create_session(session_id=SESSION)
    await agent.run(QUESTION, session=session)


asyncio.run(main())
