"""Runs sent to any OTLP/HTTP endpoint: a collector, Phoenix, Langfuse, Tempo."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit

from anyio.to_thread import run_sync

from ...errors import TraceStoreError
from ...extras import needs
from .otlp_proto import protobuf_of_spans, rejected_by
from .spans import SpanRecord
from .to_spans import as_many, spans_of_run

with needs("otel", "export_otlp"):
    import urllib3

_PATH = "/v1/traces"
_AT_A_TIME = 512  # spans a request, as the SDK's own exporter
# Those that the OTLP specification tells to try again.
_PASSING = (429, 502, 503, 504)
_LONGEST_EXCERPT = 300


class OtlpExportError(TraceStoreError):
    """An endpoint did not take a request.

    Attributes:
        endpoint: Where it was sent.
        reason: What went wrong.
        sent: How many runs had been taken whole before; sending these again does no harm.
    """

    def __init__(self, endpoint: str, reason: str, sent: int) -> None:
        super().__init__(endpoint, reason, sent)
        self.endpoint = endpoint
        self.reason = reason
        self.sent = sent

    def __str__(self) -> str:
        return f"{self.endpoint} rejected the spans: {self.reason}"


def export_otlp(
    traces: object,
    endpoint: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    retries: int = 5,
) -> int:
    """Send a run, or many, as spans; return how many.

    Each step becomes a span with the attributes of the GenAI conventions and of OpenInference; a
    run that came as spans goes as it came. Ids are the same each time, so that a receiver that
    knows spans by their id has none twice. Read by `runs_of_otlp`, they are the runs again.

    Annotations go along as ``gen_ai.evaluation.result`` events of the spans they are about, and the
    time of saving as a mark of ours, where the runs come with what their store says of them.

    Args:
        traces: A trace, or any iterable of them, such as ``store.iter_traces()``, or of runs with
            their annotations, such as ``saved_runs(store)`` of `selectools_observe.interchange`.
        endpoint: The URL. One without a path gets ``/v1/traces``. Unless given, it comes from
            ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_ENDPOINT``, or else is
            ``http://localhost:4318/v1/traces``.
        headers: Headers to send, such as ``Authorization``; unless given, those of
            ``OTEL_EXPORTER_OTLP_TRACES_HEADERS`` or ``OTEL_EXPORTER_OTLP_HEADERS``.
        timeout: How long to wait for an answer, seconds.
        retries: How often to try again when the endpoint is busy or cannot be reached.

    Raises:
        OtlpExportError: The endpoint refused, or could not be reached.
        InvalidTraceError: One of them is not a trace, or holds what cannot be stored.
        ValueError: The endpoint is no URL.
    """
    sender = _Sender(endpoint_of(endpoint), _headers(headers), timeout, retries)
    return sender.send_all(as_many(traces))


async def aexport_otlp(
    traces: object,
    endpoint: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109 - of each request, as in `export_otlp`
    retries: int = 5,
) -> int:
    """`export_otlp` for code that runs in an event loop; takes async iterables too."""
    sender = _Sender(endpoint_of(endpoint), _headers(headers), timeout, retries)
    if not isinstance(traces, AsyncIterable):
        return await run_sync(sender.send_all, as_many(traces))
    async for trace in traces:
        sender.add(trace)
        if sender.is_full:
            await run_sync(sender.send)
    await run_sync(sender.send)
    return sender.sent


class _Sender:
    """Collects the spans of runs and sends them, some hundred at a time."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], timeout: float, retries: int
    ) -> None:
        self.sent = 0
        self._added = 0
        self._spans: list[SpanRecord] = []
        self._endpoint = endpoint
        self._timeout = timeout
        self._headers = {
            **headers,
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
        }
        self._retry = urllib3.Retry(
            total=retries,
            backoff_factor=0.2,
            backoff_jitter=0.1,
            status_forcelist=_PASSING,
            allowed_methods=None,
            raise_on_status=False,
            redirect=0,
        )
        self._pool = urllib3.PoolManager(1)

    @property
    def is_full(self) -> bool:
        """Whether it is time to send."""
        return len(self._spans) >= _AT_A_TIME

    def add(self, trace: object) -> None:
        """Take a run."""
        self._spans += spans_of_run(trace)
        self._added += 1

    def send_all(self, traces: Iterable[object]) -> int:
        """Send runs; return how many."""
        for trace in traces:
            self.add(trace)
            if self.is_full:
                self.send()
        self.send()
        return self.sent

    def send(self) -> None:
        """Send what was added."""
        spans, self._spans = self._spans, []
        for some in _batches(spans):
            self._post(gzip.compress(protobuf_of_spans(some), 5))
        self.sent = self._added

    def _post(self, body: bytes) -> None:
        try:
            response = self._pool.request(
                "POST",
                self._endpoint,
                body=body,
                headers=self._headers,
                timeout=self._timeout,
                retries=self._retry,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._error(f"{error}; is it running and reachable from here?") from error
        self._check(response)

    def _check(self, response: urllib3.BaseHTTPResponse) -> None:
        if not 200 <= response.status < 300:
            excerpt = response.data[:_LONGEST_EXCERPT].decode("utf-8", "replace")
            hint = _HINTS.get(response.status, "")
            raise self._error(f"HTTP {response.status}{hint} {excerpt}".rstrip())
        if response.headers.get("Content-Type", "").startswith("application/x-protobuf"):
            try:
                rejected, why = rejected_by(response.data)
            except ValueError:
                return  # taken, with an answer of its own
            if rejected:
                raise self._error(f"{rejected} spans rejected: {why}")

    def _error(self, reason: str) -> OtlpExportError:
        return OtlpExportError(self._endpoint, reason, self.sent)


_HINTS = {
    401: " (check the headers: authentication is required)",
    403: " (check the headers: permission was denied)",
    404: " (check the path: OTLP/HTTP endpoints end in /v1/traces)",
    405: " (check the path: OTLP/HTTP endpoints end in /v1/traces)",
    415: " (it does not accept OTLP in protobuf)",
}


def _batches(spans: list[SpanRecord]) -> Iterator[list[SpanRecord]]:
    rest = iter(spans)
    while some := [*islice(rest, _AT_A_TIME)]:
        yield some


def endpoint_of(given: str | None) -> str:
    """The URL that spans are sent to.

    Raises:
        ValueError: It is no URL of HTTP.
    """
    if given is None:
        whole = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"
        given = whole or base.rstrip("/") + _PATH
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError(f"endpoint must be a URL such as http://localhost:4318, not {given!r}")
    return parts._replace(path=_PATH).geturl() if parts.path in {"", "/"} else given


def _headers(given: Mapping[str, str] | None) -> Mapping[str, str]:
    if given is not None:
        return given
    text = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or os.environ.get(
        "OTEL_EXPORTER_OTLP_HEADERS", ""
    )
    pairs: list[tuple[str, Any, str]] = [pair.partition("=") for pair in text.split(",")]
    return {
        unquote(name.strip()): unquote(value.strip()) for name, is_pair, value in pairs if is_pair
    }
