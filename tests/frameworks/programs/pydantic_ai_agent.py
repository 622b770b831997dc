"""pydantic-ai, which has instrumentation of its own."""

from capturing import URL, provider
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

settings = InstrumentationSettings(tracer_provider=provider())
model = OpenAIChatModel(ASKED_MODEL, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key="none"))
agent = Agent(
    model, name=AGENT, system_prompt=SYSTEM, capabilities=[Instrumentation(settings=settings)]
)
agent.tool_plain(find_order)


@agent.tool_plain(retries=2, name="refund")
def refund_or_retry(order: int, amount: int) -> str:
    try:
        return refund(order, amount)
    except ValueError as error:
        raise ModelRetry(str(error)) from error


agent.run_sync(QUESTION, conversation_id=SESSION, metadata={"user.id": USER})
