"""Annotations over HTTP: what is said of a run, listed, kept and removed."""

from __future__ import annotations

import pytest
from served import run_of, serving

from selectools_observe import InMemoryTraceStore, TraceFilter

PATH = "/api/traces/run/annotations"


@pytest.fixture
def saved(store):
    store.save(run_of("run"))
    return store


def say(service, value, path=PATH):
    return service.client.post(path, json=value)


def test_what_is_said_is_kept_and_listed(saved, service):
    assert service.json(PATH) == {"annotations": []}
    given = {
        "name": "quality", "label": "bad", "score": 0.25, "note": "too slow", "step": 0,
        "author": "ada", "source": "llm",
    }  # fmt: skip
    response = say(service, given)
    assert response.status_code == 201
    kept = response.json()
    assert kept == {**given, "run_id": "run", "id": kept["id"], "created_at": kept["created_at"]}
    assert service.json(PATH) == {"annotations": [kept]}
    (found,) = saved.annotations("run")
    assert (found.id, found.note) == (kept["id"], "too slow")
    (run,) = service.json("/api/traces", filter="label.quality:bad")["traces"]
    assert run["annotations"] == {"quality": kept}
    assert service.json("/api/traces", filter="score.quality>0.5")["traces"] == []


def test_many_are_kept_all_or_none(saved, service):
    response = say(service, [{"name": "a", "score": 1}, {"name": "b", "label": "x"}])
    assert response.status_code == 201
    assert [one["name"] for one in response.json()["annotations"]] == ["a", "b"]
    assert say(service, [{"name": "c", "score": 1}, {"name": "d"}]).status_code == 422
    assert [one.name for one in saved.annotations("run")] == ["a", "b"]
    again = say(service, response.json()["annotations"])
    assert again.status_code == 201
    assert len(saved.annotations("run")) == 2


def test_they_are_removed_by_name_or_by_id(saved, service):
    ids = [say(service, {"name": name, "score": 1}).json()["id"] for name in "aab"]
    assert service.client.delete(f"{PATH}/{ids[0]}").status_code == 204
    assert service.client.delete(f"{PATH}/{ids[0]}").status_code == 404
    assert service.client.delete(PATH, params={"name": "a"}).json() == {"removed": 1}
    missing = service.client.delete(PATH, params={"name": "a"})
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "annotation_not_found")
    neither = service.client.delete(PATH)
    assert (neither.status_code, neither.json()["error"]["type"]) == (400, "invalid_parameter")
    assert [one.id for one in saved.annotations("run")] == ids[2:]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"name": "a"}, "is empty"),
        ({"score": 1}, "no name"),
        ({"name": "a", "score": "1"}, "score"),
        ({"name": "a", "score": 1, "step": -1}, "step"),
        ({"name": "a", "score": 1, "source": "dog"}, "source"),
        ({"name": "a", "score": 1, "created_at": "noon"}, "created_at"),
        ({"name": "a", "score": 1, "created_at": "2026-01-01T00:00:00"}, "timezone"),
        ({"name": "a", "score": 1, "run_id": "other"}, "run_id"),
        ({"name": "a", "scores": 1}, "'scores'"),
        ("bad", "object"),
        ([[]], "object"),
        ([{"name": "a", "score": 1}] * 1001, "1000"),
    ],
)
def test_what_cannot_be_kept_is_refused(saved, service, value, words):
    response = say(service, value)
    assert (response.status_code, response.json()["error"]["type"]) == (422, "invalid_annotation")
    assert words in response.json()["error"]["message"]
    assert saved.annotations("run") == []


def test_other_bodies_are_refused(saved, service):
    assert service.client.post(PATH, content=b"{").status_code == 415
    headers = {"Content-Type": "application/json"}
    assert service.client.post(PATH, content=b"{", headers=headers).status_code == 400
    assert saved.annotations("run") == []


def test_a_run_that_is_not_there(store, service):
    assert service.get(PATH).status_code == 404
    response = say(service, {"name": "a", "score": 1})
    assert (response.status_code, response.json()["error"]["type"]) == (404, "trace_not_found")


def test_a_read_only_service_takes_none(saved, serve):
    service = serve(read_only=True)
    assert say(service, {"name": "a", "score": 1}).status_code == 403
    assert service.client.delete(PATH, params={"name": "a"}).status_code == 403
    assert service.json(PATH) == {"annotations": []}


def test_sums_know_of_annotations_made_meanwhile(saved, service):
    asked = {"filter": "label:bad"}
    assert service.json("/api/stats", **asked)["runs"] == 0
    assert service.json("/api/histogram", **asked)["total"] == 0
    saved.annotate("run", "quality", label="bad")
    assert service.json("/api/stats", **asked)["runs"] == 1
    assert service.json("/api/histogram", **asked)["total"] == 1


def test_a_blocking_store_keeps_them_too():
    store = InMemoryTraceStore()
    store.save(run_of("run"))
    with serving(store) as service:
        assert say(service, {"name": "a", "score": 1}).status_code == 201
        assert service.json("/api/traces", order_by="-score.a")["traces"][0]["run_id"] == "run"
        assert store.count(TraceFilter(where="score.a=1")) == 1


def test_a_store_of_five_methods_says_that_it_keeps_none():
    class Five:
        def __init__(self, store):
            for name in ("save", "load", "list", "query", "delete"):
                setattr(self, name, getattr(store, name))

    store = InMemoryTraceStore()
    store.save(run_of("run"))
    with serving(Five(store)) as service:
        assert service.json(PATH) == {"annotations": []}
        response = say(service, {"name": "a", "score": 1})
        assert (response.status_code, response.json()["error"]["type"]) == (
            503,
            "storage_unavailable",
        )
