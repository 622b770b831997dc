"""Ingestion of OpenTelemetry spans, set up with the first request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..backends.method_table import MethodTable
from ..model.limits import Limits
from ..protocols import AsyncTraceStore, TraceStore, is_async_store
from ..stores.delegating import WrappingCore, innermost
from .body_work import PutTogether, ReadRequest, request_of
from .request_body import Held
from .responses import Problem

if TYPE_CHECKING:
    from ..integrations.opentelemetry import OtlpReceiver
    from ..integrations.opentelemetry.joined_run import JoinedRun, PackedJoin
    from ..integrations.opentelemetry.otlp import OtlpRequest
    from ..integrations.opentelemetry.otlp_request import Signal

T = TypeVar("T")

log = logging.getLogger(__name__)


class Telemetry:
    """Takes spans; most services get none."""

    def __init__(
        self,
        store: AsyncTraceStore | TraceStore,
        max_body: int,
        limits: Limits,
        bodies: Held,
    ) -> None:
        self._store = store
        self._bodies = bodies
        self._max_body = max_body
        self._limits = limits
        self._receiver: OtlpReceiver | None = None

    def receiver(self) -> OtlpReceiver:
        """The receiver.

        Raises:
            Problem: What it needs is not installed.
        """
        if self._receiver is None:
            try:
                from ..integrations.opentelemetry import OtlpReceiver  # noqa: PLC0415 - an extra
            except ImportError as error:
                raise not_installed(error) from error
            store = self._store
            if is_async_store(store):
                store = OnLoop(cast("AsyncTraceStore", store), asyncio.get_running_loop())
            self._receiver = OtlpReceiver(
                store,
                max_bytes=self._max_body,
                limits=self._limits,
                read=self._read,
                elsewhere=self._join,
            )
        return self._receiver

    def _read(self, signal: Signal, body: bytes, limits: Limits, *, is_json: bool) -> OtlpRequest:
        return request_of(self._bodies.answers(ReadRequest(signal, limits, is_json), body))

    def _join(self, join: PackedJoin, stored: bytes | None) -> JoinedRun | None:
        asked = PutTogether(join, stored is not None)
        joined: JoinedRun | None = list(self._bodies.answers(asked, stored or b"")).pop()
        return joined

    def close(self) -> None:
        """Save what waits for the rest of its run."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.close()


class OnLoop(MethodTable):
    """An async store for the receiver, which blocks: its calls run on the service's own loop.

    A `SyncTraceStore` would open the store once more, on a loop in a thread of its own.
    """

    def __init__(self, store: AsyncTraceStore, loop: asyncio.AbstractEventLoop) -> None:
        self._core = WrappingCore(store)
        self._loop = loop

    @property
    def path(self) -> str | None:
        """The file that the runs are in, if they are in one."""
        path = getattr(innermost(self._core), "path", None)
        return path if isinstance(path, str) else None

    def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._run(getattr(self._core, name)(*args, **kwargs))

    def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        items = getattr(self._core, name)(*args, **kwargs)
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._run(anext(items))

    def _run(self, call: Awaitable[T]) -> T:
        async def done() -> T:
            return await call

        coroutine = done()
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise


def not_installed(error: ImportError) -> Problem:
    """The answer where a package is missing."""
    log.warning("OpenTelemetry ingestion is unavailable: %s", error)
    return Problem(
        501,
        "not_installed",
        "OpenTelemetry ingestion is unavailable: a package is missing",
        'pip install "selectools-observe[otel]"',
    )
