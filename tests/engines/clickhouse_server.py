"""A ClickHouse server for tests: the engine of the wheel ``chdb-core``, which can listen.

It is the engine and the server's handlers of HTTP and TCP, not the packaged server: one user, no
Keeper, no replication. The wheel has an environment of its own, 900 MB of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

from postgres_server import free_port

PYTHON = os.environ.get("SELECTOOLS_OBSERVE_CHDB", "")
"""The Python of an environment with chdb-core."""

_START = """
import os, sys
folder = sys.argv[1]
os.chdir(folder)
from chdb import _chdb
_chdb.query(
    "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; "
    "SELECT sleepEachRow(3) FROM numbers(1000000) FORMAT Null "
    "SETTINGS max_block_size=1, function_sleep_max_microseconds_per_block=100000000",
    "TabSeparated", path=folder + "/data",
)
"""


def find_python() -> str | None:
    """The Python that has chdb-core: ``$SELECTOOLS_OBSERVE_CHDB``'s, or this one."""
    for python in (PYTHON, sys.executable):
        if python and _has_chdb(python):
            return python
    return None


def _has_chdb(python: str) -> bool:
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('chdb') is None)"
    return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0


class ClickHouseServer:
    """A server on free ports.

    Args:
        python: The Python that has chdb-core.
        port: The port of TCP.
        shards: The TCP ports of a cluster ``shards``, one server each; its own if none.
        folder: Where its data is; one of its own if none.
        settings: Of the server, by name.
    """

    def __init__(
        self,
        python: str,
        *,
        port: int = 0,
        shards: Sequence[int] = (),
        folder: str = "",
        settings: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._python = python
        self.port = free_port()
        self.tcp_port = port or free_port()
        self.folder = folder or tempfile.mkdtemp(prefix="clickhouse")
        members = "".join(
            f"<shard><replica><host>127.0.0.1</host><port>{tcp}</port></replica></shard>"
            for tcp in shards or (self.tcp_port,)
        )
        Path(self.folder, "config.xml").write_text(
            f"<clickhouse><http_port>{self.port}</http_port><tcp_port>{self.tcp_port}</tcp_port>"
            "<listen_host>127.0.0.1</listen_host>"
            f"{''.join(f'<{name}>{value}</{name}>' for name, value in settings.items())}"
            f"<remote_servers><shards>{members}</shards></remote_servers></clickhouse>"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Without a database."""
        return f"clickhouse://127.0.0.1:{self.port}"

    def ask(self, sql: str) -> str:
        """Execute a statement; its answer as text."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", data=sql.encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read().decode().strip()

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = open(f"{self.folder}/log", "ab")  # noqa: SIM115 - the server writes to it
        self._process = subprocess.Popen(
            [self._python, "-c", _START, self.folder],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None:
                raise RuntimeError(Path(f"{self.folder}/log").read_text())
            if time.monotonic() > deadline:
                raise TimeoutError("ClickHouse did not start within 60 s")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.ask("SELECT 1") == "1"
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
