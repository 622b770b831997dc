"""Receivers of one store, each given some of the spans of the same traces, killed now and then."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import uuid

import pytest

pytest.importorskip("opentelemetry.proto", reason="opentelemetry-proto is not installed")

from postgres_server import PostgresServer, find_binaries
from receiving import opened

from selectools_observe.integrations.opentelemetry import OtlpReceiver
from selectools_observe.integrations.opentelemetry.otlp_proto import protobuf_of_spans
from selectools_observe.integrations.opentelemetry.spans import SpanRecord
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run

PROGRAM = os.path.join(os.path.dirname(__file__), "receiving.py")
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
MODEL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}


def spans_of_trace(number: int) -> list[SpanRecord]:
    """Eleven spans: an agent, five model calls, five tools."""
    trace_id = f"{number + 1:032x}"
    records = [SpanRecord(trace_id, f"{1:016x}", "agent", 0, 10**10, attributes=AGENT)]
    for n in range(2, 12):
        attributes = MODEL if n % 2 else TOOL | {"gen_ai.tool.name": f"t{n}"}
        start = n * 10**8
        records.append(
            SpanRecord(
                trace_id, f"{n:016x}", f"s{n}", start, start + 10**7, f"{1:016x}",
                attributes=attributes,
            )
        )  # fmt: skip
    return records


class Receiver:
    """A process that receives; restarted when it was killed."""

    def __init__(self, kind, path, journal) -> None:
        journal = [] if journal is None else [str(journal)]
        self.command = [sys.executable, PROGRAM, kind, str(path), *journal]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, body: bytes) -> bool:
        """Whether it was acknowledged."""
        try:
            self.process.stdin.write(b"%08x" % len(body) + body)
            self.process.stdin.flush()
            return self.process.stdout.readline() == b"200\n"
        except BrokenPipeError:
            return False
        finally:
            assert self.process.poll() in {None, -9}, "the receiver ended by itself"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def close(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(120) == 0
        self.process.stdout.close()


@pytest.fixture(scope="module")
def postgres():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed")
    with PostgresServer(binaries) as server:
        yield server


@pytest.mark.parametrize("kind", ["sqlite", "jsonl", "postgres"])
@pytest.mark.parametrize("number", [2, 4, 8])
def test_every_acknowledged_span_is_there_once(kind, number, tmp_path, chance, many, request):
    runs = int(os.environ.get("SELECTOOLS_OBSERVE_RUNS") or many(40, 1_000))
    if number == 8 and runs < 1_000:
        pytest.skip("eight receivers are for the long form")
    path, journal = tmp_path / "traces", None
    if kind == "postgres":
        # A database is in no folder: its receivers share one that they are told.
        server = request.getfixturevalue("postgres")
        path, journal = f"{server.url}?schema=s{uuid.uuid4().hex}", tmp_path / "traces.spans"
    todo = [record for n in range(runs) for record in spans_of_trace(n)]
    todo += chance.sample(todo, len(todo) // 10)  # some come twice
    chance.shuffle(todo)
    size = many(5, 20)
    requests = [todo[at : at + size] for at in range(0, len(todo), size)]
    shares = [requests[n::number] for n in range(number)]
    kills = [set(chance.sample(range(len(share)), min(3, len(share)))) for share in shares]
    acknowledged: set[tuple[str, str]] = set()

    def feed(share: list[list[SpanRecord]], when: set[int]) -> None:
        receiver = Receiver(kind, path, journal)
        for n, records in enumerate(share):
            body = protobuf_of_spans(records)
            if n in when:
                receiver.kill()
                receiver.start()
            while not receiver.send(body):
                receiver.kill()
                receiver.start()
            acknowledged.update((record.trace_id, record.span_id) for record in records)
        if share is shares[0]:
            receiver.kill()  # the last word of this one is a kill
        else:
            receiver.close()

    threads = [threading.Thread(target=feed, args=pair) for pair in zip(shares, kills, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened(kind, str(path)) as store:
        # Takes over what the killed ones held.
        OtlpReceiver(store, journal=True if journal is None else journal).close()
        stored = {each.run_id: store.load(each.run_id) for each in store.list(runs + 10)}
        assert len(stored) == runs
        there = [
            (record.trace_id, record.span_id)
            for run in stored.values()
            for record in spans_of_run(run)
        ]
    assert len(there) == len(set(there))
    assert acknowledged <= set(there)
    assert {len(run) for run in stored.values()} == {10}
    assert not [run.run_id for run in stored.values() if "unfinished" in run.metadata]
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".spans")]
