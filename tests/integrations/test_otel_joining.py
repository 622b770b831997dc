"""Spans of one trace come to several receivers, late, twice: the run has each of them once."""

from __future__ import annotations

import math
import os
import random
import threading
import time

import pytest
from span_records import AGENT, CHAIN, MODEL, TRACE, ident, root, span, tool

from selectools_observe import InMemoryTraceStore, JSONLTraceStore, SQLiteTraceStore, StorageError
from selectools_observe.analytics import PriceTable, reprice
from selectools_observe.capture import ProcessingTraceStore
from selectools_observe.integrations.opentelemetry import OtlpReceiver, runs_of_spans
from selectools_observe.integrations.opentelemetry.assembler import SpanAssembler
from selectools_observe.integrations.opentelemetry.joined_run import Join, RunChange
from selectools_observe.integrations.opentelemetry.otlp_proto import protobuf_of_spans
from selectools_observe.integrations.opentelemetry.span_journal import SpanJournal
from selectools_observe.integrations.opentelemetry.spans import SpanRecord
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run

STORES = {
    "memory": lambda folder: InMemoryTraceStore(),
    "sqlite": lambda folder: SQLiteTraceStore(folder / "t.db", durability="normal"),
    "jsonl": lambda folder: JSONLTraceStore(folder / "t.jsonl"),
}


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    with STORES[request.param](tmp_path) as store:
        yield store


def trace(number: int, calls: int = 8) -> list[SpanRecord]:
    """The spans of one trace: an agent, model calls, tools, and HTTP calls inside."""
    spans = [root()]
    for n in range(calls):
        spans.append(span(f"m{n}", n, n + 0.5, MODEL))
        spans.append(span(f"http{n}", n, n + 0.4, {"http.method": "POST"}, f"m{n}"))
        spans.append(span(f"t{n}", n + 0.5, n + 0.9, tool(f"t{n}")))
    for record in spans:
        record.trace_id = f"{number + 1:032x}"
    return spans


def span_ids(run) -> list[str]:
    return sorted(record.span_id for record in spans_of_run(run))


def assert_whole(store, traces) -> None:
    runs = {summary.run_id: store.load(summary.run_id) for summary in store.list(10_000)}
    assert runs.keys() == {records[0].trace_id for records in traces}
    for records in traces:
        run = runs[records[0].trace_id]
        assert span_ids(run) == sorted(record.span_id for record in records)
        assert "unfinished" not in run.metadata
        assert [run] == runs_of_spans(records)


@pytest.mark.slow
@pytest.mark.parametrize("receivers", [2, 4])
@pytest.mark.parametrize("flushes", [True, False])
def test_receivers_that_share_a_store(store, receivers, flushes):
    chance = random.Random(receivers)
    traces = [trace(n) for n in range(20)]
    todo = [record for records in traces for record in records]
    todo += chance.sample(todo, 50)  # some come twice
    chance.shuffle(todo)
    ends = [SpanAssembler(store, max_wait=60) for _ in range(receivers)]

    def receive(number: int) -> None:
        for at in range(number, len(todo), receivers):
            assert ends[number].add([todo[at]])
            if flushes and at % 7 == 0:
                assert ends[number].flush()

    threads = [threading.Thread(target=receive, args=[number]) for number in range(receivers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for end in [*ends, *ends]:  # what one holds may wait for what another saves
        assert end.flush()
    assert_whole(store, traces)
    for end in ends:
        end.close()


def test_a_root_without_genai_comes_to_another_receiver(store):
    top = span("GET /", 0, 10, {"http.method": "GET"}, None, id="root")
    call = span("m", 1, 2, MODEL)
    one, other = SpanAssembler(store, max_wait=60), SpanAssembler(store, max_wait=60)
    assert one.add([top])
    assert one.flush()
    assert other.add([call])
    other.close()
    one.close()
    assert [store.load(TRACE)] == runs_of_spans([top, call])
    assert (one.unused, other.unused) == (0, 0)


def test_traces_without_genai_are_counted(store):
    end = SpanAssembler(store, max_wait=60)
    end.add([span("GET /", 0, 10, {"http.method": "GET"}, None)])
    end.close()
    assert (end.unused, end.unread, list(store.list())) == (1, 0, [])


def test_what_somebody_gave_the_run_stays(store):
    records = trace(0)
    end = SpanAssembler(store, max_wait=60)
    end.add([records[1]])
    end.flush()

    def change(run):
        run.metadata |= {"reward": 1, "unfinished": True}
        run.extra["note"] = "good"
        return run

    store.update(records[0].trace_id, change)
    end.add(records)
    run = store.load(records[0].trace_id)
    assert (run.metadata["reward"], run.extra["note"]) == (1, "good")
    assert "unfinished" not in run.metadata
    end.close()


@pytest.mark.parametrize("order", [0, 1])
def test_spans_of_a_part_come_before_its_root_to_another_receiver(store, order):
    part = span("server", 1, 9, AGENT, "elsewhere", remote_parent=True)
    inner = [span("c", 2, 8, CHAIN, "server"), span("m", 3, 4, MODEL, "c")]
    ends = [SpanAssembler(store, max_wait=60), SpanAssembler(store, max_wait=60)]
    for end in ends:
        end.add([part] if end is ends[order] else inner)
        end.flush()
    (summary,) = store.list()
    run = store.load(summary.run_id)
    assert run.run_id == f"{TRACE}-{ident('server')}"
    assert [run] == runs_of_spans([part, *inner])


def test_a_tools_server_in_another_process_is_part_of_its_clients_run(store):
    client = span("tools/call x", 1, 9, tool("x"), id="client")
    server = span("tools/call x", 2, 8, tool("x"), "client", id="server", remote_parent=True)
    ends = [SpanAssembler(store, max_wait=60), SpanAssembler(store, max_wait=60)]
    ends[0].add([server])
    ends[0].flush()
    ends[1].add([root(), client])
    (summary,) = store.list()
    assert (summary.run_id, summary.steps) == (TRACE, 1)


@pytest.mark.slow
def test_late_spans_are_joined_with_few_saves(store):
    end = SpanAssembler(store, max_wait=60)
    end.add([root()])
    late = [span(f"m{n}", n, n + 0.5, MODEL) for n in range(1_000)]
    for record in late:
        assert end.add([record])
    end.close()
    assert len(store.load(TRACE)) == 1_000
    # Each while the run is short, and then when a share of it has come, or after a moment.
    assert end.saver.saved < 200


def test_a_store_that_refuses_once_loses_nothing():
    class Moody(InMemoryTraceStore):
        refuses = True

        def update(self, run_id, change):
            if self.refuses:
                raise StorageError("traces.db", "it is locked", "Try again")
            return super().update(run_id, change)

    store = Moody()
    end = SpanAssembler(store, max_wait=60)
    assert not end.add(trace(0))
    store.refuses = False
    assert end.flush()
    assert_whole(store, [trace(0)])


class TestRootsThatNeverEnd:
    """As of smolagents, whose run is a generator that raises."""

    RECORDS = (
        span("model", 1, 2, MODEL),
        span("step", 3, 4, CHAIN, status="error", status_message="out of order"),
    )

    def settled(self, store, assembler, steps: int):
        """The run, once it has that many steps."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for summary in store.list():
                if summary.steps >= steps:
                    assembler.close()
                    return summary
            time.sleep(0.01)
        raise AssertionError(store.list())

    def test_it_is_saved_when_nothing_more_comes_with_its_error(self, store):
        end = SpanAssembler(store, max_wait=60, max_idle=0.05)
        end.add(self.RECORDS)
        summary = self.settled(store, end, 3)
        assert summary.outcome == "error"
        assert summary.metadata["unfinished"] is True

    def test_a_root_that_comes_after_all_decides(self, store):
        end = SpanAssembler(store, max_wait=60, max_idle=0.05)
        end.add(self.RECORDS)
        self.settled(store, end, 3)
        other = SpanAssembler(store)
        other.add([root(end=6), span("again", 4.5, 5, MODEL)])
        other.close()
        (summary,) = store.list()
        assert summary.outcome == "ok"
        assert "unfinished" not in summary.metadata

    def test_a_tool_that_failed_ends_nothing(self, store):
        end = SpanAssembler(store)
        end.add([span("find", 1, 2, tool("find"), status="error", status_message="gone")])
        end.close()
        assert store.list()[0].outcome == "unfinished"


class TestJournal:
    def test_spans_of_a_receiver_that_is_gone_are_taken_over(self, tmp_path):
        records = trace(0)
        with SQLiteTraceStore(tmp_path / "t.db") as store:
            gone = OtlpReceiver(store)
            assert gone.receive(protobuf_of_spans(records[1:10])).status == 200
            gone._gatherer._clock.stop()
            os.close(gone._gatherer._journal._fd)  # as when its process is killed
            gone._gatherer._journal._fd = None
            other = OtlpReceiver(store)
            assert other.receive(protobuf_of_spans([records[0], *records[10:]])).status == 200
            other.close()
            assert_whole(store, [records])
        assert not [name for name in os.listdir(tmp_path) if name.endswith(".spans")]

    def test_a_line_that_was_being_written_takes_no_other_with_it(self, tmp_path, caplog):
        records = trace(0)
        with SQLiteTraceStore(tmp_path / "t.db") as store:
            gone = OtlpReceiver(store)
            gone.receive(protobuf_of_spans(records[1:10]))
            gone._gatherer._clock.stop()
            journal = gone._gatherer._journal
            os.write(journal._fd, b"zzzzzzzz damaged\n")
            os.write(journal._fd, b'12345678 [{"half')
            os.close(journal._fd)
            journal._fd = None
            other = OtlpReceiver(store)
            other.close()
            assert span_ids(store.load(records[0].trace_id)) == sorted(
                record.span_id for record in records[1:10]
            )
        assert "line 2 of the journal skipped" in caplog.text

    def test_it_is_emptied_when_nothing_waits(self, tmp_path):
        records = trace(0)
        with JSONLTraceStore(tmp_path / "t.jsonl") as store:
            end = OtlpReceiver(store)
            end.receive(protobuf_of_spans(records[1:]))
            (name,) = os.listdir(tmp_path / "t.jsonl.spans")
            assert os.path.getsize(tmp_path / "t.jsonl.spans" / name) > 0
            end.receive(protobuf_of_spans(records[:1]))
            assert os.path.getsize(tmp_path / "t.jsonl.spans" / name) == 0
            end.close()
        assert not os.path.exists(tmp_path / "t.jsonl.spans")

    @pytest.mark.parametrize("journal", [False, "folder"])
    def test_where_it_is(self, journal, tmp_path):
        folder = tmp_path / journal if journal else False
        with SQLiteTraceStore(tmp_path / "t.db") as store:
            end = OtlpReceiver(store, journal=folder)
            end.receive(protobuf_of_spans(trace(0)[1:]))
            assert not os.path.exists(tmp_path / "t.db.spans")
            assert os.path.exists(tmp_path / "folder") is bool(journal)
            end.close()


class TestCosts:
    """Costs that are estimated as spans come stay estimates, also when late spans are joined."""

    def test_late_spans(self):
        behind = InMemoryTraceStore()
        own = {"m": {"input": 2.0, "output": 10.0}}
        store = ProcessingTraceStore(behind, prices=PriceTable(own, date="d", package=False))
        receiver = SpanAssembler(store)
        used = MODEL | {"gen_ai.usage.input_tokens": 1_000_000}
        receiver.add([span("a", 1, 2, used), root()])
        receiver.add([span("b", 3, 4, used | {"gen_ai.request.model": "other"})])
        receiver.add([span("c", 5, 6, used | {"gen_ai.usage.cost": 0})])
        receiver.close()
        a, b, c = behind.load(TRACE).steps
        assert (a.cost_usd, a.extra["cost_estimate"]) == (2.0, {"table": "own", "date": "d"})
        assert (b.cost_usd, c.cost_usd) == (None, 0)

    def test_runs_that_were_repriced(self):
        store = InMemoryTraceStore()
        receiver = SpanAssembler(store)
        used = MODEL | {"gen_ai.usage.input_tokens": 1_000_000}
        receiver.add([span("a", 1, 2, used), root()])
        own = {"m": {"input": 2.0, "output": 10.0}}
        assert reprice(store, prices=PriceTable(own, package=False)).steps == 1
        receiver.add([span("b", 3, 4, used)])
        receiver.close()
        a, b = store.load(TRACE).steps
        assert (a.cost_usd, a.extra["cost_estimate"]["table"], b.cost_usd) == (2.0, "own", None)
        dearer = PriceTable({"m": {"input": 4, "output": 1}}, package=False)
        assert reprice(store, prices=dearer, again=True).steps == 2


def test_a_run_grows_up_to_a_bound(store, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("selectools_observe.integrations.opentelemetry.joined_run.MOST_SPANS", 12)
    gatherer = SpanAssembler(store, max_wait=60)
    assert gatherer.add([root(), *(span(f"m{n}", n, n + 0.5, MODEL) for n in range(9))])
    # What comes again is no more; what is more is left out, and what follows it is taken.
    assert gatherer.add([span(f"m{n}", n, n + 0.5, MODEL) for n in range(9)])
    gatherer.add([span(f"x{n}", n, n + 0.5, MODEL) for n in range(5)])
    gatherer.add([span("last", 9, 9.5, MODEL)])
    gatherer.flush()
    (run,) = [store.load(summary.run_id) for summary in store.list()]
    assert len(spans_of_run(run)) == 11
    assert gatherer.unused == 5
    assert "or the run has" in caplog.text
    gatherer.close()


def test_spans_that_another_thread_is_saving_are_written_down(tmp_path, monkeypatch):
    """A span is acknowledged; its run, taken up by the clock meanwhile, is not stored yet."""
    path, other = os.fspath(tmp_path / "journal"), "f" * 32
    begun, go_on = threading.Event(), threading.Event()
    assembler = SpanAssembler(InMemoryTraceStore(), max_wait=30, journal=SpanJournal(path))
    join, save, threads = assembler._join, assembler._save, []

    def slow(group):
        if group.trace_id == other:
            begun.set()
            assert go_on.wait(60)
        return join(group)

    def saved_while_the_clock_takes_the_rest(ready):
        good = save(ready)
        threads.append(threading.Thread(target=assembler._save_waiting, args=[math.inf]))
        threads[0].start()
        assert begun.wait(60)
        return good

    monkeypatch.setattr(assembler, "_join", slow)
    monkeypatch.setattr(assembler, "_save", saved_while_the_clock_takes_the_rest)
    waits = span("waits", 1, 2, tool("find"))
    waits.trace_id = other
    assert assembler.add([root(), waits])
    (journal,) = (tmp_path / "journal").iterdir()
    assert waits.span_id in journal.read_text("utf-8")
    go_on.set()
    threads[0].join()
    assembler.close()


def test_many_parts_of_a_trace_are_looked_at_once(store):
    """Each of them used to be loaded for each of the others."""
    loads: list[str] = []
    load = store.load
    store.load = lambda run_id: loads.append(run_id) or load(run_id)
    spans = [
        SpanRecord("ab" * 16, f"{n:016x}", parent_span_id=f"{n + 1000:016x}", remote_parent=n > 0,
                   attributes={"gen_ai.operation.name": "chat"})
        for n in range(30)
    ]  # fmt: skip
    gatherer = SpanAssembler(store)
    assert gatherer.add(spans)
    assert gatherer.close()
    assert store.count() == 30
    assert len(loads) <= 3 * len(spans)


def test_a_trace_without_parts_is_not_loaded_again(store):
    loads: list[str] = []
    load = store.load
    store.load = lambda run_id: loads.append(run_id) or load(run_id)
    with_root_elsewhere = [span(f"m{n}", n, n + 0.5, MODEL) for n in range(9)]
    gatherer = SpanAssembler(store)
    gatherer.add(with_root_elsewhere)
    assert gatherer.flush()
    assert loads == []
    gatherer.close()


def test_spans_are_given_away_with_the_run_and_can_be_had_again():
    """The two forms of a long run took 60 MB more than one."""
    spans = [root(), *(span(f"m{n}", n, n + 0.5, MODEL) for n in range(9))]
    join = Join(TRACE, spans, "beside", begins=True, earlier=spans[:2])
    change = RunChange(join)
    first = change(None)
    assert first == change(None)
    assert len(spans_of_run(first)) == len(spans)
    assert join.joined(None).run == first
    assert (join.spans, join.earlier) == ([], [])
