"""LangChain's agent, which runs on LangGraph, by its callbacks."""

import atexit

from capturing import STORE, URL, report
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from script import AGENT, ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

from selectools_observe import SQLiteTraceStore
from selectools_observe.integrations.langchain import TraceCallbackHandler


class Reporter(BaseCallbackHandler):
    def _report(self, *said, **more):
        report(repr(said), repr(more))

    on_chat_model_start = on_llm_end = on_tool_start = on_tool_end = _report
    on_llm_error = on_tool_error = on_chain_start = on_chain_end = on_chain_error = _report


@wrap_tool_call
def tell_errors(request, handler):
    try:
        return handler(request)
    except ValueError as error:
        return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")


store = SQLiteTraceStore(STORE)
atexit.register(store.close)
model = ChatOpenAI(model=ASKED_MODEL, base_url=f"{URL}/v1", api_key="none", max_retries=0)
agent = create_agent(
    model,
    [tool(find_order), tool(refund)],
    system_prompt=SYSTEM,
    name=AGENT,
    middleware=[tell_errors],
)
agent.invoke(
    {"messages": [{"role": "user", "content": QUESTION}]},
    {
        "callbacks": [TraceCallbackHandler(store), Reporter()],
        "configurable": {"thread_id": SESSION},
        "metadata": {"user_id": USER},
    },
)
