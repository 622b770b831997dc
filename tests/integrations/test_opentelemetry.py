"""Spans come in batches, late, out of order, from several processes: the runs are right."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import random
import subprocess
import sys
import threading
import time
import traceback

import pytest

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExportResult,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from otel_spans import AGENT, MODEL, TOOL, Spans, span_id_of, trace_id_of

from selectools_observe import (
    AsyncSQLiteTraceStore,
    CorruptTraceError,
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    StorageError,
    TraceFilter,
)
from selectools_observe.integrations.opentelemetry import TraceStoreSpanExporter, runs_of_spans
from selectools_observe.integrations.opentelemetry.span_exporter import record_of
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run
from selectools_observe.model.messages import messages_of


@pytest.fixture
def store():
    return InMemoryTraceStore()


@pytest.fixture
def exporter(store):
    exporter = TraceStoreSpanExporter(store, max_wait=60)
    yield exporter
    exporter.shutdown()


@pytest.fixture
def spans():
    return Spans()


def remote(trace_id: int = 0xABC, span_id: int = 0xDEF) -> NonRecordingSpan:
    """A span of another process, as a traceparent header tells of it."""
    return NonRecordingSpan(
        SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(1))
    )


def told(run) -> list[tuple[str, str | None]]:
    return [(step.type.value, step.model or step.tool_name or step.node_name) for step in run]


class TestRuns:
    def test_a_run_is_saved_when_its_root_has_come(self, store, exporter, spans):
        model, tool, root = spans.run()
        exporter.export([model])
        exporter.export([tool])
        assert store.list() == []
        assert exporter.export([root]) is SpanExportResult.SUCCESS
        run = store.load(trace_id_of(root))
        assert told(run) == [("llm_call", "m"), ("tool_execution", "t")]
        assert run.start_time == root.start_time / 10**9
        assert run.metadata == {
            "service.name": "shop",
            "gen_ai.agent.name": "a",
            "otel.trace_id": trace_id_of(root),
            "otel.scope.name": "test-instrumentation",
        }
        assert (exporter.saved, exporter.failed) == (1, 0)

    @given(st.randoms(use_true_random=False), st.integers(1, 6))
    @profile(60)
    def test_any_order_and_any_batches_give_the_same_run(self, chance, size):
        made = Spans()
        root = made.start("root", AGENT)
        inner = made.start("inner", AGENT | {"gen_ai.agent.name": "b"}, root)
        for number in range(3):
            made.start(f"chat {number}", MODEL | {"gen_ai.request.model": str(number)}, inner).end()
        inner.end()
        root.end()
        finished = made.finished()
        expected = runs_of_spans(map(record_of, finished))
        chance.shuffle(finished)
        store = InMemoryTraceStore()
        exporter = TraceStoreSpanExporter(store, max_wait=60)
        for at in range(0, len(finished), size):
            exporter.export(finished[at : at + size])
        assert [store.load(trace_id_of(root))] == expected
        exporter.shutdown()

    def test_a_late_span_is_put_to_the_stored_run(self, store, exporter, spans):
        model, tool, root = spans.run()
        exporter.export([root, tool])
        assert told(store.load(trace_id_of(root))) == [("tool_execution", "t")]
        exporter.export([model])
        whole = store.load(trace_id_of(root))
        assert told(whole) == [("llm_call", "m"), ("tool_execution", "t")]
        assert [whole] == runs_of_spans(map(record_of, [model, tool, root]))

    def test_a_span_that_comes_twice_counts_once(self, store, exporter, spans):
        finished = spans.run()
        exporter.export(finished)
        exporter.export(finished)
        (summary,) = store.list()
        assert summary.steps == 2

    def test_another_exporter_goes_on_where_one_was_killed(self, store, spans):
        model, tool, root = spans.run()
        first = TraceStoreSpanExporter(store, max_wait=60)
        first.export([model])
        assert first.force_flush()
        second = TraceStoreSpanExporter(store, max_wait=60)
        second.export([tool, root])
        run = store.load(trace_id_of(root))
        assert told(run) == [("llm_call", "m"), ("tool_execution", "t")]
        assert "unfinished" not in run.metadata

    def test_spans_without_genai_are_no_run(self, store, exporter, spans):
        root = spans.start("GET /", kind=SpanKind.SERVER)
        spans.start("SELECT", {"db.system": "sqlite"}, root).end()
        root.end()
        exporter.export(spans.finished())
        exporter.force_flush()
        assert store.list() == []

    def test_a_lone_model_call_is_a_run(self, store, exporter, spans):
        spans.start("chat m", MODEL).end()
        exporter.export(spans.finished())
        (summary,) = store.list()
        assert told(store.load(summary.run_id)) == [("llm_call", "m")]

    def test_a_part_that_another_process_began_is_a_run_of_its_own(self, store, exporter, spans):
        parent = remote()
        roots = [spans.start(f"server {number}", None, parent) for number in range(2)]
        for root in roots:
            spans.start("chat m", MODEL, root).end()
            root.end()
        exporter.export(spans.finished())
        trace_id = trace_id_of(parent)
        assert {summary.run_id for summary in store.list()} == {
            f"{trace_id}-{span_id_of(root)}" for root in roots
        }
        run = store.load(f"{trace_id}-{span_id_of(roots[0])}")
        assert run.parent_run_id == trace_id
        assert told(run) == [("llm_call", "m")]
        filters = TraceFilter(metadata_match={"otel.trace_id": trace_id})
        assert len(store.query(filters)) == 2

    def test_what_goes_on_in_both_processes_overwrites_nothing(self, store, exporter, spans):
        model, tool, root = spans.run()
        exporter.export([model, tool, root])
        served = spans.start("server", AGENT, remote(root.context.trace_id))
        spans.start("chat m", MODEL, served).end()
        exporter.export(spans.finished()[-1:])
        served.end()
        exporter.export(spans.finished()[-1:])
        assert told(store.load(trace_id_of(root))) == [("llm_call", "m"), ("tool_execution", "t")]
        # What came before its own root did goes where it belongs once that is known.
        part = store.load(f"{trace_id_of(root)}-{span_id_of(served)}")
        assert told(part) == [("llm_call", "m")]


class TestUnfinished:
    def test_spans_are_saved_after_a_while_though_their_root_has_not_come(self, store, spans):
        root = spans.start("root", AGENT)
        spans.start("chat m", MODEL, root).end()
        exporter = TraceStoreSpanExporter(store, max_wait=0.05)
        exporter.export(spans.finished())
        deadline = time.monotonic() + 60
        while not store.list() and time.monotonic() < deadline:
            time.sleep(0.01)
        run = store.load(trace_id_of(root))
        assert run.metadata["unfinished"] is True
        assert told(run) == [("llm_call", "m")]
        spans.start("chat n", MODEL | {"gen_ai.request.model": "n"}, root).end()
        root.end()
        exporter.export(spans.finished()[1:])
        run = store.load(trace_id_of(root))
        assert told(run) == [("llm_call", "m"), ("llm_call", "n")]
        assert "unfinished" not in run.metadata
        exporter.shutdown()

    def test_spans_are_saved_when_too_many_wait(self, store, spans):
        exporter = TraceStoreSpanExporter(store, max_wait=60, max_spans=4)
        roots = [spans.start("root", AGENT) for _ in range(3)]
        for root in roots:
            for _ in range(2):
                spans.start("chat m", MODEL, root).end()
        exporter.export(spans.finished())
        (summary,) = store.list()
        assert summary.run_id == trace_id_of(roots[0])
        assert summary.metadata["unfinished"] is True
        exporter.shutdown()
        assert {summary.run_id for summary in store.list()} == set(map(trace_id_of, roots))

    @pytest.mark.parametrize("end", ["force_flush", "shutdown"])
    def test_what_waits_is_saved(self, end, store, spans):
        exporter = TraceStoreSpanExporter(store, max_wait=60)
        root = spans.start("root", AGENT)
        spans.start("chat m", MODEL, root).end()
        exporter.export(spans.finished())
        getattr(exporter, end)()
        assert store.load(trace_id_of(root)).metadata["unfinished"] is True

    def test_after_shutdown_spans_are_counted_and_logged(self, store, spans, caplog):
        exporter = TraceStoreSpanExporter(store)
        exporter.shutdown()
        exporter.shutdown()
        assert exporter.export(spans.run()) is SpanExportResult.FAILURE
        assert exporter.failed == 3
        assert "shut down" in caplog.text

    def test_a_program_that_ends_has_saved_everything(self, tmp_path):
        program = f"""
import asyncio, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from otel_spans import AGENT, MODEL
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from selectools_observe import AsyncSQLiteTraceStore
from selectools_observe.integrations.opentelemetry import TraceStoreSpanExporter

store = AsyncSQLiteTraceStore({str(tmp_path / "traces.db")!r})
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(TraceStoreSpanExporter(store)))
tracer = provider.get_tracer("t")
with tracer.start_as_current_span("whole", attributes=AGENT):
    pass
open_root = tracer.start_span("never ends", attributes=AGENT)
from opentelemetry.trace import use_span
with use_span(open_root), tracer.start_as_current_span("chat", attributes=MODEL):
    pass
"""
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
        with SQLiteTraceStore(tmp_path / "traces.db") as reader:
            found = {summary.metadata.get("unfinished"): summary.steps for summary in reader.list()}
        assert found == {None: 0, True: 1}


class TestSafety:
    def test_a_store_that_fails_breaks_nothing(self, spans, caplog):
        class Full(InMemoryTraceStore):
            def save(self, trace):
                raise StorageError("traces.db", "no space left", "make room")

        failures = []
        exporter = TraceStoreSpanExporter(
            Full(), on_error=lambda error, run: failures.append(run.run_id)
        )
        finished = spans.run()
        assert exporter.export(finished) is SpanExportResult.FAILURE
        assert failures == [trace_id_of(finished[-1])]
        assert (exporter.saved, exporter.failed) == (0, 1)
        assert "no space left" in caplog.text
        exporter.shutdown()

    @pytest.mark.parametrize("depth", [200, 255, 256, 257, 300, 5_000, 100_000])
    def test_values_nested_deeply_are_kept_as_text(self, depth, store, exporter, spans):
        deep = "[" * depth + "]" * depth
        finished = spans.run(
            tool={"gen_ai.tool.call.arguments": deep},
            model={"gen_ai.input.messages": deep, "metadata": deep},
        )
        exporter.export(finished)
        model, tool = store.load(trace_id_of(finished[0]))
        asked = "".join([each.text for each in messages_of(model).input]) or model.input
        for value in (tool.tool_args["input"], asked):
            assert (value if isinstance(value, str) else json.dumps(value)) == deep
        assert exporter.failed == 0

    def test_a_run_that_cannot_be_read_is_saved_anew(self, spans, caplog):
        class Unreadable(InMemoryTraceStore):
            def update(self, run_id, change):
                raise CorruptTraceError(run_id, "traces.db", "it is cut short")

        store = Unreadable()
        exporter = TraceStoreSpanExporter(store)
        exporter.export(spans.run())
        assert len(store.list()) == 1
        assert "without the steps stored earlier" in caplog.text
        exporter.shutdown()

    def test_many_threads(self, tmp_path):
        with SQLiteTraceStore(tmp_path / "traces.db", durability="normal") as store:
            exporter = TraceStoreSpanExporter(store)
            spans = Spans(exporter)

            def work() -> None:
                for _ in range(10):
                    root = spans.start("root", AGENT)
                    for _ in range(3):
                        spans.start("chat m", MODEL, root).end()
                    root.end()

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert {summary.steps for summary in store.list(1000)} == {3}
            assert store.count() == 80
            assert exporter.saved == 80
            exporter.shutdown()

    async def test_an_async_store_in_its_own_loop(self, tmp_path):
        async with AsyncSQLiteTraceStore(tmp_path / "traces.db") as store:
            exporter = TraceStoreSpanExporter(store)
            spans = Spans(exporter)
            finished = spans.run()
            assert told(await store.load(trace_id_of(finished[0]))) == [
                ("llm_call", "m"),
                ("tool_execution", "t"),
            ]
            await asyncio.to_thread(exporter.shutdown)
            assert len(await store.list()) == 1  # it stays open

    def test_the_batch_processor(self, store, spans):
        exporter = TraceStoreSpanExporter(store)
        spans.provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=1, max_export_batch_size=2)
        )
        for _ in range(50):
            root = spans.start("root", AGENT)
            for _ in range(5):
                spans.start("chat m", MODEL, root).end()
            root.end()
        assert spans.provider.force_flush()
        spans.provider.shutdown()
        assert {(s.steps, s.metadata.get("unfinished")) for s in store.list(100)} == {(5, None)}
        assert store.count() == 50

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_a_child_does_not_save_its_parents_spans(self, tmp_path, spans):
        with JSONLTraceStore(tmp_path / "runs.jsonl") as store:
            exporter = TraceStoreSpanExporter(store, max_wait=60)
            root = spans.start("root", AGENT)
            spans.start("chat m", MODEL, root).end()
            exporter.export(spans.finished())
            pid = os.fork()
            if pid == 0:
                faulthandler.dump_traceback_later(200, exit=True)
                try:
                    exporter.export(Spans().run())
                    exporter.force_flush()
                    os._exit(0)
                finally:
                    traceback.print_exc()
                    os._exit(1)
            assert os.waitpid(pid, 0)[1] == 0
            assert [summary.steps for summary in store.list()] == [2]
            exporter.shutdown()
            assert store.load(trace_id_of(root)).metadata["unfinished"] is True

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"store": object()}, TypeError),
            ({"max_wait": 0}, ValueError),
            ({"max_spans": 0}, ValueError),
            ({"other_spans": "keep"}, ValueError),
        ],
    )
    def test_bad_options_are_refused(self, options, error):
        with pytest.raises(error):
            TraceStoreSpanExporter(**{"store": InMemoryTraceStore(), **options})


class TestNesting:
    def test_a_node_is_its_start_and_its_end_and_names_what_is_inside(self, spans):
        root = spans.start("invoke_agent a", AGENT, start_time=0)
        node = spans.start(
            "invoke_agent b", AGENT | {"gen_ai.agent.name": "b"}, root, start_time=1_000_000
        )
        spans.start("chat m", MODEL, node, start_time=2_000_000).end(5_000_000)
        spans.start("execute_tool t", TOOL, node, start_time=4_000_000).end(7_000_000)
        node.end(10_000_000)
        spans.start("chat m", MODEL, root, start_time=11_000_000).end(12_000_000)
        root.end(20_000_000)
        (run,) = runs_of_spans(map(record_of, spans.finished()))
        assert [(s.type.value, s.node_name, s.duration_ms) for s in run] == [
            ("graph_node_start", "b", 0.0),
            ("llm_call", "b", 3.0),
            ("tool_execution", "b", 3.0),
            ("graph_node_end", "b", 4.0),  # 1 before, 3 after: two overlap, and count once
            ("llm_call", "a", 1.0),
        ]
        parents = [s.extra["otel"].get("parent_span_id") for s in run]
        assert parents == [
            span_id_of(root), span_id_of(node), span_id_of(node), None, span_id_of(root),
        ]  # fmt: skip

    def test_other_spans_inside_a_run(self, spans):
        root = spans.start("root", AGENT)
        call = spans.start("chat m", MODEL, root)
        spans.start("POST", {"http.request.method": "POST"}, call).end()
        call.end()
        root.end()
        records = [record_of(span) for span in spans.finished()]
        (beside,) = runs_of_spans(records)
        assert told(beside) == [("llm_call", "m")]
        (kept,) = beside.extra["otel"]["spans"]
        assert kept["attributes"] == {"http.request.method": "POST"}
        (steps,) = runs_of_spans(records, other_spans="steps")
        assert [step.type.value for step in steps] == ["llm_call", "span"]
        (dropped,) = runs_of_spans(records, other_spans="drop")
        assert told(dropped) == [("llm_call", "m")]
        assert "spans" not in dropped.extra["otel"]
        for run in (beside, steps, dropped):
            assert runs_of_spans(spans_of_run(run)) == [run]

    def test_a_call_told_by_two_instrumentations_counts_once(self, spans):
        root = spans.start("root", AGENT)
        outer = spans.start("ChatOpenAI", MODEL | {"gen_ai.usage.input_tokens": 5}, root)
        http = spans.start("POST", None, outer)
        spans.start("chat m", MODEL | {"gen_ai.usage.input_tokens": 5}, http).end()
        http.end()
        outer.end()
        root.end()
        (run,) = runs_of_spans(map(record_of, spans.finished()))
        assert [step.prompt_tokens for step in run] == [5]
        assert len(run.extra["otel"]["spans"]) == 2

    def test_the_roots_failure_is_a_step(self, spans):
        root = spans.start("invoke_agent a", AGENT)
        root.record_exception(KeyError("k"))
        root.set_status(Status(StatusCode.ERROR, "it broke"))
        root.end()
        (run,) = runs_of_spans(map(record_of, spans.finished()))
        (step,) = run.steps
        assert (step.type.value, step.error, step.summary) == (
            "error", "KeyError: 'k'", "invoke_agent a",
        )  # fmt: skip

    def test_spans_inside_of_each_other_are_kept(self):
        made = Spans().run()
        one, two, root = map(record_of, made)
        one.parent_span_id, two.parent_span_id = two.span_id, one.span_id
        (run,) = runs_of_spans([one, two, root])
        assert len(run) == 2

    @pytest.mark.slow
    def test_ten_thousand_levels(self, spans):
        parent = root = spans.start("root", AGENT)
        for _ in range(10_000):
            parent = spans.start("n", AGENT, parent)
            parent.end()
        root.end()
        finished = spans.finished()
        random.Random(0).shuffle(finished)
        (run,) = runs_of_spans(map(record_of, finished))
        assert len(run) == 20_000
