"""What clients may hold, attacked over raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import select
import socket
import sys
import time
import zlib
from collections import Counter

import httpx
import pytest
from served import run_of, serving
from starlette.requests import Request
from store_kinds import eventually

from selectools_observe import AsyncSQLiteTraceStore, InMemoryTraceStore
from selectools_observe.server import connection_limits as connections
from selectools_observe.server import request_body as bodies
from selectools_observe.server import run

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
HEAD = b"POST /api/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def impatient(monkeypatch):
    """A service whose patience is short."""
    monkeypatch.setattr(bodies, "PATIENCE", 0.3)
    monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "_STALL_SECONDS", 0.3)
    monkeypatch.setattr(connections, "_LINGER_SECONDS", 0.3)
    with serving(InMemoryTraceStore(), max_body=1_000_000) as service:
        yield service


@pytest.fixture(scope="module")
def small():
    """A service that takes bodies of 100 KB."""
    with serving(InMemoryTraceStore(), max_body=100_000) as service:
        yield service


def connected(service):
    return contextlib.closing(socket.create_connection(("127.0.0.1", service.port), timeout=60))


def until_closed(connection) -> bytes:
    """What comes until the server closes."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer


def dripping(connection, data: bytes, pause: float = 0.05) -> bytes:
    """Send byte by byte until the server has had enough; what it said."""
    connection.settimeout(pause)
    answer = b""
    for byte in data:
        try:
            connection.sendall(bytes([byte]))
            part = connection.recv(65536)
            if not part:
                return answer
            answer += part
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return answer
    raise AssertionError("the server took it all")


def stalled(service) -> list:
    """The connections whose clients do not read."""
    connections = list(service.server.server_state.connections)
    return [each for each in connections if each._stall_timer is not None]


class TestTime:
    def test_a_connection_that_asks_nothing_is_closed(self, impatient):
        with connected(impatient) as connection:
            assert until_closed(connection) == b""

    def test_headers_that_drip_end(self, impatient):
        """Slowloris: a header a moment, for ever."""
        with connected(impatient) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
            assert dripping(connection, b"X-Header: " + b"x" * 500) == b""

    def test_also_in_a_second_request(self, impatient):
        with connected(impatient) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in connection.recv(65536)[:20]
            dripping(connection, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"x" * 500)

    def test_many_slow_clients_do_not_keep_others_out(self, impatient):
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connected(impatient)).sendall(b"GET / HTTP/1.1\r\nX: ")
            assert impatient.get("/health").status_code == 200

    def test_a_body_that_does_not_come_is_given_up(self, impatient):
        with connected(impatient) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
            answer = until_closed(connection)
        assert b" 408 " in answer[:20]
        assert b'"too_slow"' in answer

    def test_a_body_that_drips_is_given_up(self, impatient, monkeypatch):
        with connected(impatient) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
            answer = dripping(connection, b" " * 990)
        assert b" 408 " in answer[:20]

    def test_a_body_that_nobody_reads_is_not_waited_for(self, impatient):
        with connected(impatient) as connection:
            connection.sendall(
                b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"
            )
            answer = dripping(connection, b"x" * 500)
        assert b" 200 " in answer[:20]

    def test_a_client_that_does_not_read_is_dropped(self, impatient):
        trace = run_of("large")
        trace.steps[0].tool_result = "x" * 18_000_000
        with serving(InMemoryTraceStore()) as service:
            assert service.client.post("/api/traces", json=trace.to_dict()).status_code == 201
            with connected(service) as connection:
                connection.sendall(b"GET /api/traces/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
                # Reads nothing for longer than the server waits.
                assert eventually(lambda: stalled(service))
                assert eventually(lambda: not stalled(service))
                received = len(until_closed(connection))
            assert received < 18_000_000
            assert service.get("/health").status_code == 200

    def test_a_slow_but_steady_body_is_taken(self, impatient, monkeypatch):
        """It takes longer than the service waits for any part of it."""
        monkeypatch.setattr(bodies, "PATIENCE", 1.0)
        body = json.dumps(run_of("steady", steps=60).to_dict()).encode()
        assert len(body) > 6000
        with connected(impatient) as connection:
            head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head)
            for start in range(0, len(body), 100):
                connection.sendall(body[start : start + 100])
                time.sleep(0.02)
            assert b" 201 " in until_closed(connection)[:20]


class TestSize:
    def test_long_headers(self, small):
        with connected(small) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000)
            assert b" 400 " in until_closed(connection)[:20]

    def test_many_headers(self, small):
        with connected(small) as connection:
            connection.sendall(
                b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20_000
            )
            assert until_closed(connection)[9:12] in {b"400", b""}

    def test_a_long_query(self, small):
        assert small.get("/api/traces?model=" + "x" * 30_000).status_code == 200
        assert small.get("/api/traces?" + "&".join(["run_ids=a"] * 201)).status_code == 400

    @pytest.mark.parametrize("is_announced", [True, False])
    def test_a_large_body(self, small, is_announced):
        body = b'{"steps": [], "metadata": {"a": "' + b"x" * 200_000 + b'"}}'
        content = body if is_announced else (part for part in [body[:99_000], body[99_000:]])
        response = small.client.post("/api/traces", content=content, headers=JSON)
        assert response.status_code == 413
        assert response.json()["error"]["type"] == "too_large"

    def test_an_announced_body_is_refused_before_it_comes(self, small):
        with connected(small) as connection:
            connection.sendall(HEAD + b"Content-Length: 99999999999999999999\r\n\r\n")
            assert connection.recv(65536)[9:12] in {b"413", b"400"}

    def test_a_long_line(self, small):
        good = json.dumps(run_of("before").to_dict()).encode() + b"\n"
        body = good + b'{"steps": [], "a": "' + b"x" * 150_000 + b'"}\n' + good
        lines = small.client.post("/api/traces", content=body, headers=NDJSON).text.splitlines()
        first, second, last = map(json.loads, lines)
        assert first == {"line": 1, "run_id": "before", "saved": True}
        assert (second["line"], second["error"]["type"]) == (2, "too_large")
        assert last == {"saved": 1, "refused": 1, "is_complete": False}

    @pytest.mark.parametrize("headers", [JSON, NDJSON])
    @pytest.mark.parametrize("layers", [1, 3])
    def test_gzip_bombs(self, small, headers, layers):
        bomb = b'{"steps": [], "metadata": {"a": "' + b"x" * 50_000_000 + b'"}}'
        for _ in range(layers):
            bomb = gzip.compress(bomb, 9)
        sent = {**headers, "Content-Encoding": "gzip"}
        response = small.client.post("/api/traces", content=bomb, headers=sent)
        assert response.status_code in {413, 400, 200}
        if layers == 1 or headers is NDJSON:
            assert "too_large" in response.text or "invalid" in response.text
        assert small.json("/api/about")["runs"] <= 1

    def test_a_bomb_of_many_small_lines(self, small):
        line = json.dumps(run_of("again").to_dict()).encode() + b"\n"
        bomb = gzip.compress(line * 10_000)
        assert len(bomb) < 100_000
        sent = {**NDJSON, "Content-Encoding": "gzip"}
        response = small.client.post("/api/traces", content=bomb, headers=sent)
        *_, last = map(json.loads, response.text.splitlines())
        assert last["is_complete"] is False
        assert last["saved"] * len(line) < 110_000

    @pytest.mark.parametrize("cut", [5, 10, -1, -8])
    def test_gzip_that_is_cut_short(self, small, cut):
        packed = gzip.compress(json.dumps(run_of("cut").to_dict()).encode())[:cut]
        sent = {**JSON, "Content-Encoding": "gzip"}
        response = small.client.post("/api/traces", content=packed, headers=sent)
        assert response.status_code == 400

    def test_gzip_in_several_members(self, small):
        text = json.dumps(run_of("members").to_dict()).encode()
        packed = b"".join(gzip.compress(part) for part in (text[:50], text[50:51], b"", text[51:]))
        sent = {**JSON, "Content-Encoding": "gzip"}
        assert small.client.post("/api/traces", content=packed, headers=sent).status_code == 201

    def test_gzip_of_endless_members_that_hold_nothing(self, small):
        nothing = gzip.compress(b"") * 500
        sent = {**JSON, "Content-Encoding": "gzip"}
        endless = (nothing for _ in range(1000))
        response = small.client.post("/api/traces", content=endless, headers=sent)
        assert response.status_code == 413

    def test_a_line_of_endless_blanks(self, small):
        endless = (b" " * 10_000 for _ in range(1000))
        response = small.client.post("/api/traces", content=endless, headers=NDJSON)
        assert response.status_code == 413

    @pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd", "identity, gzip"])
    def test_other_encodings(self, small, encoding):
        sent = {**JSON, "Content-Encoding": encoding}
        response = small.client.post("/api/traces", content=zlib.compress(b"{}"), headers=sent)
        assert response.status_code == 415

    @pytest.mark.parametrize("depth", [300, 100_000])
    def test_deep_json(self, depth):
        with serving(InMemoryTraceStore()) as service:
            deep = b'{"steps": [], "metadata": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
            response = service.client.post("/api/traces", content=deep, headers=JSON)
            assert response.status_code in {400, 422}
            assert service.get("/health").status_code == 200

    def test_a_broken_off_body_saves_nothing(self, small):
        before = small.json("/api/about")["runs"]
        with connected(small) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + b'{"steps": []')
        with connected(small) as connection:
            head = HEAD.replace(b"json", b"x-ndjson")
            connection.sendall(head + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"s')
        assert small.get("/health").status_code == 200
        assert small.json("/api/about")["runs"] == before


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /api/traces HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", b"GET http://evil.example/ HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request(impatient, request_bytes):
    with connected(impatient) as connection:
        connection.sendall(request_bytes)
        assert until_closed(connection)[9:12] in {b"", b"400", b"421", b"501", b"404"}
    assert impatient.get("/health").status_code == 200


def test_connections_beyond_the_most_are_turned_away(monkeypatch, path):
    monkeypatch.setattr(connections, "most_connections", lambda: 20)
    monkeypatch.setattr(connections, "most_clients", lambda: 30)
    with serving(AsyncSQLiteTraceStore(path)) as service, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(service)) for _ in range(40)]
        for connection in held[30:]:
            assert until_closed(connection) == b""
        for connection in held:
            connection.close()
        assert eventually(lambda: answers(service))


async def test_one_piece_of_all_bodies_is_looked_at_each_time_the_loop_comes_round():
    """However many send at once, whoever asks for little waits for one piece only."""
    text = gzip.compress(b'{"a": [' + b"[]," * 400_000)
    looked_at = []

    class Scanner:
        def feed(self, piece: bytes) -> None:
            looked_at.append(rounds)

    async def receive():
        return {"type": "http.request", "body": text, "more_body": False}

    async def sent() -> None:
        headers = [(b"content-encoding", b"gzip")]
        request = Request({"type": "http", "headers": headers}, receive)
        async with held.body(request, 10_000_000, Scanner()):
            pass

    held, rounds = bodies.Held(50_000_000), 0
    sending = asyncio.gather(*(sent() for _ in range(8)))
    while not sending.done():
        await asyncio.sleep(0)
        rounds += 1
    large = [count for count in Counter(looked_at).values() if count > 1]
    assert len(looked_at) >= 8 * 1_200_000 / 65536
    assert len(large) <= 8, "but for the ends of bodies, which are small"


def test_threads_hand_over_sooner_while_serving_and_as_before_afterwards(monkeypatch):
    seen = []

    async def serve(self, sockets):
        seen.append(sys.getswitchinterval())

    monkeypatch.setattr("selectools_observe.server.service.Server.serve", serve)
    before = sys.getswitchinterval()
    run(InMemoryTraceStore(), port=0)
    assert seen[0] < before / 5
    assert sys.getswitchinterval() == before


def answers(service) -> bool:
    try:
        return service.get("/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_large_bodies_that_come_at_once_are_held_to_a_limit():
    with serving(InMemoryTraceStore(), max_body=1_000_000) as service:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(connected(service)) for _ in range(8)]
            for connection in held:  # 900 KB each, not finished: 4 MB may be held
                connection.sendall(HEAD + b"Content-Length: 950000\r\n\r\n" + b" " * 900_000)
            readable, _, _ = select.select(held, [], [], 20)
            assert b" 503 " in readable[0].recv(65536)[:20]
            assert service.get("/api/traces").status_code == 200
        assert eventually(lambda: sends(service))


def sends(service) -> bool:
    response = service.client.post("/api/traces", json=run_of("afterwards").to_dict())
    return response.status_code == 201
