"""An import that is killed loses nothing that was saved, and goes on when it is started again."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import selectools_observe as so
from selectools_observe.interchange import saved_runs
from selectools_observe.interchange.exports import jsonl_lines

pytest.importorskip("click", reason="the extra cli is not installed")

RUNS = 1000


def import_of(source: str) -> list[str]:
    return [sys.executable, "-m", "selectools_observe", "import", source, "-s", "x.db"]


def lines() -> list[bytes]:
    with so.InMemoryTraceStore(max_size=RUNS) as store:
        store.save_many([so.AgentTrace(run_id=f"run-{number}") for number in range(RUNS)])
        return list(jsonl_lines(saved_runs(store, so.TraceFilter(), print)))


def saved(path) -> int:
    if not path.exists():
        return 0
    with so.SQLiteTraceStore(path) as store:
        return store.count()


@pytest.mark.slow
def test_killed_and_started_again(tmp_path):
    written = lines()
    (tmp_path / "runs.jsonl").write_bytes(b"".join(written))
    with subprocess.Popen(import_of("-"), cwd=tmp_path, stdin=subprocess.PIPE) as program:
        program.stdin.write(b"".join(written[: RUNS // 2]))
        program.stdin.flush()  # and no end: it waits for more
        deadline = time.monotonic() + 60
        while not saved(tmp_path / "x.db") and time.monotonic() < deadline:
            time.sleep(0.02)
        program.kill()
    with so.SQLiteTraceStore(tmp_path / "x.db") as store:
        assert 0 < store.count() <= RUNS // 2
        assert all(store.load(each.run_id) for each in store.iter_summaries())
    again = subprocess.run(import_of("runs.jsonl"), cwd=tmp_path, capture_output=True, check=True)
    assert b"1,000 runs saved" in again.stderr
    assert saved(tmp_path / "x.db") == RUNS
