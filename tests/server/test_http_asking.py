"""Text, the filter language and orders over HTTP, for stores of every kind."""

from __future__ import annotations

import pytest
from served import serving

from selectools_observe import (
    AgentTrace,
    AsyncInMemoryTraceStore,
    InMemoryTraceStore,
    TraceStep,
)


class FiveMethods:
    """A blocking store of a third party, which never heard of texts."""

    def __init__(self) -> None:
        kept = InMemoryTraceStore()
        self.save, self.load, self.delete = kept.save, kept.load, kept.delete
        self._kept = kept

    def list(self, limit=50, offset=0):
        return [*self._kept.list(limit, offset)]

    def query(self, filters):
        return [*self._kept.query(filters)]


@pytest.fixture(params=[AsyncInMemoryTraceStore, InMemoryTraceStore, FiveMethods])
def service(request):
    with serving(request.param()) as service:
        for n in range(6):
            step = TraceStep("llm_call", reasoning=f"a refund, number {n}", duration_ms=n * 1000)
            trace = AgentTrace(run_id=f"run-{n}", metadata={"reward": n / 4}, steps=[step])
            assert service.client.post("/api/traces", json=trace.to_dict()).status_code == 201
        yield service


def ids(answer):
    return [trace["run_id"] for trace in answer["traces"]]


def test_filters_text_and_order(service):
    found = service.json("/api/traces", filter="reward<1 latency>=1s", order_by="total_ms")
    assert ids(found) == ["run-1", "run-2", "run-3"]
    assert ids(service.json("/api/traces", filter="reward<1 -latency<3s")) == ["run-3"]
    assert service.json("/api/count", filter="reward>1 OR reward:0")["count"] == 2


def test_search_gives_places_page_by_page(service):
    hits, cursor = [], None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = service.json("/api/search", q="REFUND", filter="reward<1", limit=3, **more)
        hits += page["hits"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [hit["run_id"] for hit in hits] == ["run-3", "run-2", "run-1", "run-0"]
    assert hits[0] == {
        "run_id": "run-3",
        "step": 1,
        "field": "reasoning",
        "snippet": "a refund, number 3",
        "marks": [[2, 8]],
    }


@pytest.mark.parametrize(
    ("path", "params", "words"),
    [
        ("/api/traces", {"filter": "status:eror"}, "did you mean 'error'"),
        ("/api/traces", {"order_by": "colour"}, "ordered by created_at"),
        ("/api/search", {}, "q is missing"),
        ("/api/search", {"q": "!!"}, "no word to look for"),
    ],
)
def test_what_cannot_be_read_is_refused(service, path, params, words):
    response = service.get(path, params=params)
    assert response.status_code == 400
    assert words in response.text
