"""One connection of the server, with limits on what a client may hold without asking anything."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CLIENTS = 1000  # connections that are answered; the others are told to come back
_OWN_DESCRIPTORS = 128  # for the store's files, the listener and what else the process has open

_HEAD_SECONDS = 10.0  # for a request line and its headers to come
_STALL_SECONDS = 30.0  # for a client to take 64 KiB of an answer
_LINGER_SECONDS = 5.0  # for a client to notice that its body is not wanted


def most_connections() -> int:
    """How many connections may be open: as many as the process has descriptors for."""
    try:
        import resource  # noqa: PLC0415 - not everywhere
    except ImportError:
        return 2 * MOST_CLIENTS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2 * MOST_CLIENTS
    return max(16, min(2 * MOST_CLIENTS, soft - _OWN_DESCRIPTORS))


def most_clients() -> int:
    """How many connections are answered; the others are told to come back."""
    return min(MOST_CLIENTS, most_connections() * 3 // 4)


_idle: WeakKeyDictionary[object, dict[LimitedProtocol, None]] = WeakKeyDictionary()
"""For each server its connections that have asked nothing yet, the oldest first."""


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol, but that nobody can hold a connection for ever.

    uvicorn has a time limit for idle connections only: one that sends a header a minute, or reads
    an answer byte by byte, stays.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        idle = _idle.setdefault(self.server_state, {})
        if len(self.connections) > most_connections():
            transport.abort()
            return
        if len(self.connections) > most_clients() and idle:
            # Who has asked nothing yet makes room for who may ask.
            oldest = next(iter(idle))
            del idle[oldest]
            self.connections.discard(oldest)
            oldest.transport.abort()
        idle[self] = None
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        _idle.get(self.server_state, {}).pop(self, None)
        for timer in (self._head_timer, self._stall_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE:
            _idle.setdefault(self.server_state, {})[self] = None
        if self.conn.their_state is h11.SEND_BODY and self._linger_timer is None:
            self._linger_timer = self.loop.call_later(_LINGER_SECONDS, self._end_lingering)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a stranger would write to the log, and there is nothing to install."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(_STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _watch_head(self) -> None:
        """Start the clock while a request's head is awaited, stop it when it is there."""
        is_awaited = self.conn.their_state is h11.IDLE
        idle = _idle.setdefault(self.server_state, {})
        if not is_awaited:
            idle.pop(self, None)
        elif self not in idle:
            idle[self] = None
        if is_awaited and self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._give_up)
        elif not is_awaited and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()

    def _end_lingering(self) -> None:
        self._linger_timer = None
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.close()
