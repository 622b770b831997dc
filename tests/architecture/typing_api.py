"""What a type checker makes of the public names. Read by mypy, run by nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

from selectools_observe import (
    AgentTrace,
    AsyncFileTraceStore,
    AsyncInMemoryTraceStore,
    AsyncJSONLTraceStore,
    AsyncQueryableTraceStore,
    AsyncSQLiteTraceStore,
    AsyncTraceStore,
    FileTraceStore,
    InMemoryTraceStore,
    InvalidTraceError,
    JSONLTraceStore,
    QueryableTraceStore,
    SQLiteTraceStore,
    StepType,
    StorageError,
    SyncTraceStore,
    TraceFilter,
    TraceHistogram,
    TraceNotFoundError,
    TracePage,
    TraceStep,
    TraceStore,
    TraceStoreError,
    TraceSummary,
    is_async_store,
)
from selectools_observe.analytics import Comparison, Statistics, collect, collect_async, compare
from selectools_observe.capture import (
    BackgroundTraceStore,
    FlushResult,
    ProcessingTraceStore,
    Recorder,
    common_redactors,
)
from selectools_observe.stores import maintenance as trust
from selectools_observe.stores.open import open_async_store, open_store


def models() -> None:
    trace = AgentTrace(run_id="run-1", parent_run_id=None, metadata={"user": "ada"})
    trace.add(TraceStep(type=StepType.LLM_CALL, model="gpt-4o", duration_ms=12))
    trace.add(TraceStep("llm_call"))
    assert_type(trace.filter(type=StepType.ERROR), list[TraceStep])
    assert_type(trace.filter(type="error"), list[TraceStep])
    assert_type(trace.timeline(), str)
    assert_type(AgentTrace.from_dict(trace.to_dict()), AgentTrace)
    assert_type([step.type for step in trace], list[StepType])


def filters() -> TraceFilter:
    return TraceFilter(
        metadata_match={"user": "ada", "attempt": 1},
        min_steps=1,
        max_ms=2.5,
        since=datetime.now(UTC),
        run_ids=["run-1"],
        step_type="error",
        has_error=True,
        limit=10,
    )


def protocols() -> None:
    blocking: list[QueryableTraceStore] = [
        InMemoryTraceStore(max_size=10),
        SQLiteTraceStore(Path("traces.db"), durability="normal"),
        JSONLTraceStore("traces.jsonl", durability="full", progress=lambda done, total: None),
    ]
    five_methods: list[TraceStore] = [*blocking, SyncTraceStore(AsyncInMemoryTraceStore())]
    waiting: list[AsyncQueryableTraceStore] = [
        AsyncInMemoryTraceStore(),
        AsyncSQLiteTraceStore(":memory:"),
        AsyncJSONLTraceStore(Path("traces.jsonl")),
    ]
    five_awaited: list[AsyncTraceStore] = [*waiting]
    assert_type(is_async_store(five_awaited[0]), bool)
    SQLiteTraceStore("traces.db", durability="often")  # type: ignore[arg-type]
    TraceFilter(user="ada")  # type: ignore[call-arg]
    del five_methods


def blocking(store: QueryableTraceStore, trace: AgentTrace) -> None:
    assert_type(store.save(trace), str)
    assert_type(store.save_many([trace]), list[str])
    assert_type(store.load("run-1"), AgentTrace)
    assert_type(store.load_many({"run-1"}), dict[str, AgentTrace])
    page = store.list(10, cursor=store.query(filters()).next_cursor)
    assert_type(page, TracePage)
    assert_type(page[0], TraceSummary)
    assert_type(page.next_cursor, str | None)
    assert_type(store.count(), int)
    assert_type(store.histogram(buckets=10), TraceHistogram)
    assert_type(store.iter_summaries(oldest_first=True), Iterator[TraceSummary])
    assert_type(store.iter_traces(filters()), Iterator[AgentTrace])
    assert_type(store.delete("run-1"), bool)


async def awaited(store: AsyncQueryableTraceStore, trace: AgentTrace) -> None:
    assert_type(await store.save(trace), str)
    assert_type(await store.save_many([trace]), list[str])
    assert_type(await store.load("run-1"), AgentTrace)
    assert_type(await store.load_many(["run-1"]), dict[str, AgentTrace])
    page = await store.list(10, cursor=(await store.query(filters())).next_cursor)
    assert_type(page, TracePage)
    assert_type(await store.count(filters()), int)
    assert_type(await store.histogram(filters()), TraceHistogram)
    assert_type(store.iter_summaries(), AsyncIterator[TraceSummary])
    assert_type(store.iter_traces(filters()), AsyncIterator[AgentTrace])
    assert_type(await store.delete("run-1"), bool)
    await store.aclose()


async def context_managers() -> None:
    async with AsyncSQLiteTraceStore("traces.db") as store:
        assert_type(store, AsyncSQLiteTraceStore)
    with SQLiteTraceStore("traces.db") as blocking_store:
        assert_type(blocking_store, SQLiteTraceStore)


def opened_by_name() -> None:
    assert_type(open_store("traces.db", must_exist=True), QueryableTraceStore)
    assert_type(open_async_store(Path("runs.jsonl")), AsyncQueryableTraceStore)


async def told_of_many(store: QueryableTraceStore, asynchronous: AsyncQueryableTraceStore) -> None:
    assert_type(collect(store, filters(), by=["day", "tool"]), Statistics)
    assert_type(await collect_async(asynchronous), Statistics)
    compared = compare(store.load("run-1"), store.load("run-2"))
    assert_type(compared, Comparison)
    assert_type(compared.first_difference, int | None)


def errors(error: TraceStoreError) -> ValueError | str:
    if isinstance(error, TraceNotFoundError | InvalidTraceError):
        return error
    if isinstance(error, StorageError):
        return error.remedy
    return str(error)


def maintenance_methods(path: Path) -> None:
    stores: list[FileTraceStore] = [SQLiteTraceStore(path), JSONLTraceStore(path)]
    for store in stores:
        verified = store.verify(progress=lambda done, total: print(done / total))
        assert_type(verified, trust.VerifyReport)
        assert_type([problem.run_id for problem in verified.problems], list[str | None])
        assert_type(store.backup(path, overwrite=True), trust.BackupReport)
        assert_type(store.repair(into="new.db", keep_suspect=False), trust.RepairReport)
        assert_type(store.compact().size_after, int)
    assert_type(trust.verify("traces.db"), trust.VerifyReport)
    assert_type(trust.repair("traces.db", into=path), trust.RepairReport)


async def maintenance_methods_async(path: Path) -> None:
    stores: list[AsyncFileTraceStore] = [AsyncSQLiteTraceStore(path), AsyncJSONLTraceStore(path)]
    for store in stores:
        assert_type(await store.verify(), trust.VerifyReport)
        assert_type((await store.backup(path)).ok, bool)


def capture(store: SQLiteTraceStore) -> None:
    prepared = ProcessingTraceStore(store, redact=common_redactors(), sample=0.5)
    with BackgroundTraceStore(prepared, on_full="drop_oldest") as background:
        assert_type(background.flush(), FlushResult)
        recorder = Recorder(background, live=True)

        @recorder.tool
        def find(number: int) -> str:
            return str(number)

        @recorder.agent(name="shop")
        def answer(question: str) -> str:
            return question

        assert_type(find(5), str)
        assert_type(answer("?"), str)
        with recorder.run(metadata={"user": "ada"}) as run, run.llm_call("gpt-4o") as call:
            assert_type(call, TraceStep)
            run.add(TraceStep("cache_hit"))


async def capture_async(store: AsyncSQLiteTraceStore) -> None:
    recorder = Recorder(store)
    async with recorder.run() as run, run.tool("search", {"q": "x"}) as call:
        assert_type(call, TraceStep)
        await run.aadd(TraceStep("cache_hit"))
