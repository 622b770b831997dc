"""Agents served by the real selectools, asked over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("selectools", reason="selectools is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

import httpx
from selectools.serve import AgentRouter
from selectools_agents import FLAKY, Scripted, agent
from trouble_stores import Refusing

from selectools_observe import (
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    SQLiteTraceStore,
    TraceFilter,
)
from selectools_observe.integrations.selectools import TraceSavingObserver, persist_traces

QUESTION = {"prompt": "How is it?"}
CHAT = {"input": "How is it?"}


@pytest.fixture(params=["blocking store", "async store"])
def store(request, tmp_path):
    with SQLiteTraceStore(tmp_path / "traces.db") as reader:
        reader.under_test = reader
        if request.param == "async store":
            reader.under_test = AsyncSQLiteTraceStore(tmp_path / "traces.db")
        yield reader
        if reader.under_test is not reader:
            asyncio.run(reader.under_test.aclose())


@contextlib.contextmanager
def listening(routers):
    """Serve routers, each below a path of its own, a thread for each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            name, action = self.path.strip("/").split("/")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            if action == "invoke":
                answer = routers[name].handle_invoke(body)
                self.wfile.write(json.dumps(answer).encode())
            else:
                for event in routers[name].handle_stream(body):
                    self.wfile.write(event.encode())

        def log_message(self, *what): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with httpx.Client(
                verify=False, base_url=f"http://127.0.0.1:{server.server_port}"
            ) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def events(response):
    """The JSON events of a stream."""
    data = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [json.loads(text) for text in data if text != "[DONE]"]


class TestAgentRouter:
    def test_invoke(self, store):
        router = persist_traces(AgentRouter(agent(FLAKY)), store.under_test)
        with listening({"desk": router}) as client:
            answer = client.post("/desk/invoke", json=QUESTION).json()
        trace = store.load(answer["run_id"])
        assert answer["content"] == "Rain, and the gear is broken."
        assert (
            sum(s.prompt_tokens + s.completion_tokens for s in trace.filter(type="llm_call"))
            == (answer["tokens"])
        )
        assert [s.tool_name for s in trace.filter(type="tool_selection")] == [
            call["tool_name"] for call in answer["tool_calls"]
        ]

    def test_stream(self, store):
        router = persist_traces(AgentRouter(agent(["Fine."])), store.under_test)
        with listening({"desk": router}) as client:
            told = events(client.post("/desk/stream", json=QUESTION))
        (result,) = [event for event in told if event["type"] == "result"]
        assert result["content"] == "Fine."
        assert store.load(result["run_id"]).filter(type="llm_call")

    def test_errors_name_their_run_too(self, store):
        router = persist_traces(AgentRouter(agent([ValueError("boom")])), store.under_test)
        with listening({"desk": router}) as client:
            answer = client.post("/desk/invoke", json=QUESTION).json()
        assert (answer["error"], answer["type"]) == ("boom", "ValueError")
        assert store.load(answer["run_id"]).filter(type="error")[0].error == "ValueError: boom"

    def test_a_request_that_runs_nothing_names_no_run(self, store):
        router = persist_traces(AgentRouter(agent(["Fine."])), store.under_test)
        with listening({"desk": router}) as client:
            assert client.post("/desk/invoke", json={}).json() == {"error": "prompt is required"}
            assert events(client.post("/desk/stream", json={})) == [{"error": "prompt is required"}]
        assert store.count() == 0

    def test_several_agents_and_many_requests_at_once(self, store):
        routers = {
            name: persist_traces(
                AgentRouter(agent([f"From {name}."], trace_metadata={"agent": name})),
                store.under_test,
            )
            for name in ("north", "south", "west")
        }
        with listening(routers) as client, ThreadPoolExecutor(8) as pool:

            def ask(number):
                name = list(routers)[number % 3]
                if number % 2:
                    return name, client.post(f"/{name}/invoke", json=QUESTION).json()
                return name, events(client.post(f"/{name}/stream", json=QUESTION))[-1]

            answers = list(pool.map(ask, range(36)))
        assert len({answer["run_id"] for _, answer in answers}) == 36 == store.count()
        for name, answer in answers:
            assert answer["content"] == f"From {name}."
            assert store.load(answer["run_id"]).metadata == {"agent": name}

    def test_a_stream_that_is_left(self, store):
        served = agent(["Fine."])
        stream = persist_traces(AgentRouter(served), store.under_test).handle_stream(QUESTION)
        assert json.loads(next(stream).removeprefix("data: "))["run_id"]
        stream.close()
        (observer,) = served.config.observers
        assert observer.flush(30)
        assert store.count() == 1

    def test_an_agent_that_saves_there_already_saves_once(self, store):
        observer = TraceSavingObserver(store)
        served = agent(["Fine."], observer)
        router = persist_traces(persist_traces(AgentRouter(served), store), store)
        answer = router.handle_invoke(QUESTION)
        assert served.config.observers == [observer]
        assert store.load(answer["run_id"])
        assert observer.saved == 1

    def test_a_store_that_fails_does_not_break_the_response(self):
        failed = []
        router = persist_traces(
            AgentRouter(agent(["Fine."])), Refusing(), on_error=lambda *what: failed.append(what)
        )
        answer = router.handle_invoke(QUESTION)
        assert answer["content"] == "Fine."
        assert [trace.run_id for _, trace in failed] == [answer["run_id"]]


def test_what_cannot_be_served_is_refused():
    with InMemoryTraceStore() as store, pytest.raises(TypeError, match="not Agent"):
        persist_traces(agent(["Fine."]), store)


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from selectools.serve import create_app
from selectools_agents import FLAKY, agent
from selectools_observe import SQLiteTraceStore
from selectools_observe.integrations.selectools import persist_traces

app = create_app(agent(FLAKY), host="127.0.0.1", port=int(sys.argv[3]))
persist_traces(app, SQLiteTraceStore(sys.argv[2])).serve()
"""


def test_create_app(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    with subprocess.Popen(
        [*command, tmp_path / "traces.db", str(port)], stdout=subprocess.DEVNULL
    ) as server:
        try:
            with httpx.Client(verify=False, base_url=f"http://127.0.0.1:{port}") as client:
                wait_until_up(client)
                answer = client.post("/invoke", json=QUESTION).json()
                with client.stream("POST", "/stream", json=QUESTION) as response:
                    # selectools keeps the connection open after the last event.
                    first = next(response.iter_lines()).removeprefix("data: ")
                streamed = json.loads(first)
        finally:
            server.kill()
    with SQLiteTraceStore(tmp_path / "traces.db") as store:
        assert {s.run_id for s in store.list()} == {answer["run_id"], streamed["run_id"]}
        assert store.load(answer["run_id"]).filter(type="llm_call")[0].extra["retries"]


def wait_until_up(client):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            client.get("/health")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server did not start")


class TestAgentAPI:
    @pytest.fixture
    def serve(self, store):
        pytest.importorskip("starlette", reason="starlette is not installed")
        uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")
        from selectools.serve import AgentAPI

        with contextlib.ExitStack() as stack:

            def start(*agents):
                app = persist_traces(AgentAPI(agents=list(agents)), store.under_test)
                config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
                server = uvicorn.Server(config)
                ready = threading.Event()

                async def serve():
                    with socket.socket() as listener:
                        listener.bind(("127.0.0.1", 0))
                        serve.port = listener.getsockname()[1]
                        ready.set()
                        await server.serve(sockets=[listener])

                thread = threading.Thread(target=asyncio.run, args=(serve(),))
                thread.start()
                stack.callback(thread.join)
                stack.callback(vars(server).update, should_exit=True)
                assert ready.wait(60)
                client = httpx.Client(
                    verify=False, base_url=f"http://127.0.0.1:{serve.port}", timeout=60
                )
                wait_until_up(stack.enter_context(client))
                return client

            yield start

    def test_chat(self, serve, store):
        client = serve(agent(FLAKY))
        response = client.post("/v1/chat", json=CHAT)
        answer = response.json()
        assert answer["output"] == "Rain, and the gear is broken."
        assert response.headers["x-run-id"] == answer["run_id"]
        trace = store.load(answer["run_id"])
        calls = trace.filter(type="llm_call")
        assert sum(s.prompt_tokens for s in calls) == answer["usage"]["prompt_tokens"]
        assert sum(s.cost_usd for s in calls) == answer["usage"]["cost_usd"]

    def test_stream(self, serve, store):
        client = serve(agent(FLAKY[1:], streaming=True))
        told = events(client.post("/v1/chat/stream", json=CHAT))
        assert [event["type"] for event in told] == [*["chunk"] * 6, "result"]
        assert told[0]["run_id"] == told[-1]["run_id"]
        trace = store.load(told[-1]["run_id"])
        assert [s.tool_name for s in trace.filter(type="tool_execution")] == ["weather"]

    def test_errors(self, serve, store):
        client = serve(agent([ValueError("boom")], streaming=True))
        response = client.post("/v1/chat", json=CHAT)
        assert response.status_code == 500
        assert response.json()["error"]["type"] == "ValueError"
        (told,) = events(client.post("/v1/chat/stream", json=CHAT))
        failed = {s.run_id for s in store.query(TraceFilter(has_error=True))}
        assert failed == {response.json()["run_id"], told["run_id"]}

    def test_a_client_that_goes_away(self, serve, store):
        class Endless(Scripted):
            async def astream(self, **_):
                while True:
                    await asyncio.sleep(0.01)
                    yield "More."

        served = agent([])
        served.provider = Endless([], streaming=True)
        with serve(served).stream("POST", "/v1/chat/stream", json=CHAT) as response:
            first = next(response.iter_lines()).removeprefix("data: ")
        run_id = json.loads(first)["run_id"]
        deadline = time.monotonic() + 60
        while not store.count() and time.monotonic() < deadline:
            time.sleep(0.02)
        trace = store.load(run_id)
        assert trace.metadata == {"user": "ada"}
        assert [step.type.value for step in trace] == ["llm_call", "cancelled"]

    def test_responses_without_a_run_are_as_they_were(self, serve, store):
        client = serve(agent(["Fine."]))
        assert client.post("/v1/chat", json={}).status_code == 422
        response = client.get("/v1/health")
        assert "x-run-id" not in response.headers
        assert response.json()["status"] == "ok"
        assert store.count() == 0

    def test_several_agents_and_many_requests_at_once(self, serve, store):
        names = ["north", "south", "west"]
        client = serve(*[agent([f"From {n}."], name=n, trace_metadata={"agent": n}) for n in names])

        def ask(number):
            name = names[number % 3]
            body = {**CHAT, "agent": name}
            if number % 2:
                return name, client.post("/v1/chat", json=body).json()
            return name, events(client.post("/v1/chat/stream", json=body))[-1]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(36)))
        assert len({answer["run_id"] for _, answer in answers}) == 36 == store.count()
        for name, answer in answers:
            assert answer["output"] == f"From {name}."
            assert store.load(answer["run_id"]).metadata == {"agent": name}
