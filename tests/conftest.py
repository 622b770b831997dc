"""What several tests need: which of them run, the real runs, and a Redis server."""

from __future__ import annotations

import contextlib
import gc
import gzip
import inspect
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType

import pytest

# Else each of the many programs that tests start compiles the whole package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

ROOT = Path(__file__).parent.parent
FAULTS = ROOT / "tests" / "faults"
AIRLINE = ROOT / "tests" / "data" / "airline" / "airline.jsonl.gz"
SELECTOOLS_SCHEMA = """
CREATE TABLE traces (
    run_id TEXT PRIMARY KEY,
    steps INTEGER NOT NULL,
    total_ms REAL NOT NULL,
    created_at TEXT NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}',
    trace_json TEXT NOT NULL
);
CREATE INDEX idx_traces_created ON traces(created_at DESC);
"""


# What a run leaves out that says neither what to run nor which marks: it takes minutes.
DEFAULT = "not faults and not browser and not engines and not slow and not frameworks"
LEFT_OUT = frozenset(DEFAULT.split()) - {"not", "and"}
# The fixtures of servers that are no part of a developer's machine.
ENGINES = {
    "chdb_python",
    "clickhouse_server",
    "other_postgres_server",
    "postgres_server",
    "redis_socket",
}
# Bytes that their files may take, several times over.
MEMORY = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.markexpr:
        config.option.markexpr = DEFAULT
        keep_files_in_memory()
    search_without_a_clock()
    gc.disable()  # what is made now, modules and tests, stays to the end


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Else each full collection, and some tests ask for many, looks at all that is there now."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """After a file too: what it has imported and cached stays as well."""
    yield
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def keep_files_in_memory() -> None:
    """The default tests wait for no disk; what a real one does is looked at by the fault tests."""
    memory = Path("/dev/shm")  # Linux keeps it in memory
    with contextlib.suppress(OSError):
        if shutil.disk_usage(memory).free >= MEMORY and os.access(memory, os.W_OK):
            os.environ.setdefault("TMPDIR", str(memory))
            tempfile.tempdir = None  # so that it is asked again


def search_without_a_clock() -> None:
    """A property test makes the same search each time, and an example may take any time.

    Hypothesis fails a test that takes 200 ms, as any does at times where the machine is busy.
    """
    with contextlib.suppress(ImportError):  # some sessions go without
        from hypothesis import settings

        length = os.environ.get("SELECTOOLS_OBSERVE_TESTS", "default")
        settings.register_profile(
            "ours",
            deadline=None,
            derandomize=length != "long",
            database=None,
            max_examples=25 if length == "default" else 100,
        )
        settings.load_profile("ours")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The default does not even read what it leaves out whole."""
    is_left_out = collection_path == FAULTS and config.option.markexpr == DEFAULT
    return True if is_left_out else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> list[pytest.Item] | None:
    """Nor does it make the tests of what says that it is left out: a file, a class, a function."""
    if collector.config.option.markexpr != DEFAULT or not name.lower().startswith("test"):
        return None
    if inspect.isclass(obj):
        tests = pytest.Class.from_parent(collector, name=name)
        assert tests.obj is obj  # its marks are read with it
        marks = [*tests.iter_markers()]
    else:
        marks = [*collector.iter_markers(), *getattr(obj, "pytestmark", ())]
    return None if LEFT_OUT.isdisjoint(mark.name for mark in marks) else []


@pytest.hookimpl(tryfirst=True)  # before `-m` is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what its folder, its fixtures or its class say of a test."""
    for item in items:
        if FAULTS in item.path.parents:
            item.add_marker("faults")
        asked_for = set(getattr(item, "fixturenames", ()))
        if "browser" in asked_for:
            item.add_marker("browser")
        if asked_for & ENGINES:
            item.add_marker("engines")
        if name_of(item) in getattr(getattr(item, "cls", None), "slow_checks", ()):
            item.add_marker("slow")


def name_of(item: pytest.Item) -> str:
    """The name of a test without its parameters."""
    return getattr(item, "originalname", None) or item.name


@pytest.fixture
def airline_jsonl(tmp_path: Path) -> Path:
    """A copy of 200 real runs that selectools wrote as JSONL."""
    path = tmp_path / "airline.jsonl"
    path.write_bytes(gzip.decompress(AIRLINE.read_bytes()))
    return path


@pytest.fixture
def airline_db(tmp_path: Path, airline_file: Path) -> Path:
    """A copy of the same runs in selectools' SQLite file."""
    return Path(shutil.copy(airline_file, tmp_path / "airline.db"))


@pytest.fixture(scope="session")
def airline_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs as selectools 1.3.0 lays out a database."""
    path = tmp_path_factory.mktemp("airline") / "airline.db"
    lines = map(json.loads, gzip.decompress(AIRLINE.read_bytes()).splitlines())
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(SELECTOOLS_SCHEMA)
        database.executemany(
            "INSERT INTO traces "
            "VALUES (:run_id, :steps, :total_ms, :created_at, :metadata, :trace)",
            [
                line | {name: json.dumps(line[name]) for name in ("metadata", "trace")}
                for line in lines
            ],
        )
        database.commit()
    return path


@pytest.fixture(scope="session")
def theirs() -> Iterator[ModuleType]:
    """selectools' stores; it leaves the connections open, which Python 3.13 complains of."""
    module = pytest.importorskip("selectools.observe", reason="selectools is not installed")
    connected, opened = module.SQLiteTraceStore._conn, []

    def noted(store):
        opened.append(connected(store))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.SQLiteTraceStore, "_conn", noted)
        yield module
    for connection in opened:
        connection.close()


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """The path of a Redis server's socket; the server lives as long as the tests."""
    redis = pytest.importorskip("redis", reason="the package redis is not installed")
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server here (Debian's package redis-server)")
    # A socket's path must be short: pytest's own folders are not.
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        path = f"{folder}/socket"
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]
        with subprocess.Popen([binary, *options], cwd=folder, stdout=subprocess.DEVNULL) as server:
            try:
                _wait_until_up(redis, path)
                yield path
            finally:
                server.terminate()


def _wait_until_up(redis: ModuleType, path: str) -> None:
    deadline = time.monotonic() + 60
    with redis.Redis(unix_socket_path=path) as client:
        while True:
            try:
                client.ping()
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three workers for two cores: many tests wait for a disk, a server or a program."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)
