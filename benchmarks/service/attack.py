"""``/health`` while bodies that would become much are sent by many processes."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

from .process import Service, told

_BODIES = Path(__file__).parents[2] / "tests" / "server"
_PAUSE_S = 0.01
_LEAST_S = 2.0  # so that there are answers enough for a p99


def attacked(
    service: Service, quiet: Service, clients: int, rounds: int, only: str = ""
) -> Iterator[str]:
    """A row for each body.

    Args:
        service: What is attacked.
        quiet: A service that nobody else asks. What its answers take is the machine's doing.
        clients: How many processes send at once.
        rounds: How often each sends, at least.
        only: A part of the names of the bodies that are sent.
    """
    yield f"{'/health beside':34} {'answers':>7} {'p50 ms':>9} {'p99 ms':>9} {'max ms':>9}"
    until = time.monotonic() + _LEAST_S
    yield told("nothing", _asked(service, quiet, lambda: time.monotonic() > until)[0])
    for name, path, headers, body in _attacks():
        if only not in name:
            continue
        arguments = (service.port, path, headers, body, rounds)
        for _ in range(clients):
            multiprocessing.Process(target=_send, args=arguments).start()
        service.peak_memory_mb = 0.0
        taken, beside = _asked(service, quiet, lambda: not multiprocessing.active_children())
        p99 = sorted(beside)[int(len(beside) * 0.99)] * 1e3
        yield f"{told(name, taken)}   memory {service.peak_memory_mb:,.0f} MB, quiet p99 {p99:.1f}"


def _attacks() -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    sys.path.insert(0, str(_BODIES))
    import attack_bodies as bodies

    from . import taken_bodies as taken

    for name, (text, _) in bodies.BODIES.items():
        yield name, "/api/traces", bodies.JSON, bodies.packed(text)
    for name, (text, _) in bodies.LINES.items():
        yield name, "/api/traces", bodies.NDJSON, bodies.packed(text)
    for name, (text, _) in bodies.SPANS.items():
        yield f"spans: {name}", "/v1/traces", bodies.JSON, bodies.packed(text)
    array = bodies.protobuf(bodies.field(5, bodies.field(1, b"") * bodies.MANY))
    yield "spans: in protobuf", "/v1/traces", bodies.PROTOBUF, bodies.packed(array)
    for name, text in taken.TAKEN.items():
        yield f"taken: {name}", "/api/traces", bodies.JSON, bodies.packed(text)
    for name, text in taken.TAKEN_LINES.items():
        yield f"taken, lines: {name}", "/api/traces", bodies.NDJSON, bodies.packed(text)
    for name, (path, content) in taken.TAKEN_SPANS.items():
        yield f"taken, OTLP: {name}", path, bodies.PROTOBUF, bodies.packed(content)


def _send(port: int, path: str, headers: dict[str, str], body: bytes, rounds: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    until = time.monotonic() + _LEAST_S
    while rounds > 0 or time.monotonic() < until:
        rounds -= 1
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status in {200, 201, 422, 503}, response.status


def _asked(
    service: Service, quiet: Service, is_over: Callable[[], bool]
) -> tuple[list[float], list[float]]:
    taken: tuple[list[float], list[float]] = [], []
    connections = [HTTPConnection("127.0.0.1", each.port, timeout=120) for each in (service, quiet)]
    while not is_over():
        for connection, seconds in zip(connections, taken, strict=True):
            began = time.perf_counter()
            connection.request("GET", "/health")
            connection.getresponse().read()
            seconds.append(time.perf_counter() - began)
        service.look_at_memory()
        time.sleep(_PAUSE_S)
    return taken
