"""The service in a process of its own."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("SELECTOOLS_OBSERVE_TESTS") == "long"

SERVE = """
import sys
from selectools_observe import server
server.run(sys.argv[1], port=int(sys.argv[2]))
"""


class Served:
    """A running service: where it is, and how to end it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"

    def end(self) -> None:
        """Stop it, as when somebody closes its terminal."""
        self.process.terminate()
        self.process.wait(60)


@contextmanager
def serving(store: Path | str, port: int = 0) -> Iterator[Served]:
    """The service on a store, in a process of its own; on a free port unless one is named."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = port or free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(store), str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as process:
        try:
            _wait_until_up(process, port)
            yield Served(process, port)
        finally:
            process.kill()


def _wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/about")
            connection.getresponse().read()
        except OSError:
            assert process.poll() is None, "the server ended at once"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()


def serving_or_skip(store: Path | str) -> AbstractContextManager[Served]:
    """The same for a test, which is skipped where something is missing."""
    for name in ("starlette", "uvicorn"):
        pytest.importorskip(name, reason="the extra server is not installed")
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    return serving(store)
