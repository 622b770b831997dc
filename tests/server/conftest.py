"""Services of the runs in one file, for the tests of the HTTP service."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra server is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

from served import Served, serving

from selectools_observe import AsyncSQLiteTraceStore, SQLiteTraceStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the runs of a test are kept."""
    return tmp_path / "runs.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteTraceStore]:
    """A store of those runs for the test itself, beside the service's own."""
    with SQLiteTraceStore(path) as opened:
        yield opened


@pytest.fixture
def serve(path: Path) -> Iterator[Callable[..., Served]]:
    """Starts a service of those runs."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(serving(AsyncSQLiteTraceStore(path), **options))


@pytest.fixture
def service(serve: Callable[..., Served]) -> Served:
    """A service of those runs, as it is by default."""
    return serve()
