"""New runs arrive as they are saved, whoever saves them."""

from __future__ import annotations

import contextlib
import json
import time

import httpx
import pytest
from served import run_of, serving

from selectools_observe import AsyncSQLiteTraceStore, InMemoryTraceStore
from selectools_observe.server import event_hub as live


class Events:
    """The events of a stream, one by one."""

    def __init__(self, response):
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        self._lines = response.iter_lines()
        self.comments = 0

    def next(self):
        """The next event: its id, its name and its data."""
        fields = {}
        for line in self._lines:
            if not line and "event" in fields:
                return fields
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
        return None

    def next_run(self):
        event = self.next()
        assert event["event"] == "trace"
        return json.loads(event["data"])["run_id"]

    def wait_for_comments(self, number):
        while self.comments < number:
            line = next(self._lines)
            self.comments += line.startswith(":")


@contextlib.contextmanager
def listening(service, last_id=None, **params):
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with (
        httpx.Client(verify=False, base_url=service.client.base_url, timeout=60) as client,
        client.stream("GET", "/api/live", params=params, headers=headers) as response,
    ):
        events = Events(response)
        events.wait_for_comments(1)
        yield events


@pytest.fixture
def service(serve):
    return serve(live_interval=0.02, live_heartbeat=0.2)


def test_runs_saved_by_others_arrive_in_order(store, service):
    store.save(run_of("before"))
    with listening(service) as events:
        store.save_many([run_of("a", user="ada"), run_of("b")])
        store.save(run_of("c"))
        event = events.next()
        data = json.loads(event["data"])
        assert (data["run_id"], data["metadata"], data["steps"]) == ("a", {"user": "ada"}, 2)
        assert data == service.json("/api/traces", run_ids="a")["traces"][0]
        assert [events.next_run(), events.next_run()] == ["b", "c"]


def test_runs_saved_through_the_service_arrive_at_once(path):
    with (
        serving(AsyncSQLiteTraceStore(path), live_interval=60) as service,
        listening(service) as events,
    ):
        service.client.post("/api/traces", json=run_of("a").to_dict())
        assert events.next_run() == "a"


def test_a_run_saved_again_arrives_again(store, service):
    with listening(service) as events:
        for steps in (1, 2, 3):
            store.save(run_of("a", steps=steps))
            assert json.loads(events.next()["data"])["steps"] == steps


def test_everybody_is_told(store, service):
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listening(service)) for _ in range(20)]
        store.save(run_of("a"))
        assert [events.next_run() for events in listeners] == ["a"] * 20


def test_filters(store, service):
    with listening(service, has_error="true", **{"metadata.user": "ada"}) as events:
        wrong = run_of("wrong", user="ada")
        wrong.steps[0].error = "Timeout"
        store.save_many([run_of("a", user="ada"), run_of("b", user="ben"), wrong])
        assert events.next_run() == "wrong"
    assert service.get("/api/live?has_error=maybe").status_code == 400


def test_it_goes_on_where_it_broke_off(store, service):
    with listening(service) as events:
        store.save_many([run_of(f"run-{n}") for n in range(5)])
        last_id = [events.next() for _ in range(2)][-1]["id"]
    store.save(run_of("run-5"))
    with listening(service, last_id) as events:
        assert [events.next_run() for _ in range(4)] == ["run-2", "run-3", "run-4", "run-5"]
        store.save(run_of("run-6"))
        assert events.next_run() == "run-6"


def test_it_goes_on_after_a_restart(store, service, serve):
    with listening(service) as events:
        store.save(run_of("a"))
        last_id = events.next()["id"]
    store.save(run_of("b"))
    with listening(serve(live_interval=0.02), last_id) as events:
        assert events.next_run() == "b"


@pytest.mark.parametrize("last_id", ["nonsense", "1-a", "x" * 3000])
def test_an_unknown_place_is_a_gap(store, service, last_id):
    store.save(run_of("a"))
    with listening(service, last_id) as events:
        assert events.next()["event"] == "gap"
        store.save(run_of("b"))
        assert events.next_run() == "b"


def test_more_than_is_remembered_is_a_gap(store, serve, monkeypatch):
    monkeypatch.setattr(live, "_REMEMBERED", 50)
    with listening(serve(live_interval=0.02)) as events:
        store.save_many([run_of(f"run-{n:03}", steps=0) for n in range(200)])
        assert events.next()["event"] == "gap"
        while events.next_run() != "run-199":
            pass


def test_deleted_runs_bring_no_old_ones_back(store, service):
    store.save_many([run_of(f"run-{n:03}", steps=0) for n in range(100)])
    with listening(service) as events:
        for n in range(99, 90, -1):
            store.delete(f"run-{n:03}")
        store.save(run_of("new"))
        assert events.next_run() == "new"


def test_a_quiet_stream_shows_that_it_lives(service):
    with listening(service) as events:
        events.wait_for_comments(4)


def test_nothing_is_watched_while_nobody_listens(path):
    store = Counting(InMemoryTraceStore())
    with serving(store, live_interval=0.01) as service:
        with listening(service) as events:
            store.kept.save(run_of("a"))
            assert events.next_run() == "a"
        deadline = time.monotonic() + 60
        while True:
            before = store.looks
            time.sleep(0.1)
            if store.looks == before:
                break
            assert time.monotonic() < deadline
        store.kept.save(run_of("while-nobody-listened"))
        with listening(service) as events:
            store.kept.save(run_of("b"))
            assert events.next_run() == "b"


class Counting:
    """A store that counts how often it is looked at."""

    def __init__(self, kept):
        self.kept = kept
        self.looks = 0

    def save(self, trace):
        return self.kept.save(trace)

    def load(self, run_id):
        return self.kept.load(run_id)

    def list(self, limit=50, offset=0):
        self.looks += 1
        return self.kept.list(limit, offset)

    def query(self, filters):
        return self.kept.query(filters)

    def delete(self, run_id):
        return self.kept.delete(run_id)


def test_too_many_listeners_are_told_so(service, monkeypatch):
    monkeypatch.setattr(live, "MOST_LISTENERS", 2)
    with listening(service), listening(service):
        response = service.get("/api/live")
        assert (response.status_code, response.json()["error"]["type"]) == (503, "busy")
        assert response.headers["retry-after"] == "5"


def test_streams_end_when_the_service_does(store, serve, path):
    with contextlib.ExitStack() as stack:
        with serving(AsyncSQLiteTraceStore(path)) as service:
            events = [stack.enter_context(listening(service)) for _ in range(5)]
        assert [stream.next() for stream in events] == [None] * 5
