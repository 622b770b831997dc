"""Save, query and export the traces of a selectools agent, with all three backends.

First in blocking code, then the same in async code. Needs no network and no key:

    python examples/69_trace_store.py [FOLDER]

The files go to FOLDER, or to a temporary folder that is removed at the end.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from selectools import AgentObserver, AgentResult
from support_desk import CONVERSATION, make_agent

from selectools_observe import (
    AgentTrace,
    AsyncInMemoryTraceStore,
    AsyncJSONLTraceStore,
    AsyncQueryableTraceStore,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    JSONLTraceStore,
    QueryableTraceStore,
    SQLiteTraceStore,
    TraceFilter,
    TraceNotFoundError,
    TraceStore,
    TraceSummary,
)


class TraceSaver(AgentObserver):
    """Saves every run as it ends, so that nobody has to remember to."""

    def __init__(self, store: TraceStore) -> None:
        self.store = store

    def on_run_end(self, run_id: str, result: AgentResult) -> None:
        if result.trace is not None:
            self.store.save(result.trace)


def questions() -> dict[str, TraceFilter]:
    """What we want to know, and the filter that asks for it."""
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    return {
        "Runs of ada's": TraceFilter(metadata_match={"user": "ada"}),
        "Long runs of the last hour": TraceFilter(min_steps=8, since=an_hour_ago),
        "Runs in which something failed": TraceFilter(has_error=True),
        "Runs that paid money back": TraceFilter(tool_name="refund"),
        "The newest run": TraceFilter(limit=1),
    }


def blocking(folder: Path) -> None:
    with ExitStack() as stack:
        memory = stack.enter_context(InMemoryTraceStore(max_size=100))
        sqlite = stack.enter_context(SQLiteTraceStore(folder / "traces.db"))
        jsonl = stack.enter_context(JSONLTraceStore(folder / "traces.jsonl"))

        print("== Save: an observer saves each run as it ends")
        for user, question in CONVERSATION:
            make_agent(user, [TraceSaver(memory)]).run(question)
        traces = list(memory.iter_traces(oldest_first=True))
        sqlite.save_many(traces)
        for trace in traces:
            jsonl.save(trace)

        stores: list[QueryableTraceStore] = [memory, sqlite, jsonl]
        for store in stores:
            print(f"\n== {type(store).__name__}: {store.count()} runs")
            for title, filters in questions().items():
                print(answer(title, store.query(filters)))

        print("\n== Load one: the steps of the newest run")
        newest = sqlite.list(limit=1)[0]
        print(sqlite.load(newest.run_id).timeline())

        print("\n== Export what failed to a file of its own")
        failed = sqlite.iter_traces(TraceFilter(has_error=True))
        with JSONLTraceStore(folder / "failed.jsonl") as export:
            print(f"{len(export.save_many(failed))} run exported to failed.jsonl")

        print("\n== Delete")
        print(f"deleted: {sqlite.delete(newest.run_id)}")
        try:
            sqlite.load(newest.run_id)
        except TraceNotFoundError:
            print("and load says that it is gone")


async def awaiting(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        memory = await stack.enter_async_context(AsyncInMemoryTraceStore(max_size=100))
        sqlite = await stack.enter_async_context(AsyncSQLiteTraceStore(folder / "async.db"))
        jsonl = await stack.enter_async_context(AsyncJSONLTraceStore(folder / "async.jsonl"))
        stores: list[AsyncQueryableTraceStore] = [memory, sqlite, jsonl]

        print("\n== Async: all agents at once, each run saved to all three stores at once")

        async def run_and_save(user: str, question: str) -> None:
            result = await make_agent(user).arun(question)
            await asyncio.gather(*(store.save(result.trace) for store in stores))

        await asyncio.gather(*(run_and_save(*asked) for asked in CONVERSATION))

        for store in stores:
            print(f"\n== {type(store).__name__}: {await store.count()} runs")
            for title, filters in questions().items():
                print(answer(title, await store.query(filters)))

        print("\n== Stream from one store to another, as many runs as there may be")
        async with AsyncJSONLTraceStore(folder / "copy.jsonl") as copy:
            async for trace in sqlite.iter_traces(oldest_first=True):
                await copy.save(trace)
            print(f"{await copy.count()} runs copied, {await tokens(copy)} tokens in all")


def answer(title: str, found: list[TraceSummary]) -> str:
    users = ", ".join(sorted(summary.metadata["user"] for summary in found))
    return f"  {title + ':':<32} {len(found)}  ({users})"


async def tokens(store: AsyncQueryableTraceStore) -> int:
    return sum([spent(trace) async for trace in store.iter_traces()])


def spent(trace: AgentTrace) -> int:
    return sum((step.prompt_tokens or 0) + (step.completion_tokens or 0) for step in trace)


def main(folder: Path) -> None:
    blocking(folder)
    asyncio.run(awaiting(folder))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            main(Path(temporary))
