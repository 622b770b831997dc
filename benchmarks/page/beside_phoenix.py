"""`python -m benchmarks.page.beside_phoenix PHOENIX`: our list and theirs on the same 10,000 runs.

PHOENIX is the command of an `arize-phoenix` installed in an environment of its own. Both are loaded
with the same generated runs, served on loopback, and opened in turn in the same Chromium.
Needs also: the extra server, playwright, opentelemetry-proto.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from benchmarks.page.browser import first_rows_ms, longest_task_ms, opened

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "page"))

from many import make_store  # noqa: E402
from pageserver import serving  # noqa: E402

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceStep  # noqa: E402

RUNS = 10_000
PORT, GRPC = 16_606, 16_607
TIMES = 5
OURS = ".runs .vrow .row:not(.blank)"
THEIRS = "table tbody tr"
PROJECT = "projects/UHJvamVjdDox/traces"  # "Project:1", the first


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        make_store(path, RUNS)
        with phoenix(sys.argv[1], Path(folder)):
            began = time.monotonic()
            with SQLiteTraceStore(path) as store:
                spans = load(store)
            print(
                f"Phoenix took in {RUNS:,} runs ({spans:,} spans): {time.monotonic() - began:.0f} s"
            )
            with serving(path) as served:
                told("selectools-observe", served.url, OURS)
                told("Phoenix", f"http://127.0.0.1:{PORT}/{PROJECT}", THEIRS)
                told("selectools-observe, again", served.url, OURS)


def told(name: str, url: str, rows: str) -> None:
    with opened(rows) as page:
        page.goto(url)  # what a browser keeps, it keeps from here on
        page.locator(rows).nth(9).wait_for(timeout=60_000)
        firsts = [first_rows_ms(page, url) for _ in range(TIMES)]
        longest = longest_task_ms(page)
        moved = (
            "performance.getEntriesByType('resource').reduce((s, r) => s + r.decodedBodySize, 0)"
        )
        size = float(page.evaluate(moved)) / 1e6
    print(
        f"{name:<28} first rows {statistics.median(firsts):6.0f} ms "
        f"({min(firsts):.0f} to {max(firsts):.0f}), longest task {longest:.0f} ms, "
        f"{size:.2f} MB of scripts, styles and answers",
        flush=True,
    )


@contextmanager
def phoenix(command: str, folder: Path) -> Iterator[None]:
    settings = {
        "PHOENIX_PORT": str(PORT),
        "PHOENIX_GRPC_PORT": str(GRPC),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    log = (folder / "phoenix.log").open("wb")
    with (
        log,
        subprocess.Popen(
            [command, "serve"], env={**os.environ, **settings}, stdout=log, stderr=log
        ) as process,
    ):
        try:
            wait_until_up()
            yield
        finally:
            process.kill()


def wait_until_up() -> None:
    for _ in range(300):
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.5)
        else:
            return
        finally:
            connection.close()
    raise TimeoutError("Phoenix does not answer")


def load(store: SQLiteTraceStore) -> int:
    """Send every run as a trace of spans; wait until Phoenix has written them."""
    sent = 0
    batch: list[Span] = []
    for trace in store.iter_traces(oldest_first=True):
        batch += spans_of(trace)
        if len(batch) > 500:
            sent += send(batch)
            batch = []
    sent += send(batch)
    return sent


# Phoenix shows the last days only, unless it is asked for more.
SHIFT = time.time() - 86_400 - 1_715_800_000


def spans_of(trace: AgentTrace) -> Iterator[Span]:
    trace_id = hashlib.sha256(trace.run_id.encode()).digest()[:16]
    root = trace_id[:8]
    start = trace.start_time
    end = start + sum(step.duration_ms for step in trace.steps) / 1000
    yield span(trace_id, root, b"", trace.run_id, start, end, "AGENT", trace.metadata)
    for number, step in enumerate(trace.steps):
        span_id = hashlib.sha256(f"{trace.run_id} {number}".encode()).digest()[:8]
        yield of_step(trace_id, span_id, root, step)


def of_step(trace_id: bytes, span_id: bytes, root: bytes, step: TraceStep) -> Span:
    kind = "LLM" if step.model else "TOOL"
    name = step.tool_name or step.model or str(step.type.value)
    told = {"input.value": str(step.tool_args or ""), "output.value": step.tool_result or ""}
    end = step.timestamp + step.duration_ms / 1000
    return span(trace_id, span_id, root, name, step.timestamp, end, kind, told)


def span(
    trace_id: bytes, span_id: bytes, parent: bytes, name: str,
    start: float, end: float, kind: str, told: dict[str, object],
) -> Span:  # fmt: skip
    made = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=int((start + SHIFT) * 1e9),
        end_time_unix_nano=int((end + SHIFT) * 1e9),
    )
    attributes = {"openinference.span.kind": kind, **{k: str(v) for k, v in told.items()}}
    for key, value in attributes.items():
        pair = KeyValue(key=key)
        pair.value.string_value = value
        made.attributes.append(pair)
    return made


def send(batch: list[Span]) -> int:
    resource = ResourceSpans()
    resource.scope_spans.add().spans.extend(batch)
    body = ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()
    for _ in range(200):
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        status = connection.getresponse().status
        connection.close()
        if status == 200:
            return len(batch)
        time.sleep(0.3)  # its queue is full
    raise TimeoutError(f"Phoenix answers {status}")


if __name__ == "__main__":
    main()
