"""The way in: links for one use, wrong tokens, heads that are too large or ambiguous."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys

import httpx
import pytest
from served import TOKEN, serving

from selectools_observe import InMemoryTraceStore
from selectools_observe.server import connection_limits as connections
from selectools_observe.server import create_app, entrance, run
from selectools_observe.server.service import check_access


@pytest.fixture
def guarded():
    with serving(InMemoryTraceStore(), token=TOKEN) as service:
        yield service


def raw(service, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
        connection.sendall(data)
        connection.settimeout(60)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while piece := connection.recv(65536):
                answer += piece
        return answer


class TestLinks:
    def test_a_code_opens_the_page_once(self):
        app = create_app(InMemoryTraceStore(), token=TOKEN)
        code = app.new_code()
        from starlette.testclient import TestClient

        with TestClient(app, base_url="http://localhost") as browser:
            assert browser.get(f"/?code={code}").status_code == 200
            assert browser.get("/api/count").status_code == 200
        with TestClient(app, base_url="http://localhost") as other:
            assert other.get(f"/?code={code}").status_code == 401
            assert other.get("/?code=").status_code == 401
            assert other.get("/api/count").status_code == 401

    def test_it_is_too_old_after_a_while(self, monkeypatch):
        codes = entrance.Codes()
        code = codes.new()
        monkeypatch.setattr(entrance, "_SECONDS", -1.0)
        assert not codes.take(code)

    def test_there_are_no_more_than_a_few(self):
        codes = entrance.Codes()
        first = codes.new()
        assert len({codes.new() for _ in range(50)}) == 50
        assert not codes.take(first)


class TestGuesses:
    async def test_wrong_tokens_are_answered_ever_later(self, monkeypatch):
        waits = []

        async def sleep(seconds):
            waits.append(seconds)

        monkeypatch.setattr(entrance.asyncio, "sleep", sleep)
        guesses = entrance.Guesses()
        for _ in range(40):
            assert await guesses.wrong("192.0.2.1")
        assert waits[0] == 0
        assert waits == sorted(waits)
        assert waits[-1] == 1.0
        await guesses.wrong("192.0.2.2")
        assert waits[-1] == 0

    async def test_only_so_many_wait(self, monkeypatch):
        monkeypatch.setattr(entrance, "_EACH", 10.0)
        monkeypatch.setattr(entrance, "_SLOWEST", 0.3)
        guesses = entrance.Guesses()
        answers = await asyncio.gather(*(guesses.wrong("192.0.2.1") for _ in range(200)))
        assert sum(answers) <= 66

    def test_addresses_are_forgotten(self, monkeypatch):
        monkeypatch.setattr(entrance, "_EACH", 0.0)
        guesses = entrance.Guesses()

        async def guess():
            for number in range(5000):
                await guesses.wrong(str(number))

        asyncio.run(guess())
        assert len(guesses._wrong) <= 4096

    def test_the_right_token_is_never_slowed(self, guarded, monkeypatch):
        monkeypatch.setattr(entrance, "_EACH", 0.01)
        for _ in range(5):
            wrong = {"Authorization": "Bearer wrong-token-of-many-letters"}
            assert guarded.get("/api/count", headers=wrong).status_code == 401
            assert guarded.get("/?token=wrong").status_code == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        monkeypatch.setattr(entrance, "_EACH", 1000.0)
        monkeypatch.setattr(entrance, "_SLOWEST", 1000.0)
        assert guarded.get("/api/count", headers=right).status_code == 200

    def test_a_body_before_authentication_is_not_read(self, guarded):
        head = b"POST /api/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n"
        answer = raw(guarded, head + b"x" * 1000)
        assert answer.startswith(b"HTTP/1.1 401")
        assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "token",
    ["", " ", "a b", "caf\u00e9-token-of-letters", "a\nb" * 9, "\x7f" * 20, "\ud800" * 20],
)
def test_tokens_that_no_header_carries_are_refused(token):
    with pytest.raises(ValueError, match="printable ASCII"):
        create_app(InMemoryTraceStore(), token=token)
    with pytest.raises(ValueError, match="a token must"):
        check_access("127.0.0.1", token)
    with pytest.raises(ValueError, match="a token must"):
        run(InMemoryTraceStore(), port=0, token=token)


class TestHeads:
    @pytest.mark.parametrize("size", [33_000, 60_000])
    @pytest.mark.parametrize("in_query", [False, True])
    def test_one_that_is_too_large_is_refused_also_when_it_comes_at_once(
        self, guarded, size, in_query
    ):
        path = b"/api/count?metadata=" + b"a" * size if in_query else b"/health"
        more = b"" if in_query else b"X-More: " + b"a" * size + b"\r\n"
        request = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + more + b"\r\n"
        answer = raw(guarded, request)
        assert answer[9:12] in {b"431", b"400"}
        assert b"connection: close" in answer.lower()

    @pytest.mark.parametrize("path", [b"/health", b"/api/traces", b"/login"])
    def test_length_and_chunks_together_close_the_connection(self, guarded, path):
        request = (
            b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        answer = raw(guarded, request)
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1") == 1


def test_what_is_private_is_stored_nowhere(guarded):
    right = {"Authorization": f"Bearer {TOKEN}"}
    guarded.client.post("/api/traces", json={"run_id": "r", "steps": []}, headers=right)
    for path in ("traces", "traces/r", "stats", "count", "about", "histogram"):
        answer = guarded.get(f"/api/{path}", headers=right)
        assert answer.headers["cache-control"] == "no-store", path


IDLE = """
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
for _ in range(int(sys.argv[2])):
    try:
        held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5))
    except OSError:
        pass
print("held", flush=True)
sys.stdin.read()
"""


def test_idle_connections_do_not_keep_others_out(monkeypatch):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = len(os.listdir("/dev/fd"))  # what other tests have open
    monkeypatch.setattr(connections, "_OWN_DESCRIPTORS", 128 + others)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256 + others, hard))
    try:
        assert connections.most_connections() == 128
        with serving(InMemoryTraceStore()) as service:
            command = [sys.executable, "-c", IDLE, str(service.port), "300"]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as idle:
                assert idle.stdout.readline() == "held\n"
                for _ in range(5):
                    with httpx.Client(verify=False, timeout=60) as client:
                        url = f"http://127.0.0.1:{service.port}/health"
                        assert client.get(url).status_code == 200
                idle.stdin.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_why_we_limit_connections_ourselves():
    """uvicorn alone lets a client hold a connection with half a head for as long as it likes."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    app = create_app(InMemoryTraceStore())

    async def held(protocol, seconds: float) -> bool:
        config = uvicorn.Config(
            app, http=protocol, log_config=None, timeout_keep_alive=0.2, lifespan="off", ws="none"
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve([listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: loc")
            try:
                await asyncio.wait_for(reader.read(), seconds)
            except TimeoutError:
                return True
            else:
                return False
            finally:
                writer.close()
                server.should_exit = True
                await serving

    connections_head, connections._HEAD_SECONDS = connections._HEAD_SECONDS, 0.2
    try:
        assert asyncio.run(held(H11Protocol, 1.0))
        assert not asyncio.run(held(connections.LimitedProtocol, 30.0))
    finally:
        connections._HEAD_SECONDS = connections_head
