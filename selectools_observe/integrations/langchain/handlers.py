"""Callback handlers that save every run of LangChain and LangGraph.

Give one in the config: ``graph.invoke(inputs, {"callbacks": [TraceCallbackHandler(store)]})``, or
bind it once: ``graph.with_config(callbacks=[handler])``. One handler serves any number of runs,
threads and event loops at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ...extras import needs
from ...model.trace import AgentTrace
from .events import Watching

with needs("langchain", "The LangChain callback handlers"):
    from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

__all__ = ["AsyncTraceCallbackHandler", "TraceCallbackHandler"]


def _arguments(input_str: str, inputs: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return inputs if inputs is not None else {"input": input_str}


class TraceCallbackHandler(Watching, BaseCallbackHandler):
    """Saves each root run when it ends, before ``invoke`` or ``stream`` returns.

    Runs that fail or are cancelled are saved too. The trace's run id is LangChain's own, which is
    LangSmith's trace id; its metadata are those of the config, with the run's ``name`` and
    ``tags``. A handler that is given to a runnable inside another run makes a trace of that part,
    and ``parent_run_id`` says of what.

    In code that runs in an event loop use `AsyncTraceCallbackHandler`: this one blocks the loop
    while it saves.

    Args:
        store: Where runs go, blocking or async; stays the caller's to close.
        contents: Whether messages, the run's input and output, and what nodes return are kept, in
            ``extra``. Arguments and results of tools always are.
        on_error: Called with the error and the trace when a run could not be saved.
        max_open_runs: How many root runs are followed at once. Beyond it the oldest is saved as it
            is, with ``"unfinished": True`` in its metadata. So are all that are open when the
            program ends.

    Attributes:
        saved: How many runs were stored.
        failed: How many could not be; each is logged.
    """

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **reported: Any
    ) -> None:
        self._save(self._model_begins(serialized, messages[0] if messages else [], reported))

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **reported: Any) -> None:
        self._save(self._model_begins(serialized, prompts, reported))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **reported: Any) -> None:
        self._streams(run_id)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **reported: Any) -> None:
        self._save(self._model_ends(response, run_id))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **reported: Any) -> None:
        self._save(self._model_ends(reported.get("response"), run_id, error))

    def on_chain_start(self, serialized: dict[str, Any], inputs: Any, **reported: Any) -> None:
        self._save(self._runnable_begins(serialized, inputs, reported))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **reported: Any) -> None:
        self._save(self._runnable_ends(outputs, run_id))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **reported: Any) -> None:
        self._save(self._fails(error, run_id))

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **reported: Any) -> None:
        arguments = _arguments(input_str, reported.get("inputs"))
        self._save(self._tool_begins(serialized, arguments, reported))

    def on_tool_end(self, output: Any, *, run_id: UUID, **reported: Any) -> None:
        self._save(self._tool_ends(output, run_id))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **reported: Any) -> None:
        self._save(self._fails(error, run_id))

    def on_retriever_start(self, serialized: dict[str, Any], query: str, **reported: Any) -> None:
        self._save(self._retriever_begins(serialized, query, reported))

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **reported: Any) -> None:
        self._save(self._tool_ends(documents, run_id))

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **reported: Any) -> None:
        self._save(self._fails(error, run_id))

    def on_retry(self, retry_state: Any, *, run_id: UUID, **reported: Any) -> None:
        self._retries(retry_state, run_id)

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **reported: Any) -> None:
        self._event(name, data, run_id)

    def _save(self, trace: AgentTrace | None) -> None:
        if trace is not None:
            self._saver.save(trace)


class AsyncTraceCallbackHandler(Watching, AsyncCallbackHandler):
    """Saves each root run when it ends, before ``ainvoke`` or ``astream`` returns.

    The event loop goes on meanwhile. Otherwise, its arguments and attributes included, it is
    `TraceCallbackHandler`, which is the one for ``invoke`` and ``stream``: there LangChain makes an
    event loop for each event of this one.
    """

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **reported: Any
    ) -> None:
        await self._save(self._model_begins(serialized, messages[0] if messages else [], reported))

    async def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], **reported: Any
    ) -> None:
        await self._save(self._model_begins(serialized, prompts, reported))

    async def on_llm_new_token(self, token: Any, *, run_id: UUID, **reported: Any) -> None:
        self._streams(run_id)

    async def on_llm_end(self, response: LLMResult, *, run_id: UUID, **reported: Any) -> None:
        await self._save(self._model_ends(response, run_id))

    async def on_llm_error(self, error: BaseException, *, run_id: UUID, **reported: Any) -> None:
        await self._save(self._model_ends(reported.get("response"), run_id, error))

    async def on_chain_start(
        self, serialized: dict[str, Any], inputs: Any, **reported: Any
    ) -> None:
        await self._save(self._runnable_begins(serialized, inputs, reported))

    async def on_chain_end(self, outputs: Any, *, run_id: UUID, **reported: Any) -> None:
        await self._save(self._runnable_ends(outputs, run_id))

    async def on_chain_error(self, error: BaseException, *, run_id: UUID, **reported: Any) -> None:
        await self._save(self._fails(error, run_id))

    async def on_tool_start(
        self, serialized: dict[str, Any], input_str: str, **reported: Any
    ) -> None:
        arguments = _arguments(input_str, reported.get("inputs"))
        await self._save(self._tool_begins(serialized, arguments, reported))

    async def on_tool_end(self, output: Any, *, run_id: UUID, **reported: Any) -> None:
        await self._save(self._tool_ends(output, run_id))

    async def on_tool_error(self, error: BaseException, *, run_id: UUID, **reported: Any) -> None:
        await self._save(self._fails(error, run_id))

    async def on_retriever_start(
        self, serialized: dict[str, Any], query: str, **reported: Any
    ) -> None:
        await self._save(self._retriever_begins(serialized, query, reported))

    async def on_retriever_end(
        self, documents: Sequence[Any], *, run_id: UUID, **reported: Any
    ) -> None:
        await self._save(self._tool_ends(documents, run_id))

    async def on_retriever_error(
        self, error: BaseException, *, run_id: UUID, **reported: Any
    ) -> None:
        await self._save(self._fails(error, run_id))

    async def on_retry(self, retry_state: Any, *, run_id: UUID, **reported: Any) -> None:
        self._retries(retry_state, run_id)

    async def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **reported: Any) -> None:
        self._event(name, data, run_id)

    async def _save(self, trace: AgentTrace | None) -> None:
        if trace is not None:
            await self._saver.asave(trace)
