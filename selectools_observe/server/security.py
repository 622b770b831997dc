"""The guard in front of every route: authentication, origins, host names, security headers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .entrance import Guesses
from .responses import Problem

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(:[0-9]{1,5})?")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
LONGEST_HEADERS = 32 * 1024  # bytes of a request line and its headers
_LONGEST_PATH = 8 * 1024  # characters

_SECURITY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Rules:
    """Who may ask.

    Attributes:
        token: What a client must know; None if anybody who reaches the service may ask.
        allowed_hosts: Names by which it may be called, besides ``localhost`` and IP addresses;
            ``*.example.org`` for all under it, ``*`` for any.
        allowed_origins: Sites, such as ``https://example.org``, whose pages may ask too.
    """

    token: str | None = None
    allowed_hosts: Collection[str] = ()
    allowed_origins: Collection[str] = ()


class Guard:
    """The ASGI app in front of the routes."""

    def __init__(
        self, app: ASGIApp, rules: Rules, *, open_paths: Collection[str], guesses: Guesses
    ) -> None:
        self._app = app
        self._rules = rules
        self._open_paths = open_paths
        self._guesses = guesses
        self._hosts = {name.lower().rstrip(".") for name in rules.allowed_hosts}
        self._origins = {_canonical(origin) for origin in rules.allowed_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no WebSockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        path = path_of(scope)
        send = _with_headers(send, is_page=not path.startswith(("/api/", "/v1/", "/health")))
        try:
            await self._check(scope, path)
        except Problem as problem:
            if _has_body(scope):  # which nobody will read
                problem.headers["Connection"] = "close"
            await problem.response()(scope, receive, send)
            return
        root: str = scope.get("root_path", "")
        await self._app({**scope, "path": root + path}, receive, send)

    async def _check(self, scope: Scope, path: str) -> None:
        headers = Headers(scope=scope)
        _check_head(scope, headers)
        if len(path) > _LONGEST_PATH:
            raise Problem(414, "too_large", "The path is too long")
        self._check_host(headers.getlist("host"))
        self._check_site(headers, scope["method"])
        if path not in self._open_paths and not is_known(scope, self._rules.token):
            if "authorization" in headers:
                await wrong_guess(self._guesses, scope)
            raise Problem(
                401,
                "unauthorized",
                "A token is required",
                "Send Authorization: Bearer TOKEN, or open /?token=TOKEN in the browser once",
                {"WWW-Authenticate": 'Bearer realm="selectools-observe"'},
            )

    def _check_host(self, hosts: Sequence[str]) -> None:
        found = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if found and self._is_ours(found[1].rstrip(".")):
            return
        raise Problem(
            421,
            "unknown_host",
            "Unknown host name",
            "Use localhost, an IP address, or a name listed in allowed_hosts",
        )

    def _is_ours(self, name: str) -> bool:
        if name == "localhost" or name in self._hosts or "*" in self._hosts:
            return True
        # No name leads there, so none can be made to lead elsewhere.
        if _is_address(name.strip("[]")):
            return True
        parents = name.split(".")
        return any("*." + ".".join(parents[n:]) in self._hosts for n in range(1, len(parents)))

    def _check_site(self, headers: Headers, method: str) -> None:
        origins = headers.getlist("origin")
        ours = {_canonical(f"{scheme}://{headers['host']}") for scheme in ("http", "https")}
        if any(_canonical(origin) not in ours | self._origins for origin in origins):
            raise _cross_site()
        site = headers.get("sec-fetch-site", "same-origin")
        if origins or site in {"same-origin", "none"}:
            return
        is_visit = headers.get("sec-fetch-mode") == "navigate" and method in {"GET", "HEAD"}
        # A link that leads to the page is no harm; anything else of another site is not asked for.
        if not (is_visit and headers.get("sec-fetch-dest") == "document"):
            raise _cross_site()


async def wrong_guess(guesses: Guesses, scope: Scope) -> None:
    """Wait, after a wrong token.

    Raises:
        Problem: Too many wrong ones come at once.
    """
    client = scope.get("client")
    if not await guesses.wrong(client[0] if client else ""):
        remedy = "Try again later, with the right token"
        raise Problem(429, "busy", "Too many wrong tokens", remedy, {"Retry-After": "5"})


def check_token(token: str) -> None:
    """Refuse a token that no client could show.

    Raises:
        ValueError: A header cannot carry it.
    """
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise ValueError(
            "a token must be of printable ASCII characters without blanks, since a header carries "
            'it: make one with: python -c "import secrets; print(secrets.token_urlsafe())"'
        )


def _check_head(scope: Scope, headers: Headers) -> None:
    size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size + len(scope.get("query_string", b"")) > LONGEST_HEADERS:
        message = f"A request line and its headers may have {LONGEST_HEADERS} bytes"
        raise Problem(431, "too_large", message, "Send less", {"Connection": "close"})
    if "transfer-encoding" in headers and "content-length" in headers:
        # A proxy in front may have taken the other one: what follows could be anybody's request.
        message = "The request has both Content-Length and Transfer-Encoding"
        raise Problem(400, "invalid_request", message, None, {"Connection": "close"})


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def is_known(scope: Scope, token: str | None) -> bool:
    """Whether a request shows the token, or a cookie that was given for it."""
    if token is None:
        return True
    connection = HTTPConnection(scope)
    given = connection.headers.getlist("authorization")
    if given:
        scheme, _, shown = given[0].partition(" ")
        return len(given) == 1 and scheme.lower() == "bearer" and is_equal(shown.strip(), token)
    cookie = connection.cookies.get(cookie_of(token))
    return cookie is not None and is_equal(cookie, session_of(token))


def is_equal(shown: str, secret: str) -> bool:
    """Whether two texts are the same, in a time that tells nothing."""
    return hmac.compare_digest(
        shown.encode("utf-8", "surrogatepass"), secret.encode("utf-8", "surrogatepass")
    )


def session_of(token: str) -> str:
    """What a cookie holds: it opens what the token opens and does not tell it."""
    return hmac.new(token.encode(), b"selectools-observe session", hashlib.sha256).hexdigest()


def cookie_of(token: str) -> str:
    """The name of that cookie: services on two ports of one machine share their cookies."""
    return f"selectools_observe_{session_of(session_of(token))[:8]}"


def path_of(scope: Scope) -> str:
    """The path below where the app is mounted, as it was sent: percent-encoded.

    A run id may hold a slash, which the decoded path no longer tells from the others.
    """
    root: str = scope.get("root_path", "")
    raw = scope.get("raw_path")
    path: str = scope["path"]
    sent = raw.decode("latin-1") if isinstance(raw, bytes) else quote(path)
    prefix = quote(root)
    below = sent.removeprefix(prefix) if sent.startswith(prefix) else quote(path.removeprefix(root))
    return _ENCODED.sub(_decoded_if_plain, below)


def _decoded_if_plain(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _canonical(origin: str) -> str:
    """An origin as browsers write it: without the port that its scheme means anyhow."""
    origin = origin.lower().rstrip("/")
    return origin.removesuffix(":443" if origin.startswith("https:") else ":80")


def _cross_site() -> Problem:
    return Problem(403, "cross_site", "Cross-site requests are not allowed")


def _with_headers(send: Send, *, is_page: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            # A page that was upgraded must not run the old script.
            headers.setdefault("cache-control", "no-cache" if is_page else "no-store")
        await send(message)

    return sending
