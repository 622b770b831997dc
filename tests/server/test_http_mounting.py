"""The service as a part of another app."""

from __future__ import annotations

import contextlib
import threading

import httpx
import pytest
from served import TOKEN, run_of
from starlette.applications import Starlette
from starlette.routing import Mount

from selectools_observe import InMemoryTraceStore
from selectools_observe.server import create_app
from selectools_observe.server.security import cookie_of


def client_of(app, **options):
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", **options)


@pytest.fixture
def store():
    kept = InMemoryTraceStore()
    kept.save_many([run_of("a"), run_of("b/c")])
    return kept


def starlette(prefix, app):
    return Starlette(routes=[Mount(prefix, app)])


def fastapi(prefix, app):
    outer = pytest.importorskip("fastapi", reason="FastAPI is not installed").FastAPI()
    outer.mount(prefix, app)
    return outer


@pytest.mark.parametrize("framework", [starlette, fastapi])
@pytest.mark.parametrize("prefix", ["/observe", "/deep/er", "/with space"])
async def test_under_a_prefix(store, framework, prefix):
    async with client_of(framework(prefix, create_app(store))) as client:
        listed = (await client.get(f"{prefix}/api/traces")).json()
        assert [run["run_id"] for run in listed["traces"]] == ["b/c", "a"]
        assert (await client.get(f"{prefix}/api/traces/b%2Fc")).json()["run_id"] == "b/c"
        assert (await client.get(f"{prefix}/api/traces/b%2Fc/steps/0")).status_code == 200
        assert (await client.get(f"{prefix}/")).status_code == 200
        document = (await client.get(f"{prefix}/api/openapi.json")).json()
        assert document["servers"] == [{"url": prefix}]
        saved = await client.post(f"{prefix}/api/traces", json=run_of("new").to_dict())
        assert saved.status_code == 201
        assert store.load("new") == run_of("new")
        refused = await client.get(f"{prefix}/api/traces", headers={"Host": "evil.example"})
        assert refused.status_code == 421
        assert (await client.get("/api/traces")).status_code == 404


async def test_the_page_without_its_slash(store):
    async with client_of(starlette("/observe", create_app(store))) as client:
        response = await client.get("/observe")
        assert (response.status_code, response.headers["location"]) == (
            307, "http://localhost/observe/",
        )  # fmt: skip


async def test_links_of_the_page_are_relative(store):
    async with client_of(starlette("/observe", create_app(store))) as client:
        text = (await client.get("/observe/")).text
        assert 'src="/' not in text
        assert 'href="/' not in text


async def test_the_cookie_is_for_the_prefix_only(store):
    app = starlette("/observe", create_app(store, token=TOKEN))
    async with client_of(app) as client:
        assert (await client.get("/observe/api/about")).status_code == 401
        entered = await client.get("/observe/", params={"token": TOKEN})
        assert 'url=./"' in entered.text
        (cookie,) = client.cookies.jar
        assert (cookie.name, cookie.path) == (cookie_of(TOKEN), "/observe/")
        assert (await client.get("/observe/api/about")).status_code == 200


async def test_beside_selectools(store):
    serve = pytest.importorskip("selectools.serve", reason="selectools is not installed")
    pytest.importorskip("selectools.serve.api", reason="this selectools has no AgentAPI")
    from scripted import make_agent

    app = Starlette(
        routes=[
            Mount("/observe", create_app(store)),
            Mount("/", serve.AgentAPI(agents=make_agent())),
        ]
    )
    async with client_of(app) as client:
        assert (await client.get("/v1/health")).status_code == 200
        assert (await client.get("/observe/health")).json()["status"] == "ok"
        assert len((await client.get("/observe/api/traces")).json()["traces"]) == 2


async def test_live_events_need_no_lifespan(store):
    """A mounted app is not told that the server starts or stops."""
    app = create_app(store, live_interval=0.01)
    sent = []
    is_told = threading.Event()

    async def send(message):
        sent.append(message.get("body", b""))
        if b"event: trace" in sent[-1]:
            is_told.set()

    async def receive():
        import asyncio

        if len(sent) > 1:
            store.save(run_of("new"))
        while not is_told.is_set():
            await asyncio.sleep(0.01)
            if len(sent) == 2 and store.count() == 2:
                store.save(run_of("new"))
        return {"type": "http.disconnect"}

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/api/live", "raw_path": b"/api/live", "query_string": b"",
        "root_path": "", "headers": [(b"host", b"localhost")], "server": ("localhost", 80),
    }  # fmt: skip
    with contextlib.suppress(TimeoutError):
        await app(scope, receive, send)
    assert b'"run_id":"new"' in b"".join(sent)
    await app.aclose()
