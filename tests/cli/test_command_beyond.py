"""Where the command meets the other optional parts: the service, the page, OpenTelemetry."""

from __future__ import annotations

import gzip
import http.server
import json
import signal
import threading
import urllib.request

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from command import ROOT, run, run_program, start

import selectools_observe as so

HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture
def path(tmp_path):
    steps = [
        so.TraceStep("llm_call", 1.0, 100.0, model="m-1", prompt_tokens=7, reasoning=HOSTILE),
        so.TraceStep("tool_execution", 1.1, 5.0, tool_name="search", tool_args={"q": 1}),
    ]
    with so.SQLiteTraceStore(tmp_path / "x.db") as store:
        for number in range(3):
            metadata = {"n": number, "hostile": HOSTILE}
            store.save(so.AgentTrace(steps, 1.0, f"run-{number}", None, metadata))
    return tmp_path / "x.db"


class TestServe:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("starlette", reason="the extra server is not installed")
        pytest.importorskip("uvicorn", reason="the extra server is not installed")

    def test_it_serves_until_ctrl_c(self, path):
        with start("serve", path, "--port", 0) as program:
            try:
                url = program.stdout.readline().split()[2]
                with urllib.request.urlopen(f"{url}api/traces", timeout=60) as answer:
                    runs = json.load(answer)["traces"]
                program.send_signal(signal.SIGINT)
                program.wait(60)
            finally:
                program.kill()
        assert [run["run_id"] for run in runs] == ["run-2", "run-1", "run-0"]
        assert program.returncode == 0

    def test_its_lists_are_those_of_the_service(self, path):
        with start("serve", path, "--port", 0) as program:
            try:
                url = program.stdout.readline().split()[2]
                with urllib.request.urlopen(f"{url}api/traces?limit=2", timeout=60) as answer:
                    served = json.load(answer)
            finally:
                program.kill()
        assert json.loads(run("list", path, "-n", 2, "--json").stdout) == served

    def test_costs_of_what_comes_in_are_estimated_by_prices(self, tmp_path):
        prices = tmp_path / "prices.toml"
        prices.write_text("[house]\ninput = 2.0\noutput = 10.0\n", encoding="utf-8")
        path = tmp_path / "runs.db"
        step = {"type": "llm_call", "model": "house", "prompt_tokens": 1_000_000}
        body = json.dumps({"run_id": "r", "steps": [step, {**step, "model": "other"}]}).encode()
        with start("serve", path, "--port", 0, "--prices", prices) as program:
            try:
                assert "new, empty store" in program.stdout.readline()
                url = program.stdout.readline().split()[2]
                headers = {"Content-Type": "application/json"}
                asked = urllib.request.Request(f"{url}api/traces", body, headers)
                urllib.request.urlopen(asked, timeout=60).close()
            finally:
                program.kill()
        with so.SQLiteTraceStore(path) as store:
            estimated, unknown = store.load("r").steps
        assert (estimated.cost_usd, unknown.cost_usd) == (2.0, None)
        assert estimated.extra["cost_estimate"]["table"] == "own"

    def test_others_need_a_token(self, path):
        done = run("serve", path, "--host", "0.0.0.0", "--port", 0)
        assert done.returncode == 2
        assert "token" in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_a_missing_store_is_not_served_for_reading(self, tmp_path):
        assert run("serve", "no.db", "--read-only", cwd=tmp_path).returncode == 3
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "name",
        [
            "sqlite:///new.store",
            *(pytest.param(name, marks=pytest.mark.slow) for name in ("new.db", "new.jsonl")),
        ],
    )
    def test_a_store_that_is_not_there_is_made(self, name, tmp_path):
        with start("serve", name, "--port", 0, cwd=tmp_path) as program:
            assert program.stdout.readline().startswith(f"{name} did not exist")
            url = program.stdout.readline().split()[2]
            body = json.dumps({"steps": [], "start_time": 1.0, "run_id": "r"}).encode()
            headers = {"Content-Type": "application/json"}
            sent = urllib.request.Request(f"{url}api/traces", body, headers)
            with urllib.request.urlopen(sent, timeout=60) as answer:
                assert answer.status == 201
            program.kill()
        stored = json.loads(run("list", name, "--json", cwd=tmp_path).stdout)
        assert [each["run_id"] for each in stored["traces"]] == ["r"]


def test_without_the_extra_serve_says_what_to_install(path, tmp_path):
    (tmp_path / "starlette.py").write_text("raise ImportError")
    done = run_program("serve", path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 2
    assert 'pip install "selectools-observe[server]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_export_of_the_page(path, tmp_path):
    out = tmp_path / "out.html"
    done = run("export", "-s", path, "-o", out)
    assert (done.returncode, done.stderr) == (0, f"3 runs written to {out}\n")
    text = out.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert "run-2" in text
    assert HOSTILE not in text


OTLP = {
    "resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": "0" * 31 + "1", "spanId": "00000000000000a1", "name": "chat",
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001500000000",
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": "m-1"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "11"}},
        ],
    }]}]}],
}  # fmt: skip


def span(trace: int, number: int) -> dict:
    request = json.loads(json.dumps(OTLP))
    made = request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    made["traceId"], made["spanId"] = f"{trace:032x}", f"{number:016x}"
    if number == 1:
        made["attributes"][0]["value"]["stringValue"] = "invoke_agent"
    else:
        made["parentSpanId"] = f"{1:016x}"
    return request


class TestOpenTelemetry:
    @pytest.mark.parametrize("indent", [None, 2])
    def test_import_of_a_request(self, tmp_path, indent):
        source = tmp_path / "spans.json"
        source.write_text(json.dumps(OTLP, indent=indent))
        assert run("import", source, "-s", tmp_path / "x.db").returncode == 0
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            step = store.load(
                OTLP["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]
            ).steps[0]
        assert (step.model, step.prompt_tokens, step.duration_ms) == ("m-1", 11, 1500)

    def test_spans_of_one_run_on_many_lines(self, tmp_path):
        source = tmp_path / "spans.jsonl"
        lines = [span(trace, number) for number in (1, 2, 3) for trace in (1, 2)]
        source.write_text("\n".join(map(json.dumps, lines)))
        done = run("import", source, "-s", tmp_path / "x.db")
        assert done.stderr.startswith("2 runs saved")
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            calls = [len(trace.filter(type="llm_call")) for trace in store.iter_traces()]
        assert calls == [2, 2]

    def test_export_to_an_endpoint(self, path):
        pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")
        pytest.importorskip("urllib3", reason="the extra otel is not installed")
        bodies = []

        class Endpoint(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                packed = self.headers["content-encoding"] == "gzip"
                bodies.append(gzip.decompress(body) if packed else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            done = run("export", "-s", path, "--otlp", f"http://127.0.0.1:{server.server_port}")
            server.shutdown()
        assert done.returncode == 0
        assert done.stderr.startswith("3 runs sent to http://127.0.0.1")
        from selectools_observe.integrations.opentelemetry import runs_of_otlp

        assert [run.metadata["n"] for body in bodies for run in runs_of_otlp(body)] == [0, 1, 2]

    @pytest.mark.parametrize("endpoint", ["http://[x", "http://", "ftp://x", "x", "http://\x1b[2J"])
    def test_what_is_no_endpoint(self, path, endpoint):
        done = run("export", "-s", path, "--otlp", endpoint)
        assert done.returncode == 2
        assert "--otlp" in done.stderr
        assert "\x1b" not in done.stderr

    def test_an_endpoint_that_is_not_there(self, path):
        pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")
        done = run("export", "-s", path, "--otlp", "http://127.0.0.1:9")
        assert done.returncode == 3
        assert "rejected the spans" in done.stderr
        assert len(done.stderr.splitlines()) == 1
