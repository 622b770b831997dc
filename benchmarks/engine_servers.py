"""Servers for the family `engines`: PostgreSQL and ClickHouse, one of each for a whole run.

They are those of the tests, started when a probe first asks, with fsync on, by a process of their
own that ends with the worker which started it. ``POSTGRES_SERVER`` and ``CLICKHOUSE_SERVER`` name
running ones instead: ``postgresql://user@host:5432``, ``clickhouse://host:8123``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

ENGINES = ("postgres", "clickhouse")

_FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "engines"
_POSTGRES = """
fsync = on
full_page_writes = on
shared_buffers = 1GB
max_wal_size = 4GB
"""
_mine: list[subprocess.Popen[str]] = []  # their standard input ends with this process


def server(engine: str, shared: Path) -> str:
    """The URL of a server, without a database; it is started if none runs."""
    if given := os.environ.get(f"{engine.upper()}_SERVER"):
        return given
    known = shared / f"{engine}.url"
    if not known.exists():
        command = [sys.executable, "-m", "benchmarks.engine_servers", engine, str(shared)]
        keeper = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
        assert keeper.stdout is not None
        if not keeper.stdout.readline():
            raise RuntimeError(f"there is no {engine} server: see the log for the reason")
        _mine.append(keeper)
    return known.read_text("utf-8")


def database(engine: str, shared: Path, name: str) -> str:
    """The URL of a new database of a server."""
    url = server(engine, shared)
    name = name.replace("-", "_")
    if engine == "postgres":
        run_sql(url, f"CREATE DATABASE {name}")
    return f"{url}/{name}"


def run_sql(url: str, statement: str) -> None:
    """Execute a statement on PostgreSQL, by its own program: not every peer brings a driver."""
    maintenance = url if url.count("/") > 2 else f"{url}/postgres"
    program = f"{_fixture('postgres_server').find_binaries()}/psql"
    subprocess.run([program, "-qX", "-d", maintenance, "-c", statement], check=True)


def _fixture(module: str) -> Any:
    if str(_FIXTURES) not in sys.path:
        sys.path.append(str(_FIXTURES))
    return __import__(module)


def _started(engine: str, folder: str) -> AbstractContextManager[Any]:
    if engine == "postgres":
        tests = _fixture("postgres_server")
        binaries = tests.find_binaries()
        if binaries is None:
            raise SystemExit("there is no PostgreSQL: install Debian's package postgresql")
        return tests.PostgresServer(binaries, settings=_POSTGRES, folder=folder)
    tests = _fixture("clickhouse_server")
    python = tests.find_python()
    if python is None:
        raise SystemExit("SELECTOOLS_OBSERVE_CHDB does not name a Python with chdb-core")
    return tests.ClickHouseServer(python, folder=folder)


def main(engine: str, shared: Path) -> None:
    """Run a server until standard input ends."""
    known = shared / f"{engine}.url"
    # Beside the run's own folder, which only its user may enter: PostgreSQL refuses to be root.
    folder = tempfile.mkdtemp(prefix=f"benchmarks-{engine}-", dir=shared.parents[1])
    with _started(engine, folder) as started:
        known.write_text(started.url.removesuffix("/postgres"), "utf-8")
        print(started.url, flush=True)
        sys.stdin.read()
        known.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
