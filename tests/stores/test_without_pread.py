"""JSONL files where the system has no `os.pread`, as Windows has none."""

from __future__ import annotations

import pytest

from selectools_observe import AgentTrace, JSONLTraceStore
from selectools_observe.backends.jsonl import backup, file_io, line_index


@pytest.fixture(autouse=True)
def without_pread(monkeypatch):
    for module in (backup, file_io, line_index):
        monkeypatch.setattr(module, "pread", file_io._seek_and_read)


def test_runs_are_saved_loaded_and_copied(tmp_path):
    with (
        JSONLTraceStore(tmp_path / "runs.jsonl") as store,
        JSONLTraceStore(tmp_path / "runs.jsonl") as other,
    ):
        store.save_many(AgentTrace(run_id=f"run-{n}", metadata={"n": n}) for n in range(50))
        other.save(AgentTrace(run_id="other"))
        assert [store.load(f"run-{n}").metadata["n"] for n in range(49, -1, -1)] == [
            *range(49, -1, -1)
        ]
        assert store.load("other").run_id == "other"
        store.delete("run-7")
        store.compact()
        assert other.count() == 50
        assert store.backup(tmp_path / "copy.jsonl").ok
    with JSONLTraceStore(tmp_path / "copy.jsonl") as copy:
        assert copy.count() == 50
