"""selectools, by its observers."""

import atexit

from capturing import STORE, report
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund
from selectools import Agent, AgentConfig, OpenAIProvider, tool
from selectools.observer import AgentObserver

from selectools_observe import SQLiteTraceStore
from selectools_observe.integrations.selectools import TraceSavingObserver


class Reporter(AgentObserver):
    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith("on_"):
            return lambda *said, **more: report(repr(said), repr(more))
        return found


store = SQLiteTraceStore(STORE)
atexit.register(store.close)
config = AgentConfig(
    name=AGENT,
    model=ASKED_MODEL,
    system_prompt=SYSTEM,
    observers=[TraceSavingObserver(store), Reporter()],
    trace_tool_result_chars=None,
    trace_metadata={"session_id": SESSION, "user_id": USER},
    max_retries=0,
)
provider = OpenAIProvider(api_key="none", default_model=ASKED_MODEL)
agent = Agent(tools=[tool()(find_order), tool()(refund)], provider=provider, config=config)
agent.run(QUESTION)
