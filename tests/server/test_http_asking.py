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


@pytest.fixture(scope="module", params=[AsyncInMemoryTraceStore, InMemoryTraceStore, FiveMethods])
def service(request):
    """A service of six runs, which is only asked."""
    with serving(request.param()) as service:
        for n in range(6):
            step = TraceStep(
                "llm_call", model=f"m-{n % 2}", reasoning=f"a refund, number {n}",
                duration_ms=n * 1000, timestamp=1_772_323_200 + n * 3600,
            )  # fmt: skip
            metadata = {"reward": n / 4, "user_id": "ab"[n % 2]}
            trace = AgentTrace(run_id=f"run-{n}", metadata=metadata, steps=[step])
            trace.start_time = step.timestamp
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


def test_statistics_by_any_key_in_the_days_of_a_zone(service):
    told = service.json("/api/stats", by=["day", "user", "model"], tz="-03:00", filter="reward>0")
    # They began on the first of March from 1:00 UTC on.
    assert [(day["key"], day["runs"]) for day in told["days"]] == [
        ("2026-02-28", 2), ("2026-03-01", 3),
    ]  # fmt: skip
    assert told["days"][0]["start"] == "2026-02-28T00:00:00-03:00"
    assert [(one["key"], one["runs"]) for one in told["groups"]["user"]] == [("b", 3), ("a", 2)]
    assert [(one["key"], one["calls"]) for one in told["models"]] == [("m-1", 3), ("m-0", 2)]
    assert (told["runs"], told["matching_runs"], told["tools"]) == (5, 5, [])
    (today,) = service.json("/api/stats", by="day", time="created_at")["days"]
    assert (today["runs"], today["key"] > "2026-03-02") == (6, True)


@pytest.mark.parametrize(
    ("tz", "runs"), [("UTC", 6), ("-03:00", 3), ("America/Sao_Paulo", 3), (None, 6)]
)
def test_days_in_a_filter_are_those_of_the_zone(service, tz, runs):
    asked = {"filter": "started:2026-03-01"} | ({} if tz is None else {"tz": tz})
    assert service.json("/api/count", **asked)["count"] == runs
    told = service.json("/api/stats", by="day", **asked)
    assert [(day["key"], day["runs"]) for day in told["days"]] == [("2026-03-01", runs)]


def test_groups_page_by_page(service):
    page = service.json("/api/groups", by="user", order_by="-total_ms", limit=1)
    (group,) = page["groups"]
    assert (group["key"], group["runs"], group["total_ms"]["max"]) == ("b", 3, 5000.0)
    assert group["first_at"] == "2026-03-01T01:00:00Z"
    more = {"by": "user", "order_by": "-total_ms", "cursor": page["next_cursor"]}
    rest = service.json("/api/groups", **more)
    assert ([one["key"] for one in rest["groups"]], rest["next_cursor"]) == (["a"], None)
    other = service.get("/api/groups", params={**more, "by": "reward"})
    assert (other.status_code, other.json()["error"]["type"]) == (404, "unknown_cursor")


def test_facets_are_counted(service):
    told = service.json("/api/facets", filter="reward>0", most=1)
    assert told["runs"] == 5
    assert told["fields"]["model"] == {"runs": 5, "values": [["m-1", 3]], "is_complete": False}
    assert told["metadata"]["user_id"]["values"] == [["b", 3]]
    assert service.json("/api/facets", max_runs=2)["runs"] == 2
    assert service.json("/api/facets", filter="reward>99") == {
        "runs": 0, "fields": {}, "metadata": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "params", "words"),
    [
        ("/api/stats", {"tz": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ("/api/stats", {"tz": "../../etc/passwd"}, "is not a time zone"),
        ("/api/stats", {"time": "noon"}, "one of started_at, created_at"),
        ("/api/stats", {"by": ""}, "by must be a name"),
        ("/api/stats", {"by": [str(n) for n in range(11)]}, "more than 10 times"),
        ("/api/groups", {}, "by is missing"),
        ("/api/groups", {"by": "user", "order_by": "colour"}, "one of first, last"),
        ("/api/facets", {"most": "0"}, "from 1 to 10000"),
        ("/api/traces", {"filter": "status:eror"}, "did you mean 'error'"),
        ("/api/traces", {"order_by": "colour"}, "ordered by created_at"),
        ("/api/search", {}, "q is missing"),
        ("/api/search", {"q": "!!"}, "no word to search for"),
    ],
)
def test_what_cannot_be_read_is_refused(service, path, params, words):
    response = service.get(path, params=params)
    assert response.status_code == 400
    assert words in response.text


@pytest.mark.parametrize("kind", [AsyncInMemoryTraceStore, InMemoryTraceStore])
@pytest.mark.parametrize(
    "path",
    ["/api/groups?by=user", "/api/groups?by=label.tone", "/api/stats?by=user", "/api/facets"],
)
def test_what_was_annotated_shows_at_once(kind, path):
    with serving(kind()) as service:
        saved = AgentTrace(run_id="run", metadata={"user_id": "ada"})
        assert service.client.post("/api/traces", json=saved.to_dict()).status_code == 201
        before = service.client.get(path).json()
        said = {"name": "tone", "label": "rude", "score": 0.25}
        assert service.client.post("/api/traces/run/annotations", json=said).status_code == 201
        assert service.client.get(path).json() != before


def test_a_key_that_no_run_has_is_named_where_nothing_is_found(service):
    asked = {"filter": "rewrd<1"}
    for path, more in (
        ("/api/traces", {}),
        ("/api/count", {}),
        ("/api/search", {"q": "refund"}),
        ("/api/groups", {"by": "user"}),
        ("/api/stats", {}),
    ):
        answer = service.json(path, **asked, **more)
        assert "'rewrd'" in answer["warning"]
        assert "reward" in answer["warning"]
        assert "warning" not in service.json(path, filter="reward>100", **more)
        assert "warning" not in service.json(path, filter="reward<1 OR rewrd<1", **more)
        answer = service.json(path, filter="reward:1 or nowhere:2", **more)
        assert answer["warning"].startswith("'or' is a word to look for")


def test_few_runs_are_looked_at_for_a_key_that_they_have():
    limits = []

    class Noting(AsyncInMemoryTraceStore):
        async def facets(self, filters=None, *, most=100):
            limits.append(filters.limit)
            return await super().facets(filters, most=most)

    with serving(Noting()) as service:
        runs = [AgentTrace(run_id="old", metadata={"seldom": 1})]
        runs += [AgentTrace(run_id=f"run-{n}", metadata={"reward": 1}) for n in range(30)]
        for run in runs:
            assert service.client.post("/api/traces", json=run.to_dict()).status_code == 201
        assert "warning" not in service.json("/api/traces", filter="reward:2")
        assert max(limits) < len(runs)
        assert "warning" not in service.json("/api/traces", filter="seldom:2")
        assert "'seldm'" in service.json("/api/traces", filter="seldm:2")["warning"]
