"""What several tests need: which of them run, the real runs, and a Redis server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"


# What a run leaves out that says neither what to run nor which marks: it takes minutes.
DEFAULT = "not faults and not browser and not slow"


def pytest_configure(config: pytest.Config) -> None:
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.markexpr:
        config.option.markexpr = DEFAULT


@pytest.hookimpl(tryfirst=True)  # before `-m` is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in the fault tests' folder, and what asks for a browser."""
    for item in items:
        if ROOT / "tests" / "faults" in item.path.parents:
            item.add_marker("faults")
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture
def airline_jsonl(tmp_path: Path) -> Path:
    """A copy of 200 real runs that selectools wrote as JSONL."""
    return _copy("airline.jsonl", tmp_path)


@pytest.fixture
def airline_db(tmp_path: Path) -> Path:
    """A copy of the same runs in selectools' SQLite file."""
    return _copy("airline.db", tmp_path)


def _copy(name: str, folder: Path) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"no {DATA / name} beside this checkout")
    return Path(shutil.copy(DATA / name, folder))


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
    deadline = time.monotonic() + 20
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
