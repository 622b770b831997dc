"""Claude Agent SDK, by OpenInference's instrumentation; its bundled program asks the model."""

import asyncio
import os
import tempfile

from capturing import URL, provider

HOME = tempfile.mkdtemp()
os.environ |= {
    "ANTHROPIC_BASE_URL": URL,
    "HOME": HOME,
    "CLAUDE_CONFIG_DIR": HOME,
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "DISABLE_AUTOUPDATER": "1",
}

from openinference.instrumentation import using_attributes
from openinference.instrumentation.claude_agent_sdk import ClaudeAgentSDKInstrumentor

ClaudeAgentSDKInstrumentor().instrument(tracer_provider=provider())

from claude_agent_sdk import ClaudeAgentOptions, create_sdk_mcp_server, query, tool
from script import CLAUDE, QUESTION, SESSION, SYSTEM, USER, find_order, refund


def given(answer):
    return {"content": [{"type": "text", "text": answer}]}


@tool("find_order", "Find an order.", {"number": int})
async def find(args):
    return given(find_order(**args))


@tool("refund", "Refund an order.", {"order": int, "amount": int})
async def pay_back(args):
    return given(refund(**args))


async def main():
    options = ClaudeAgentOptions(
        model=CLAUDE,
        system_prompt=SYSTEM,
        cwd=HOME,
        mcp_servers={"shop": create_sdk_mcp_server("shop", tools=[find, pay_back])},
        allowed_tools=["mcp__shop__find_order", "mcp__shop__refund"],
    )
    with using_attributes(session_id=SESSION, user_id=USER):
        async for _ in query(prompt=QUESTION, options=options):
            pass


asyncio.run(main())
