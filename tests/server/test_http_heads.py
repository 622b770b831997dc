"""Heads and framings that are odd, ambiguous or hostile: nobody gets in, nothing is smuggled."""

from __future__ import annotations

import json
import logging
import socket

import pytest
from served import TOKEN, serving

from selectools_observe import InMemoryTraceStore

RUN = json.dumps({"run_id": "r", "steps": []}).encode()
SIZE = b"%x\r\n" % len(RUN)
CHUNKS = SIZE + RUN + b"\r\n0\r\n\r\n"
KNOWN = f"Authorization: Bearer {TOKEN}\r\n".encode()
HOST = b"Host: localhost\r\n"
LAST = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(RUN)
UPGRADE = b"Connection: Upgrade\r\nUpgrade: "
WEBSOCKET = b"websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def get(target: bytes = b"/api/traces", more: bytes = b"", host: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + host + more + LAST + b"\r\n"


def going_on(request: bytes) -> bytes:
    """The request, but that the connection stays open after it."""
    return request.replace(LAST, b"", 1)


def post(more: bytes, body: bytes) -> bytes:
    head = b"POST /api/traces HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    return head + more + LAST + b"\r\n" + body


# Of these no two programs might read the same: the connection ends.
AMBIGUOUS = {
    "a blank before the colon": (b"Content-Length : 25\r\n", RUN),
    "two lengths": (LENGTH + b"Content-Length: 3\r\n", RUN),
    "a length with a sign": (b"Content-Length: +25\r\n", RUN),
    "a length below zero": (b"Content-Length: -1\r\n", RUN),
    "a length in another base": (b"Content-Length: 0x19\r\n", RUN),
    "a length that is no integer": (b"Content-Length: 25.0\r\n", RUN),
    "a length of 5,000 digits": (b"Content-Length: " + b"9" * 5000 + b"\r\n", RUN),
    "a digit of another script": ("Content-Length: ²\r\n".encode("latin-1"), RUN),
    "an unknown coding": (b"Transfer-Encoding: xchunked\r\n", CHUNKS),
    "two codings": (b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS),
    "two headers of coding": (CHUNKED + b"Transfer-Encoding: identity\r\n", CHUNKS),
    "identity": (b"Transfer-Encoding: identity\r\n", RUN),
    "a control character": (b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS),
    "coding and length": (CHUNKED + LENGTH, CHUNKS),
    "a chunk in another notation": (CHUNKED, b"0x" + CHUNKS),
    "a chunk below zero": (CHUNKED, b"-" + CHUNKS),
    "a chunk that goes on": (CHUNKED, SIZE + RUN + b"XX0\r\n\r\n"),
    "a NUL in a header": (LENGTH + b"X: a\x00b\r\n", RUN),
    "a CR in a header": (LENGTH + b"X: a\rb\r\n", RUN),
}
TARGETS = {
    "with NUL": b"/api/traces\x00",
    "with CR": b"/api/tra\rces",
    "with a tab": b"/api/\ttraces",
    "with a blank": b"/api/ traces",
    "of no ASCII": b"/api/\xfftraces",
    "none": b"",
    "encoded NUL": b"/api/traces/%00",
    "encoded line ends": b"/api/traces/%0d%0aSet-Cookie:%20a=b",
    "absolute": b"http://localhost/api/traces",
    "absolute, another host": b"http://evil.example/api/traces",
    "absolute, open": b"http://localhost/health",
    "below an open one": b"/health/../api/traces",
    "two slashes": b"//health/api/traces",
    "a fragment": b"/health#/api",
    "an authority": b"localhost:80",
    "everything": b"*",
    "a parameter": b"/api/traces;/health",
    "a backslash": b"/health\\..\\api/traces",
    "encoded twice": b"/%2568ealth",
    "an encoded slash": b"/health%2f..%2fapi%2ftraces",
}
HEADS = {
    "a host that goes on": get(host=b"Host: localhost\r\n .evil.example\r\n"),
    "a host with a user": get(host=b"Host: localhost@evil.example\r\n"),
    "a port that is none": get(host=b"Host: localhost:80:80\r\n"),
    "no host": get(host=b""),
    "two hosts": get(host=HOST + HOST),
    "a token with NUL": get(more=KNOWN[:-2] + b"\x00\r\n"),
    "a token twice": get(more=KNOWN + KNOWN),
    "a token in two": get(more=KNOWN[:-2] + b",\r\n Bearer x\r\n"),
    "another name in front": get(b"/health", b"X-Original-URL: /api/traces\r\n"),
    "another address": get(more=b"X-Forwarded-For: 127.0.0.1\r\n"),
    "a websocket": get(more=UPGRADE + WEBSOCKET),
    "h2c": get(more=UPGRADE + b"h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "HTTP/0.9": b"GET /api/traces\r\n\r\n",
    "a method with NUL": get().replace(b"GET", b"G\x00T"),
    "a long method": get().replace(b"GET", b"G" * 20_000),
    "another method": post(LENGTH + b"X-HTTP-Method-Override: GET\r\n", RUN),
    "empty lines": b"\r\n" * 100_000,
    "a long name": get(more=b"a" * 40_000 + b": b\r\n"),
    "many small ones": get(more=b"a:\r\n" * 8_000),
    "a large cookie": get(more=b"Cookie: " + b"a=b; " * 8_000 + b"\r\n"),
    "a query of 40 KB": get(b"/api/traces?filter=" + b"a" * 40_000),
}


@pytest.fixture(scope="module")
def guarded():
    with serving(InMemoryTraceStore(), token=TOKEN) as service:
        yield service


def answers(service, sent: bytes) -> list[int]:
    """The statuses of what is answered until the service closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        try:
            connection.sendall(sent)
            while piece := connection.recv(65536):
                received += piece
        except ConnectionError:  # it has heard enough
            pass
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


def refused(service, sent: bytes) -> None:
    statuses = answers(service, sent)
    assert all(400 <= status < 500 for status in statuses), statuses
    assert service.json("/health")["status"] == "ok"
    found = service.get("/api/count", headers={"Authorization": f"Bearer {TOKEN}"})
    assert found.json()["count"] == 0


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_is_ambiguous_ends_the_connection_also_of_who_is_known(guarded, name):
    more, body = AMBIGUOUS[name]
    # What follows would be a request of somebody else.
    refused(guarded, going_on(post(KNOWN + more, body)) + get(more=KNOWN))


@pytest.mark.parametrize("name", TARGETS)
def test_no_target_leads_past_the_token(guarded, name):
    refused(guarded, get(TARGETS[name]))


@pytest.mark.parametrize("name", HEADS)
def test_no_head_leads_past_the_token(guarded, name):
    sent = HEADS[name]
    if name == "another name in front":
        assert answers(guarded, sent) == [200]  # /health itself
        return
    refused(guarded, sent)


def test_what_is_sent_on_before_an_answer_is_asked_for_by_each_itself(guarded):
    """Pipelining: the body of a request that is refused is no request, nor is what follows."""
    inner = get(more=KNOWN)
    length = b"Content-Length: %d\r\n" % len(inner)
    assert answers(guarded, going_on(post(length, inner)) + inner) == [401]
    assert answers(guarded, going_on(get()) * 20 + get()) == [401] * 21
    assert answers(guarded, going_on(get(more=KNOWN)) + get()) == [200, 401]


@pytest.mark.parametrize("name", ["a websocket", "h2c"])
def test_an_upgrade_that_is_not_there_is_no_news(guarded, name, caplog):
    with caplog.at_level(logging.WARNING):
        assert answers(guarded, HEADS[name]) == [401]
    assert caplog.records == []


def test_extensions_and_trailers_of_chunks_are_bounded(guarded):
    small = SIZE[:-2] + b";a=b\r\n" + RUN + b"\r\n0\r\nX: y\r\n\r\n"
    assert answers(guarded, post(KNOWN + CHUNKED, small)) == [201]
    guarded.client.delete("/api/traces/r", headers={"Authorization": f"Bearer {TOKEN}"})
    for large in (
        SIZE[:-2] + b";" + b"a" * 200_000 + b"\r\n" + RUN + b"\r\n0\r\n\r\n",
        SIZE + RUN + b"\r\n0\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    ):
        refused(guarded, post(KNOWN + CHUNKED, large))
