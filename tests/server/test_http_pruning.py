"""Pruning over HTTP: first what would go, then its deletion."""

from __future__ import annotations

import pytest
from served import run_of, serving

from selectools_observe import InMemoryTraceStore

PATH = "/api/prune"


@pytest.fixture
def saved(store):
    for number in range(10):
        store.save(run_of(f"run-{number}"))
    store.annotate("run-1", "quality", label="bad")
    return store


def test_it_reports_before_it_deletes(saved, service):
    rule = {"keep_runs": 5, "keep_annotated": True}
    told = service.client.post(PATH, json=rule)
    assert told.status_code == 200
    assert (told.json()["runs"], told.json()["spared"], told.json()["dry_run"]) == (4, 1, True)
    assert saved.count() == 10
    done = service.client.post(PATH, json={**rule, "dry_run": False}).json()
    assert (done["runs"], done["dry_run"]) == (4, False)
    assert done["run_ids"] == ["run-0", "run-2", "run-3", "run-4"]
    assert saved.count() == 6
    assert service.json("/api/count")["count"] == 6


def test_by_filter_and_by_time(saved, service):
    where = {"where": "label.quality:bad", "dry_run": False}
    assert service.client.post(PATH, json=where).json()["run_ids"] == ["run-1"]
    old = {"older_than": "2999-01-01T00:00:00Z", "keep": "id:run-2", "dry_run": False}
    assert service.client.post(PATH, json=old).json()["runs"] == 8
    assert [run.run_id for run in saved.list()] == ["run-2"]


@pytest.mark.parametrize(
    "rule",
    [
        {}, [], 5, {"dry_run": False}, {"keep_runs": -1}, {"keep_runs": "many"},
        {"keep_bytes": True}, {"older_than": "30d"}, {"older_than": "2026-01-01T00:00:00"},
        {"where": "status:eror"}, {"where": 5}, {"keep_runs": 1, "dry_run": "no"},
        {"keep_runs": 1, "colour": "red"},
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused(saved, service, rule):
    answer = service.client.post(PATH, json=rule)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["type"] == "invalid_retention"
    assert saved.count() == 10


def test_other_origins_are_refused(saved, service):
    rule = {"keep_runs": 0, "dry_run": False}
    origin = {"Origin": "https://elsewhere.example"}
    assert service.client.post(PATH, json=rule, headers=origin).status_code == 403
    assert saved.count() == 10


def test_a_read_only_service_refuses():
    store = InMemoryTraceStore()
    store.save(run_of("run"))
    with serving(store, read_only=True) as service:
        rule = {"keep_runs": 0, "dry_run": False}
        assert service.client.post(PATH, json=rule).status_code == 403
        assert store.count() == 1
