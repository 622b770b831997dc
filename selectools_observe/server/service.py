"""Running the service: uvicorn with limits, checked at the start and stopped gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from types import FrameType
from typing import Protocol
from urllib.parse import quote

import uvicorn
from starlette.types import Receive, Scope, Send

from ..analytics.prices import PriceTable
from ..capture import AsyncProcessingTraceStore
from ..protocols import AsyncTraceStore, TraceStore
from ..runtime.freed_memory import give_back_freed_memory
from ..runtime.garbage import full_collections_when
from ..stores.adapters import as_async
from ..stores.open import open_async_store
from .app import MAX_BODY, create_app
from .connection_limits import LimitedProtocol, most_clients
from .security import LONGEST_HEADERS, check_token

SHORTEST_TOKEN = 16  # characters
_KEEP_ALIVE = 15  # seconds
_GRACE = 5  # seconds for answers under way when the server stops
_ACCEPTED_AT_ONCE = 64  # fewer than the descriptors that are left over
_LEAVING = 16  # connections that make room, and are gone a moment later
_BACKLOG = 512  # connections that wait to be accepted
_SWITCH_INTERVAL = 0.0005  # seconds that a thread keeps the interpreter while the loop wants it
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(
    store: AsyncTraceStore | TraceStore | str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8600,
    *,
    token: str | None = None,
    read_only: bool = False,
    open_browser: bool = False,
    allowed_hosts: Collection[str] = (),
    max_body: int = MAX_BODY,
    prices: PriceTable | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a store until SIGINT or SIGTERM; live streams end then, other answers are finished.

    Args:
        store: A store, which stays the caller's to close, or its name, as
            `selectools_observe.stores.open.open_store` takes it.
        host: The address to listen at.
        port: The port; 0 for any that is free.
        token: What clients must know, 16 characters or more. Needed for an address that others
            than this machine can reach.
        read_only: Refuse everything that changes the store.
        open_browser: Open the page.
        allowed_hosts: As `create_app` takes it; ``host`` and this machine's name are among them.
        max_body: As `create_app` takes it.
        prices: Estimate what model calls of runs that come in cost where nobody reported it.
        on_ready: Called with the page's URL when the service listens; the token is in it.

    Raises:
        ValueError: The address can be reached by others and there is no token, or a short one.
        OSError: The port is taken, or the address is not of this machine; the text says which.
    """
    check_access(host, token)
    with contextlib.closing(listen(host, port)) as listener:
        own_port = listener.getsockname()[1]
        url = url_of(host, own_port, token)

        async def serve() -> None:
            async with _opened(store, must_exist=read_only) as opened:
                served = opened
                if prices is not None:
                    served = AsyncProcessingTraceStore(as_async(opened), prices=prices)
                app = create_app(
                    served,
                    token=token,
                    read_only=read_only,
                    allowed_hosts={*allowed_hosts, *own_names(host)},
                    max_body=max_body,
                )

                def ready() -> None:
                    if on_ready is not None:
                        on_ready(url)
                    if open_browser:
                        # Whoever reads the arguments of processes finds a code that was used.
                        code = "" if token is None else f"?code={app.new_code()}"
                        _open(url_of(host, own_port, None) + code)

                async with full_collections_when(lambda: not app.is_busy):
                    await Server(app, ready).serve([listener])

        give_back_freed_memory()
        with _switching_often():
            asyncio.run(serve())


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    """Threads that compute hand the interpreter over sooner than after Python's 5 ms.

    An answer waits for it several times: the event loop, the store's thread, the loop again.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_INTERVAL))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def check_access(host: str, token: str | None) -> None:
    """Refuse to let strangers in.

    Raises:
        ValueError: There is no token although others can reach the address, or a short one.
    """
    hint = 'make one with: python -c "import secrets; print(secrets.token_urlsafe())"'
    if token is None and not is_loopback(host):
        raise ValueError(
            f"{host} is reachable from other machines: give a token, or listen on 127.0.0.1; {hint}"
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ValueError(f"a token must have {SHORTEST_TOKEN} characters or more; {hint}")
    if token is not None:
        check_token(token)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        OSError: The port is taken, or the address is not one of this machine's.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as error:
        raise OSError(f"{host} is not an address of this machine ({error})") from error
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    # The protocol is named so that asyncio sends small answers at once (TCP_NODELAY).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from error
    return listener


def _explained(error: OSError, host: str, port: int) -> OSError:
    if error.errno == errno.EADDRINUSE:
        return OSError(
            f"port {port} of {host} is in use by another program: stop it, or give another port "
            "(0 for any that is free)"
        )
    if error.errno == errno.EACCES:
        return OSError(f"port {port} needs more rights: give one of 1024 or above")
    return OSError(f"cannot listen on {host}, port {port}: {error.strerror}")


def url_of(host: str, port: int, token: str | None) -> str:
    """Where the page is, for a browser on this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - not to listen
    if ":" in shown and not shown.startswith("["):
        shown = f"[{shown}]"
    entrance = "" if token is None else f"?token={quote(token, safe='')}"
    return f"http://{shown}:{port}/{entrance}"


def own_names(host: str) -> set[str]:
    """The names by which this machine may be called, if it listens at an address."""
    return {host.strip("[]").lower()} if is_loopback(host) else {host, socket.gethostname()}


def _open(url: str) -> None:
    """Open a browser, which may take its time."""
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


@contextlib.asynccontextmanager
async def _opened(
    store: AsyncTraceStore | TraceStore | str | os.PathLike[str], *, must_exist: bool
) -> AsyncIterator[AsyncTraceStore | TraceStore]:
    """The store, opened and closed here if it was named."""
    if not isinstance(store, str | os.PathLike):
        yield store
        return
    opened = open_async_store(store, must_exist=must_exist)
    try:
        await opened.list(1)  # a file that cannot be read is told of at once
        yield opened
    finally:
        await opened.aclose()


class ServedApp(Protocol):
    """An ASGI app that can be stopped."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...
    def end_streams(self) -> None:
        """End all live streams: they would keep a server from stopping."""
        ...


class Server(uvicorn.Server):
    """uvicorn with our limits; a signal stops it and is not raised again."""

    def __init__(self, app: ServedApp, on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=LimitedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # it would write tokens down
            proxy_headers=False,
            server_header=False,
            limit_concurrency=most_clients() + _LEAVING,
            backlog=_ACCEPTED_AT_ONCE,
            h11_max_incomplete_event_size=LONGEST_HEADERS,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for listener in sockets or ():  # asyncio has taken one figure for two
            listener.listen(_BACKLOG)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._app.end_streams)
