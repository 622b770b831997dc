"""What selectools serves over HTTP, each run saved and each response carrying its run id."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from ...capture.saver import OnError
from ...extras import needs
from ...model.json_values import is_one_of
from ...protocols import AsyncTraceStore, TraceStore
from .observers import AsyncTraceSavingObserver, TraceSavingObserver
from .runs import runs_begun

with needs("selectools", "persist_traces"):
    from selectools.serve.app import AgentRouter, AgentServer

__all__ = ["persist_traces"]

ServedT = TypeVar("ServedT")
Message: TypeAlias = dict[str, Any]
"""What ASGI applications send and receive."""


def persist_traces(
    served: ServedT, store: TraceStore | AsyncTraceStore, *, on_error: OnError | None = None
) -> ServedT:
    """Have every run that is served saved; return what was given.

    Each response names its run: JSON answers, errors of a run among them, hold ``"run_id"``, and an
    `AgentAPI` sends it as the header ``x-run-id`` too; of a stream of events the first one holds
    it, and those of the types ``result`` and ``error``.

    All agents that ``served`` has now are watched. One that carries an observer for this store
    already keeps that one.

    Args:
        served: An `AgentRouter`, what `create_app` returns, or an `AgentAPI`.
        store: Where runs go, blocking or async; stays the caller's to close.
        on_error: Called with the error and the trace when a run could not be saved; the response
            is sent all the same.

    Raises:
        TypeError: ``served`` is none of these.
    """
    app: Any = served
    if isinstance(app, AgentServer):
        _persist_router(app.router, store, on_error)
    elif isinstance(app, AgentRouter):
        _persist_router(app, store, on_error)
    elif _is_agent_api(app):
        _watch(app.agents.values(), AsyncTraceSavingObserver(store, on_error=on_error))
        if not isinstance(app._app, _NamingRuns):  # noqa: SLF001 - its only way to take middleware
            app._app = _NamingRuns(app._app)  # noqa: SLF001
    else:
        expected = "an AgentRouter, an app of create_app, or an AgentAPI"
        raise TypeError(f"persist_traces takes {expected}, not {type(served).__name__}")
    return served


def _is_agent_api(served: Any) -> bool:
    # Its module needs starlette, which is there if the object is.
    module = sys.modules.get("selectools.serve.api")
    return module is not None and isinstance(served, module.AgentAPI)


def _watch(agents: Iterable[Any], observer: TraceSavingObserver | AsyncTraceSavingObserver) -> None:
    ours = (TraceSavingObserver, AsyncTraceSavingObserver)
    for agent in agents:
        observers = agent.config.observers
        if not any(isinstance(o, ours) and o.store is observer.store for o in observers):
            observers.append(observer)


# AgentRouter


def _persist_router(router: Any, store: Any, on_error: OnError | None) -> None:
    # Blocking: its streams run on an event loop of their own, where nobody else is held up.
    _watch([router.agent], TraceSavingObserver(store, on_error=on_error))
    invoke: Callable[[Message], Message] = router.handle_invoke
    stream: Callable[[Message], Iterator[str]] = router.handle_stream

    def handle_invoke(body: Message) -> Message:
        with _noting_runs([]) as run_ids:
            answer = invoke(body)
        return {**answer, "run_id": run_ids[0]} if run_ids else answer

    def handle_stream(body: Message) -> Iterator[str]:
        events, run_ids = stream(body), list[str]()
        naming = _NamingEvents(run_ids)
        try:
            while True:
                # Not around the loop: between two events the caller's context is its own.
                with _noting_runs(run_ids):
                    event = next(events, None)
                if event is None:
                    return
                yield naming(event)
        finally:
            if hasattr(events, "close"):
                events.close()

    router.handle_invoke, router.handle_stream = handle_invoke, handle_stream


@contextmanager
def _noting_runs(run_ids: list[str]) -> Iterator[list[str]]:
    token = runs_begun.set(run_ids)
    try:
        yield run_ids
    finally:
        runs_begun.reset(token)


class _NamingEvents:
    """Adds the run id to the events of one stream, server-sent events each given whole."""

    def __init__(self, run_ids: list[str]) -> None:
        self._run_ids = run_ids
        self._is_first = True

    def __call__(self, event: str) -> str:
        if not (self._run_ids and event.startswith("data: {")):
            return event
        data = _json_object(event.removeprefix("data: "))
        if data is None or not (self._is_first or is_one_of(data.get("type"), {"result", "error"})):
            return event
        self._is_first = False
        return f"data: {json.dumps({**data, 'run_id': self._run_ids[0]})}\n\n"


def _json_object(text: str | bytes) -> Message | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


# AgentAPI


class _NamingRuns:
    """ASGI middleware: responses to requests that ran an agent name the run."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with _noting_runs([]) as run_ids:
            await self._app(scope, receive, _Response(send, run_ids))


class _Response:
    """Sends one response on, with the run id in it.

    The start of a JSON answer waits for its body: the length changes.
    """

    def __init__(self, send: Any, run_ids: list[str]) -> None:
        self._send = send
        self._run_ids = run_ids
        self._naming = _NamingEvents(run_ids)
        self._start: Message | None = None
        self._body = b""
        self._has_events = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = dict(message["headers"]).get(b"content-type", b"")
            self._has_events = kind.startswith(b"text/event-stream")
            if self._run_ids and kind.startswith(b"application/json"):
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_json(self._start, message)
            return
        elif message["type"] == "http.response.body" and self._has_events:
            event = message.get("body", b"").decode()
            message = {**message, "body": self._naming(event).encode()}
        await self._send(message)

    async def _send_json(self, start: Message, end: Message) -> None:
        run_id, data, body = self._run_ids[0], _json_object(self._body), self._body
        if data is not None:
            body = json.dumps({**data, "run_id": run_id}, ensure_ascii=False).encode()
        headers = [(n, v) for n, v in start["headers"] if n.lower() != b"content-length"]
        headers += [
            (b"content-length", str(len(body)).encode()),
            (b"x-run-id", run_id.encode()),
        ]
        await self._send({**start, "headers": headers})
        await self._send({**end, "body": body})
