"""Google's ADK, by its own spans."""

import asyncio
import os

os.environ |= {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
}

from capturing import URL, provider

provider(everywhere=True)

from google.adk.agents import LlmAgent
from google.adk.models.google_llm import Gemini
from google.adk.plugins import ReflectAndRetryToolPlugin
from google.adk.runners import InMemoryRunner
from google.genai import types
from script import AGENT, GEMINI, QUESTION, SESSION, SYSTEM, USER, find_order, refund

os.environ["GOOGLE_GEMINI_BASE_URL"] = URL


async def main() -> None:
    agent = LlmAgent(
        name=AGENT,
        model=Gemini(model=GEMINI, base_url=URL),
        instruction=SYSTEM,
        tools=[find_order, refund],
    )
    runner = InMemoryRunner(
        agent, app_name="shop", plugins=[ReflectAndRetryToolPlugin(max_retries=2)]
    )
    sessions = runner.session_service
    await sessions.create_session(app_name="shop", user_id=USER, session_id=SESSION)
    asked = types.Content(role="user", parts=[types.Part(text=QUESTION)])
    async for _ in runner.run_async(user_id=USER, session_id=SESSION, new_message=asked):
        pass


asyncio.run(main())
