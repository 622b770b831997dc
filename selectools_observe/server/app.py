"""The ASGI app: its routes and its guard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

import anyio
import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from ..capture.journal.live_runs import RunningRuns
from ..errors import StorageError
from ..model.limits import DEFAULT_LIMITS, Limits
from ..protocols import AsyncTraceStore, TraceStore
from ..stores.adapters import as_async
from . import event_hub as live
from .openapi.document import document
from .otlp_ingest import Telemetry
from .request_body import Held
from .responses import Problem, answer, problem_of
from .routes import annotations as judging
from .routes import compare as comparing
from .routes import events as streaming
from .routes import ingest as writing
from .routes import login
from .routes import otlp as telemetry
from .routes import retention as keeping
from .routes import stats as overview
from .routes import traces as reading
from .security import Guard, Rules, check_token
from .shared_answers import SharedAnswers
from .state import State, state_of

Endpoint = Callable[[Request], Awaitable[Response]]

MAX_BODY = 20 * 1024 * 1024  # as the OpenTelemetry Collector takes
_PATIENCE = 5  # seconds for a health check
_OPEN = ("/", "/login", "/health")  # they look after themselves


class Service:
    """The ASGI app that `create_app` makes."""

    def __init__(self, state: State, rules: Rules) -> None:
        self._state = state
        app = Starlette(
            routes=_routes(),
            exception_handlers={HTTPException: _http_error},
            lifespan=self._lifespan,
        )
        app.router.redirect_slashes = False
        app.state.shared = state
        self._guarded = Guard(app, rules, open_paths=_OPEN, guesses=state.guesses)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guarded(scope, receive, send)

    def new_code(self) -> str:
        """A code that opens the page once, as ``/?code=...``, in the token's place."""
        return self._state.codes.new()

    @property
    def is_busy(self) -> bool:
        """Whether bodies are being read, or something is made of them."""
        return self._state.bodies.are_held

    def end_streams(self) -> None:
        """End all live streams: they would keep a server from stopping."""
        self._state.hub.close()

    async def aclose(self) -> None:
        """Let go of everything but the store. A server that runs the app itself does this."""
        self.end_streams()
        await anyio.to_thread.run_sync(self._state.telemetry.close)
        await anyio.to_thread.run_sync(self._state.bodies.close)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        anyio.get_cancelled_exc_class()  # loads what the first body would wait for, and others too
        try:
            yield
        finally:
            await self.aclose()


def create_app(
    store: AsyncTraceStore | TraceStore,
    *,
    token: str | None = None,
    read_only: bool = False,
    allowed_hosts: Collection[str] = (),
    allowed_origins: Collection[str] = (),
    max_body: int = MAX_BODY,
    limits: Limits = DEFAULT_LIMITS,
    live_interval: float = live.INTERVAL,
    live_heartbeat: float = live.HEARTBEAT,
) -> Service:
    """The HTTP service as an ASGI app, to run or to mount in another; see ``docs/http.md``.

    Args:
        store: Any store, async or blocking; stays the caller's to close. An async one is better.
        token: What clients must know; None if all who reach the app may ask.
        read_only: Refuse everything that changes the store.
        allowed_hosts: Names by which the app may be called besides ``localhost`` and IP addresses;
            ``*.example.org`` for all under it, ``*`` for any.
        allowed_origins: Sites, such as ``https://example.org``, whose pages may ask too.
        max_body: The most bytes of a body, or of one of its lines; also when unpacked.
        limits: What a body may become in memory: digits, values, depth, steps, lines, metadata.
        live_interval: Seconds between two looks for new runs while somebody listens.
        live_heartbeat: Seconds after which a quiet stream shows that it lives.

    Raises:
        TypeError: ``store`` is no store.
        ValueError: No header can carry the token.
    """
    if token is not None:
        check_token(token)
    whole = as_async(store)
    hub = live.Hub(whole, interval=live_interval, heartbeat=live_heartbeat)
    bodies = Held(max_body, limits)
    state = State(
        store=whole,
        hub=hub,
        telemetry=Telemetry(store, max_body, limits, bodies),
        token=token,
        read_only=read_only,
        max_body=max_body,
        bodies=bodies,
        running=RunningRuns(store),
        answers=SharedAnswers(whole),
        limits=limits,
    )
    return Service(state, Rules(token, allowed_hosts, allowed_origins))


def _routes() -> list[BaseRoute]:
    change = writing.changing
    return [
        _route("/", GET=login.page),
        _route("/login", POST=login.login),
        _route("/health", GET=health),
        _route("/api/about", GET=reading.about),
        _route("/api/openapi.json", GET=openapi),
        _route("/api/traces", GET=reading.list_traces, POST=change(writing.save_traces)),
        _route("/api/prune", POST=change(keeping.prune)),
        _route("/api/count", GET=reading.count),
        _route("/api/search", GET=reading.search),
        _route("/api/running", GET=reading.running),
        _route("/api/histogram", GET=overview.histogram),
        _route("/api/stats", GET=overview.stats),
        _route("/api/groups", GET=overview.groups),
        _route("/api/facets", GET=overview.facets),
        _route("/api/compare", GET=comparing.compare_traces),
        _route("/api/compare/steps", GET=comparing.compare_steps),
        _route("/api/compare/runs", GET=comparing.compare_many),
        _route("/api/live", GET=streaming.live),
        _route("/api/traces/{run_id}", GET=reading.get_trace, DELETE=change(writing.delete_trace)),
        _route("/api/traces/{run_id}/candidates", GET=comparing.candidates),
        _route(
            "/api/traces/{run_id}/annotations",
            GET=judging.list_annotations,
            POST=change(judging.annotate),
            DELETE=change(judging.remove_annotations),
        ),
        _route(
            "/api/traces/{run_id}/annotations/{annotation_id}",
            DELETE=change(judging.remove_annotation),
        ),
        _route("/api/traces/{run_id}/children", GET=reading.children),
        _route("/api/traces/{run_id}/conversation", GET=reading.conversation),
        _route("/api/traces/{run_id}/steps/{index}", GET=reading.get_step),
        _route("/v1/traces", POST=change(telemetry.take_spans)),
        _route("/v1/logs", POST=change(telemetry.take_logs)),
        _route("/v1/metrics", POST=change(telemetry.take_metrics)),
        Mount("/static", StaticFiles(directory=login.STATIC, check_dir=False)),
    ]


def _route(path: str, **endpoints: Endpoint) -> Route:
    """A route whose methods have endpoints of their own, and whose errors are told as JSON."""

    async def answered(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            return await endpoints[method](request)
        except Exception as error:  # noqa: BLE001 - whatever it was, the client is told
            return problem_of(error).response()

    return Route(path, answered, methods=list(endpoints))


async def health(request: Request) -> Response:
    """Health check; it looks at no run, since one may be of any size."""
    state = state_of(request)
    try:
        found = await asyncio.wait_for(state.store.health(), _PATIENCE)
    except TimeoutError:
        message = f"The store did not answer within {_PATIENCE} s"
        raise Problem(503, "storage_unavailable", message) from None
    except StorageError as error:
        problem = problem_of(error)
        if (
            state.token is not None
        ):  # whoever asks here needs none: the server's address is not theirs
            problem.message = "The store is unavailable"
        raise problem from error
    if found.read_only and not state.read_only:
        message = "The store takes no saves: it is read-only, or a standby"
        raise Problem(503, "storage_read_only", message, "Name the primary, or use --read-only")
    return answer({"status": "ok", **msgspec.structs.asdict(found)})


async def openapi(request: Request) -> Response:
    """The document that says all this to programs."""
    has_token = state_of(request).token is not None
    return answer(document(request.scope.get("root_path", ""), has_token=has_token))


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == 405:
        allowed = error.headers or {} if isinstance(error, HTTPException) else {}
        message = f"{request.method} is not allowed here"
        return Problem(405, "method_not_allowed", message, None, dict(allowed)).response()
    return Problem(
        404, "not_found", "Not found", "See api/openapi.json for the endpoints"
    ).response()
