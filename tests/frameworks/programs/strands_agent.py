"""Strands, by its own spans."""

import os

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"

from capturing import URL, provider

provider(everywhere=True)

from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund
from strands import Agent, tool
from strands.models.openai import OpenAIModel

model = OpenAIModel(
    client_args={"base_url": f"{URL}/v1", "api_key": "none", "max_retries": 0},
    model_id=ASKED_MODEL,
)
agent = Agent(
    name=AGENT,
    model=model,
    system_prompt=SYSTEM,
    tools=[tool(find_order), tool(refund)],
    callback_handler=None,
    trace_attributes={"session.id": SESSION, "user.id": USER},
)
agent(QUESTION)
