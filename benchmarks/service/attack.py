"""``/health`` while bodies that would become much are sent by many processes."""

from __future__ import annotations

import http.client
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .process import Service, told

_BODIES = Path(__file__).parents[2] / "tests" / "server"
_PAUSE_S = 0.01


def attacked(service: Service, clients: int, rounds: int) -> Iterator[str]:
    yield f"{'/health beside':34} {'answers':>7} {'p50 ms':>9} {'p99 ms':>9} {'max ms':>9}"
    until = time.monotonic() + 2
    yield told("nothing", _asked(service.port, lambda: time.monotonic() > until))
    for name, path, headers, body in _attacks():
        arguments = (service.port, path, headers, body, rounds)
        for _ in range(clients):
            multiprocessing.Process(target=_send, args=arguments).start()
        seconds = _asked(service.port, lambda: not multiprocessing.active_children())
        yield f"{told(name, seconds)}   memory {service.peak_memory_mb:,.0f} MB"


def _attacks() -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    sys.path.insert(0, str(_BODIES))
    import attack_bodies as bodies

    for name, (text, _) in bodies.BODIES.items():
        yield name, "/api/traces", bodies.JSON, bodies.packed(text)
    for name, (text, _) in bodies.LINES.items():
        yield name, "/api/traces", bodies.NDJSON, bodies.packed(text)
    for name, (text, _) in bodies.SPANS.items():
        yield f"spans: {name}", "/v1/traces", bodies.JSON, bodies.packed(text)
    array = bodies.protobuf(bodies.field(5, bodies.field(1, b"") * bodies.MANY))
    yield "spans in protobuf", "/v1/traces", bodies.PROTOBUF, bodies.packed(array)


def _send(port: int, path: str, headers: dict[str, str], body: bytes, rounds: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for _ in range(rounds):
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 422, response.status


def _asked(port: int, is_over: Callable[[], bool]) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    seconds = []
    while not is_over():
        began = time.perf_counter()
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        seconds.append(time.perf_counter() - began)
        time.sleep(_PAUSE_S)
    return seconds
