"""Each thing the service promises about who may ask, attacked."""

from __future__ import annotations

import contextlib
import re
import socket
import urllib.parse

import httpx
import pytest
from served import TOKEN, run_of, serving

from selectools_observe import InMemoryTraceStore, StorageError, StoreClosedError
from selectools_observe.server import entrance
from selectools_observe.server import service as running
from selectools_observe.server.security import cookie_of, session_of
from selectools_observe.testing.samples import make_trace

EVERY_ROUTE = [
    ("GET", "/api/about"), ("GET", "/api/openapi.json"), ("GET", "/api/traces"),
    ("POST", "/api/traces"), ("GET", "/api/count"), ("GET", "/api/histogram"),
    ("GET", "/api/stats"), ("GET", "/api/compare?one=a&other=b"), ("GET", "/api/live"),
    ("GET", "/api/compare/steps?one=a&other=b&left=0&right=0"),
    ("GET", "/api/compare/runs?run_ids=a"),
    ("GET", "/api/traces/a/candidates"),
    ("GET", "/api/traces/a"), ("DELETE", "/api/traces/a"), ("GET", "/api/traces/a/children"),
    ("GET", "/api/traces/a/steps/0"), ("POST", "/v1/traces"), ("GET", "/static/app.js"),
    ("GET", "/nothing"), ("OPTIONS", "/api/traces"), ("PUT", "/api/traces/a"),
]  # fmt: skip


@pytest.fixture(scope="module")
def open_service():
    """A service without a token, for whoever reaches it."""
    with serving(InMemoryTraceStore()) as service:
        yield service


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """How long wrong guesses wait has tests of its own."""
    monkeypatch.setattr(entrance, "_EACH", 0.0)


@pytest.fixture(scope="module")
def guarded():
    """A service with a token."""
    store = InMemoryTraceStore()
    store.save(run_of("a"))
    with serving(store, token=TOKEN) as service:
        yield service


def spoken(port: int, request: bytes) -> bytes:
    """What a server answers to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
        return answer


class TestToken:
    @pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
    def test_no_route_answers_without_it(self, guarded, method, path):
        response = guarded.client.request(method, path)
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "unauthorized"
        assert response.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        "shown",
        [
            f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Bearer {TOKEN.upper()}",
            "Bearer", TOKEN, f"Basic {TOKEN}", "", f"Token {TOKEN}", f"Bearer {TOKEN}, Bearer x",
        ],
    )  # fmt: skip
    def test_anything_else_is_refused(self, guarded, shown):
        assert guarded.get("/api/about", headers={"Authorization": shown}).status_code == 401

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_it_opens(self, guarded, scheme):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        assert guarded.get("/api/about", headers=headers).status_code == 200

    def test_two_of_them_are_refused(self, guarded):
        headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
        assert guarded.client.get("/api/about", headers=headers).status_code == 401

    def test_bytes_that_are_no_text_are_refused(self, guarded):
        headers = [(b"Authorization", b"Bearer \xff\xfe")]
        assert guarded.client.get("/api/about", headers=headers).status_code == 401

    def test_it_is_no_query_parameter_of_the_api(self, guarded):
        assert guarded.get(f"/api/about?token={TOKEN}").status_code == 401

    def test_health_needs_none(self, guarded):
        assert guarded.get("/health").json()["status"] == "ok"

    def test_it_is_compared_in_constant_time(self, guarded, monkeypatch):
        """Not by ==: what is compared goes through `hmac.compare_digest`."""
        from selectools_observe.server import security as guard

        seen = []

        def compare(one, other):
            seen.append((one, other))
            return False

        monkeypatch.setattr(guard.hmac, "compare_digest", compare)
        assert (
            guarded.get("/api/about", headers={"Authorization": f"Bearer {TOKEN}"}).status_code
            == 401
        )
        assert seen == [(TOKEN.encode(), TOKEN.encode())]


class TestLogin:
    def test_the_page_asks_for_it(self, guarded):
        response = guarded.get("/")
        assert (response.status_code, response.headers["content-type"]) == (
            401,
            "text/html; charset=utf-8",
        )
        assert 'type="password"' in response.text

    @pytest.mark.parametrize("way", ["link", "form"])
    def test_a_cookie_remembers_it(self, guarded, way):
        with httpx.Client(verify=False, base_url=guarded.client.base_url) as browser:
            if way == "link":
                response = browser.get("/", params={"token": TOKEN})
            else:
                response = browser.post("/login", data={"token": TOKEN})
            assert response.status_code == 200
            assert 'http-equiv="refresh"' in response.text
            cookie = response.headers["set-cookie"]
            assert re.search(r"; HttpOnly", cookie)
            assert re.search(r"; SameSite=strict", cookie)
            assert re.search(r"; Path=/(;|$)", cookie)
            assert TOKEN not in cookie
            assert TOKEN not in response.text
            assert response.headers["cache-control"] == "no-store"
            assert browser.get("/api/about").status_code == 200
            assert browser.get("/").status_code == 200

    def test_over_tls_the_cookie_is_for_tls_only(self, guarded):
        host = guarded.client.base_url.netloc.decode()
        response = guarded.client.post(
            "/login", data={"token": TOKEN}, headers={"Origin": f"https://{host}"}
        )
        assert "; Secure" in response.headers["set-cookie"]
        guarded.client.cookies.clear()

    @pytest.mark.parametrize("shown", ["", "wrong", TOKEN + "x"])
    def test_a_wrong_one_gets_no_cookie(self, guarded, shown):
        for response in (
            guarded.get("/", params={"token": shown}),
            guarded.client.post("/login", data={"token": shown}),
        ):
            assert response.status_code == 401
            assert "set-cookie" not in response.headers

    @pytest.mark.parametrize("value", [TOKEN, "", "x", session_of("another")])
    def test_a_forged_cookie_opens_nothing(self, guarded, value):
        with httpx.Client(verify=False, base_url=guarded.client.base_url) as browser:
            browser.cookies.set(cookie_of(TOKEN), value)
            assert browser.get("/api/about").status_code == 401

    def test_a_wrong_header_is_not_mended_by_a_cookie(self, guarded):
        cookies = {cookie_of(TOKEN): session_of(TOKEN)}
        with httpx.Client(
            verify=False, base_url=guarded.client.base_url, cookies=cookies
        ) as browser:
            assert browser.get("/api/about").status_code == 200
            wrong = browser.get("/api/about", headers={"Authorization": "Bearer x"})
            assert wrong.status_code == 401

    def test_a_form_of_another_site_gets_nothing(self, guarded):
        response = guarded.client.post(
            "/login", data={"token": TOKEN}, headers={"Origin": "https://evil.example"}
        )
        assert response.status_code == 403

    def test_a_huge_form_is_refused(self, guarded):
        response = guarded.client.post("/login", data={"token": "x" * 100_000})
        assert response.status_code == 413


class TestHost:
    """DNS rebinding: a name of the attacker's leads to 127.0.0.1, and his page asks by that."""

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example", "evil.example:8600", "localhost.evil.example", "127.0.0.1.evil.example",
            "localhost@evil.example", "2130706433", "0x7f.1", "127.1", "localhost:8600:1", "",
            "[::1", "::1", "[evil.example]", "localhost/", "local host", "127.0.0.1:x", "..",
        ],
    )  # fmt: skip
    def test_other_names_are_refused(self, open_service, host):
        for method, path in (("GET", "/"), ("GET", "/health"), *EVERY_ROUTE[:6]):
            request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            status = spoken(open_service.port, request.encode()).split(b" ", 2)[1]
            assert status in {b"421", b"400"}, (host, path)

    @pytest.mark.parametrize(
        "host",
        ["localhost", "LocalHost:1", "127.0.0.1", "[::1]:8600", "192.168.1.7:80", "localhost."],
    )
    def test_no_name_of_an_attacker_is_one_of_these(self, open_service, host):
        assert open_service.get("/health", headers={"Host": host}).status_code == 200

    def test_two_hosts_are_refused(self, open_service):
        hosts = b"Host: localhost\r\nHost: evil.example\r\n"
        request = b"GET /health HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n"
        assert spoken(open_service.port, request).split(b" ", 2)[1] in {b"400", b"421"}

    def test_no_host_is_refused(self, open_service):
        assert b" 421 " in spoken(open_service.port, b"GET /health HTTP/1.0\r\n\r\n")[:20]

    def test_names_that_are_allowed(self):
        allowed = ["Runs.Example.org", "*.inner.example"]
        with serving(InMemoryTraceStore(), allowed_hosts=allowed) as service:
            for host, status in (
                ("runs.example.org", 200), ("runs.example.org:8600", 200), ("a.inner.example", 200),
                ("a.b.inner.example", 200), ("inner.example", 421), ("xruns.example.org", 421),
                ("example.org", 421), ("evilinner.example", 421), ("localhost", 200),
            ):  # fmt: skip
                assert service.get("/health", headers={"Host": host}).status_code == status, host

    def test_any_name_may_be_allowed(self):
        with serving(InMemoryTraceStore(), allowed_hosts=["*"]) as service:
            assert service.get("/health", headers={"Host": "any.example"}).status_code == 200


class TestOtherSites:
    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "file://",
            "http://127.0.0.1.evil.example", "", "chrome-extension://abc",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(("method", "path"), EVERY_ROUTE[:12])
    def test_their_pages_may_not_ask(self, open_service, origin, method, path):
        response = open_service.client.request(method, path, headers={"Origin": origin})
        assert response.status_code == 403
        assert response.json()["error"]["type"] == "cross_site"
        assert "access-control-allow-origin" not in response.headers

    def test_our_own_page_may(self, open_service):
        origin = f"http://127.0.0.1:{open_service.port}"
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        sent = open_service.client.post(
            "/api/traces", json=run_of("own").to_dict(), headers=headers
        )
        assert sent.status_code == 201

    def test_a_site_that_is_allowed(self):
        with serving(InMemoryTraceStore(), allowed_origins=["https://tools.example"]) as service:
            for origin, status in (("https://tools.example", 200), ("http://tools.example", 403)):
                response = service.get("/api/traces", headers={"Origin": origin})
                assert response.status_code == status

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_their_images_and_scripts_get_nothing(self, open_service, site):
        for mode, kind in (("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"),
                           ("navigate", "iframe"), ("navigate", "embed")):  # fmt: skip
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": kind}
            assert open_service.get("/api/traces", headers=headers).status_code == 403

    def test_their_links_lead_to_the_page(self, open_service):
        headers = {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        }
        assert open_service.get("/", headers=headers).status_code == 200
        assert open_service.client.post("/login", headers=headers).status_code == 403

    def test_a_form_cannot_save(self, open_service):
        """An old browser sends a form without Origin: its types are none that we take."""
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""):
            response = open_service.client.post(
                "/api/traces", content=b'{"steps": []}', headers={"Content-Type": kind}
            )
            assert response.status_code == 415

    def test_a_preflight_is_not_answered(self, open_service):
        headers = {"Access-Control-Request-Method": "POST"}
        response = open_service.client.options("/api/traces", headers=headers)
        assert response.status_code == 405
        assert not [name for name in response.headers if name.startswith("access-control")]


class TestHeaders:
    @pytest.mark.parametrize(
        "path",
        ["/", "/api/traces", "/nothing", "/static/nothing.js", "/api/traces?bad=1", "/health"],
    )
    def test_every_answer_is_hardened(self, open_service, path):
        headers = open_service.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["base-uri"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        is_page = path in {"/", "/static/nothing.js", "/nothing"}
        assert headers["cache-control"] == ("no-cache" if is_page else "no-store")
        assert "server" not in headers

    def test_also_when_refused(self, guarded):
        for response in (
            guarded.get("/api/traces"),
            guarded.get("/"),
            guarded.get("/health", headers={"Host": "evil.example"}),
        ):
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in response.headers["content-security-policy"]


class TestPaths:
    """Nothing of the server's file system is told or given."""

    @pytest.mark.parametrize(
        "path",
        [
            "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "//etc/passwd",
            "/static//etc/passwd", "/static/..\\app.py", "/static/%00", "/static/", "/static",
            "/static/....//app.py", "/../../etc/passwd", "/static/" + "a/" * 3000,
            "/static/" + "a" * 300,
        ],
    )  # fmt: skip
    def test_nothing_but_the_page_is_given(self, open_service, path):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = spoken(open_service.port, request.encode())
        assert answer.split(b" ", 2)[1] in {b"404", b"414", b"405"}, answer[:200]
        assert b"import" not in answer
        assert b"root:" not in answer

    def test_no_error_names_a_file(self, store, serve, path):
        store.save_many([run_of("good"), run_of("damaged")])
        service = serve()
        spoil(path, "damaged")
        for address in (
            "/api/traces/damaged", "/api/traces/damaged/steps/0", "/api/traces/absent",
            "/api/compare?one=damaged&other=good", "/api/traces?cursor=x", "/api/traces?limit=x",
        ):  # fmt: skip
            response = service.get(address)
            assert response.status_code in {400, 404, 500}
            assert_nothing_leaks(response, path)

    @pytest.mark.parametrize("text", ["/srv/secret/runs.db", "C:\\secret\\runs.db"])
    def test_no_failure_of_the_store_names_a_file(self, text):
        for error in (
            StorageError(text, f"opening {text} failed ({text})", f"Look at {text}"),
            StorageError(text, f"the disk is full ({text})", "Free some"),
            StoreClosedError(text),
            RuntimeError(text),
            OSError(2, "No such file", text),
            KeyError(text),
        ):
            with serving(Failing(error)) as service:
                for method, address in EVERY_ROUTE[:13]:
                    if address.startswith(("/api/live", "/api/openapi")):
                        continue
                    body = run_of("x").to_dict() if method == "POST" else None
                    response = service.client.request(method, address, json=body)
                    assert response.status_code == (503 if "Stor" in type(error).__name__ else 500)
                    assert "secret" not in response.text
                    assert "Traceback" not in response.text


class Failing:
    """A store of which every method fails."""

    def __init__(self, error):
        self.error = error

    async def save(self, trace):
        raise self.error

    async def load(self, run_id):
        raise self.error

    async def list(self, limit=50, offset=0):
        raise self.error

    async def query(self, filters):
        raise self.error

    async def delete(self, run_id):
        raise self.error


def spoil(path, run_id):
    """Damage a stored run behind the store's back."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        changed = connection.execute(
            "UPDATE traces SET trace_json = substr(trace_json, 1, 30) WHERE run_id = ?", (run_id,)
        )
        assert changed.rowcount == 1


def assert_nothing_leaks(response, path):
    text = urllib.parse.unquote(response.text + str(response.headers))
    for secret in (str(path), path.name, str(path.parent), "site-packages", ".py", "sqlite"):
        assert secret not in text


class TestReadOnly:
    def test_nothing_can_be_changed(self, store, serve):
        store.save(run_of("kept"))
        service = serve(read_only=True)
        trace = run_of("new").to_dict()
        for response in (
            service.client.post("/api/traces", json=trace),
            service.client.post(
                "/api/traces", content=b"{}\n", headers={"Content-Type": "application/x-ndjson"}
            ),
            service.client.post("/v1/traces", json={"resourceSpans": []}),
            service.client.delete("/api/traces/kept"),
            service.client.delete("/api/traces/absent"),
        ):
            assert response.status_code == 403
            assert response.json()["error"]["type"] == "read_only"
        assert [summary.run_id for summary in store.list()] == ["kept"]
        assert service.json("/api/about") == {"version": "0.1.0", "read_only": True, "runs": 1}


class TestStarting:
    @pytest.mark.parametrize(
        "host", ["0.0.0.0", "::", "192.168.1.7", "runs.example.org", "127.0.0.1.x", ""]
    )
    def test_no_strangers_without_a_token(self, host, tmp_path):
        with pytest.raises(ValueError, match=r"is reachable from other machines: give a token"):
            running.run(tmp_path / "runs.db", host=host, port=0)
        assert not (tmp_path / "runs.db").exists()

    @pytest.mark.parametrize("token", ["", "short", "x" * 15])
    def test_no_short_token(self, token, tmp_path):
        for host in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(ValueError, match="16 characters or more; make one with: python"):
                running.run(tmp_path / "runs.db", host=host, port=0, token=token)

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]", "LOCALHOST"]
    )
    def test_loopback_needs_none(self, host):
        running.check_access(host, None)

    def test_with_a_token_others_may(self):
        running.check_access("0.0.0.0", TOKEN)


def test_hostile_runs_are_only_data(store, service):
    trace = make_trace(
        "<script>alert(1)</script>", metadata={"<img src=x onerror=alert(1)>": "\x1b[2J"}
    )
    store.save(trace)
    response = service.get("/api/traces")
    assert response.headers["content-type"] == "application/json"
    assert "\x1b" not in response.text


async def test_websockets_are_refused():
    from selectools_observe.server import create_app

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/api/live", "headers": [(b"host", b"localhost")]}
    await create_app(InMemoryTraceStore())(scope, None, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_page_is_served_under_its_own_policy(open_service):
    text = open_service.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"\son\w+=", text)
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
