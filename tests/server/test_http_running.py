"""The service as a program: how it starts, stops, is killed, and meets a store in trouble."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import httpx
import pytest
from served import TOKEN, run_of, serving
from service_program import program
from store_kinds import eventually

from selectools_observe import AsyncSQLiteTraceStore, SQLiteTraceStore, StorageError
from selectools_observe.backends.sqlite import database
from selectools_observe.server import service as running


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_while_streams_are_open(path, stop):
    with (
        program(path) as (process, url),
        httpx.Client(verify=False, base_url=url, timeout=60) as client,
    ):
        with client.stream("GET", "/api/live") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000"
            process.send_signal(stop)
            list(lines)  # it ends, and not by an error
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "ended\n")
        assert "Traceback" not in errors
        assert "ResourceWarning" not in errors


@pytest.mark.slow
def test_answers_under_way_are_finished(path):
    with SQLiteTraceStore(path) as store:
        trace = run_of("large")
        trace.steps[0].tool_result = "x" * 20_000_000
        store.save(trace)
    with (
        program(path) as (process, url),
        httpx.Client(verify=False, base_url=url, timeout=60) as client,
    ):
        with client.stream("GET", "/api/traces/large") as stream:
            parts = stream.iter_raw()
            size = len(next(parts))
            process.send_signal(signal.SIGTERM)
            size += sum(map(len, parts))
        assert size > 20_000_000
        assert process.wait(60) == 0


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(path):
    acknowledged = []

    def keep_saving(url):
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(verify=False, base_url=url) as client,
        ):
            for number in range(100_000):
                trace = run_of(f"{threading.get_ident()}-{number}")
                if client.post("/api/traces", json=trace.to_dict()).status_code == 201:
                    acknowledged.append(trace.run_id)

    with program(path) as (process, url):
        threads = [threading.Thread(target=keep_saving, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 100:
            time.sleep(0.01)
        process.kill()
        for thread in threads:
            thread.join(60)
    with program(path) as (process, url), httpx.Client(verify=False, base_url=url) as client:
        for run_id in acknowledged:
            assert client.get(f"/api/traces/{run_id}").status_code == 200


def test_a_port_that_is_taken(tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"^port {port} of 127.0.0.1 is in use by another program"
        ):
            running.run(tmp_path / "runs.db", port=port)
    assert not (tmp_path / "runs.db").exists()


@pytest.mark.parametrize("host", ["203.0.113.7", "no such name.example", "x" * 300])
def test_an_address_that_is_not_ours(host, tmp_path):
    with pytest.raises(OSError, match=r"^(cannot listen on|.* is not an address of this machine)"):
        running.run(tmp_path / "runs.db", host=host, port=0, token=TOKEN)


def test_a_store_that_cannot_be_opened(tmp_path):
    (tmp_path / "runs.db").write_bytes(b"SQLite format 3\0" + b"rubbish" * 100)
    with pytest.raises(StorageError):
        running.run(tmp_path / "runs.db", port=0)
    with pytest.raises(StorageError, match="no such file"):
        running.run(tmp_path / "absent.db", port=0, read_only=True)


@pytest.mark.slow
def test_the_port_is_free_again(tmp_path):
    with pytest.raises(StorageError):
        running.run(tmp_path / "absent.db", port=0, read_only=True)
    with program(tmp_path / "runs.db") as (process, url):
        port = int(url.rstrip("/").rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    with program(tmp_path / "runs.db", port) as (_, again):
        assert again == url


def test_the_page_s_address():
    assert running.url_of("127.0.0.1", 80, None) == "http://127.0.0.1:80/"
    assert running.url_of("::1", 8600, None) == "http://[::1]:8600/"
    assert running.url_of("0.0.0.0", 1, "a+b/c d") == "http://127.0.0.1:1/?token=a%2Bb%2Fc%20d"
    assert running.url_of("::", 1, "x") == "http://[::1]:1/?token=x"


def test_loopback_of_the_other_family(path):
    try:
        listener = running.listen("::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")
    listener.close()


def test_the_browser_is_opened(path, monkeypatch):
    opened = []
    monkeypatch.setattr(running.webbrowser, "open", opened.append)
    readied = []

    def ready(url):
        readied.append(url)
        os.kill(os.getpid(), signal.SIGTERM)

    running.run(path, port=0, token=TOKEN, open_browser=True, on_ready=ready)
    assert eventually(lambda: opened)  # by a thread of its own
    assert readied[0].endswith(f"/?token={TOKEN}")
    assert TOKEN not in opened[0]  # a browser's arguments are for all to see
    assert "/?code=" in opened[0]


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_its_packages_it_says_what_to_install(missing):
    program = (
        f"import sys; sys.modules['{missing}'] = None; from selectools_observe.server import run"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"ModuleNotFoundError: The HTTP service needs {missing}")
    assert said.endswith(': pip install "selectools-observe[server]"')


class TestTrouble:
    def test_a_store_that_is_locked(self, store, path, monkeypatch):
        monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.2)
        store.save(run_of("kept"))
        with serving(AsyncSQLiteTraceStore(path)) as service:
            assert service.get("/health").status_code == 200
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                refused = service.client.post("/api/traces", json=run_of("new").to_dict())
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "5"
                error = refused.json()["error"]
                assert error["type"] == "storage_unavailable"
                assert error["message"] == "The store is unavailable: the database is locked"
                assert service.client.delete("/api/traces/kept").status_code == 503
                lines = service.client.post(
                    "/api/traces",
                    json=[run_of("x").to_dict(), run_of("y").to_dict()],
                ).text.splitlines()
                assert len(lines) == 3
                assert '"saved":0,"refused":2' in lines[-1].replace(" ", "")
                assert service.get("/api/traces/kept").status_code == 200  # readers go on
            sent = service.client.post("/api/traces", json=run_of("new").to_dict())
            assert sent.status_code == 201

    def test_a_damaged_run(self, store, path):
        store.save_many([run_of("a"), run_of("damaged"), run_of("z")])
        with contextlib.closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE traces SET trace_json = '{' WHERE run_id = 'damaged'")
        with serving(AsyncSQLiteTraceStore(path)) as service:
            response = service.get("/api/traces/damaged")
            assert response.status_code == 500
            assert response.json()["error"] == {
                "type": "corrupt_trace",
                "message": "Run 'damaged' is stored but cannot be read",
                "hint": "See the server's log",
            }
            assert service.get("/api/traces/a").status_code == 200
            assert service.json("/api/stats")["total"]["runs"] >= 2
            assert service.client.delete("/api/traces/damaged").status_code == 204

    def test_a_store_that_was_closed(self, path):
        store = SQLiteTraceStore(path)
        store.close()
        with serving(store) as service:
            for address in ("/health", "/api/traces", "/api/traces/a", "/api/stats"):
                response = service.get(address)
                assert response.status_code == 503
                assert response.json()["error"]["message"] == "The store is closed"


STARTED = """
import asyncio, sys
from selectools_observe import InMemoryTraceStore
from selectools_observe.server import create_app

async def main():
    app = create_app(InMemoryTraceStore())
    head = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/traces", "raw_path": b"/api/traces",
             "root_path": "", "query_string": b"", "headers": head, "client": ("127.0.0.1", 1)}

    async def receive():
        return {"type": "http.request", "body": b'{"run_id": "r", "steps": []}'}

    async def send(message):
        print(message.get("status", ""))

    async with app._lifespan(None):
        before = set(sys.modules)
        await app(scope, receive, send)
        print({name for name in set(sys.modules) - before if not name.startswith("encodings")})

asyncio.run(main())
"""


def test_the_first_body_waits_for_no_import():
    command = [sys.executable, "-c", STARTED]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    assert said.stdout.split() == ["201", "set()"], said.stderr
