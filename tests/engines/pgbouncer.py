"""A pgbouncer in transaction mode in front of a server, for tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from postgres_server import PostgresServer, account, free_port


class PgBouncer:
    """A pooler on a free port; `url` connects through it."""

    def __init__(self, server: PostgresServer) -> None:
        self._folder = tempfile.mkdtemp(prefix="pgbouncer")
        self.port = free_port()
        users = Path(self._folder, "users")
        users.write_text('"tester" ""\n')
        self._config = Path(self._folder, "pgbouncer.ini")
        self._config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"unix_socket_dir =\nauth_type = trust\nauth_file = {users}\n"
            "pool_mode = transaction\ndefault_pool_size = 5\nmax_client_conn = 500\n"
        )
        for path in (self._folder, users, self._config):
            if account() is not None:
                shutil.chown(path, account())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        binary = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        self._process = subprocess.Popen(
            [binary, str(self._config)],
            user=account(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
