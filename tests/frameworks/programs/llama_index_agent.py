"""LlamaIndex, by OpenInference's instrumentation."""

import asyncio

from capturing import URL, provider
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI
from openinference.instrumentation import using_attributes
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

LlamaIndexInstrumentor().instrument(tracer_provider=provider(), skip_dep_check=True)


async def main() -> None:
    model = OpenAI(ASKED_MODEL, api_base=f"{URL}/v1", api_key="none", max_retries=0)
    agent = FunctionAgent(
        name=AGENT, tools=[find_order, refund], llm=model, system_prompt=SYSTEM, streaming=False
    )
    with using_attributes(session_id=SESSION, user_id=USER):
        await agent.run(QUESTION)


asyncio.run(main())
