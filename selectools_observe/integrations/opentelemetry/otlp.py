"""The body of an OTLP/HTTP request as spans, and as runs."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from ...model.json_values import loads
from ...model.limits import DEFAULT_LIMITS, Limits
from ...model.trace import AgentTrace
from .from_spans import OtherSpans, runs_of_spans
from .otlp_json import is_object, spans_of_json
from .otlp_limits import check_otlp, says_the_limit
from .spans import SpanRecord
from .to_spans import as_many, spans_of_run

log = logging.getLogger(__name__)


class OtlpRequest(msgspec.Struct):
    """What a request says.

    Attributes:
        spans: Its spans, or of log records what is known of the spans that they belong to.
        rejected: Why others of it could not be read, one text a span or record.
        unused: How many log records or metrics there are that say nothing of a span.
    """

    spans: list[SpanRecord]
    rejected: list[str]
    unused: int = 0


def read_otlp(
    body: bytes | str | dict[str, Any], *, limits: Limits = DEFAULT_LIMITS
) -> OtlpRequest:
    """The spans of an ``ExportTraceServiceRequest``.

    Args:
        body: Protobuf or JSON as bytes (JSON begins with ``{``), JSON as text, or as a dictionary.
        limits: What the body may become.

    Raises:
        ValueError: It is no such request, or would become too much (`LimitError`).
        ImportError: It is protobuf and opentelemetry-proto is not installed.
    """
    rejected: list[str] = []
    is_json = not isinstance(body, bytes) or is_object(body)
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if isinstance(body, bytes):
        check_otlp(body, limits, is_json=is_json)
    if isinstance(body, bytes) and not is_json:
        from .otlp_proto import spans_of_protobuf  # noqa: PLC0415 - JSON needs no protobuf

        with says_the_limit(body, limits, "request"):
            return OtlpRequest(list(spans_of_protobuf(body, rejected.append)), rejected)
    if isinstance(body, bytes):
        try:
            body = loads(body)
        except ValueError as error:
            raise ValueError(f"the body is not JSON: {error}") from None
    return OtlpRequest(list(spans_of_json(body, rejected.append)), rejected)


def runs_of_otlp(
    body: bytes | str | dict[str, Any], *, other_spans: OtherSpans = "beside"
) -> list[AgentTrace]:
    """The runs that one request tells of; spans that cannot be read are logged and left out.

    A run's spans may come in several requests: `OtlpReceiver` puts those together.

    Args:
        body: See `read_otlp`.
        other_spans: What becomes of spans that are not of the GenAI conventions.

    Raises:
        ValueError: It is no such request.
    """
    request = read_otlp(body)
    log_rejected(request.rejected)
    return runs_of_spans(request.spans, other_spans=other_spans)


def otlp_of_runs(traces: object) -> bytes:
    """The request, in protobuf, that sends these runs: the way back of `runs_of_otlp`.

    Args:
        traces: A trace, or an iterable of them, as `export_otlp` takes them.

    Raises:
        InvalidTraceError: One of them is not a trace, or holds what cannot be stored.
        ImportError: opentelemetry-proto is not installed.
    """
    from .otlp_proto import protobuf_of_spans  # noqa: PLC0415 - JSON needs no protobuf

    return protobuf_of_spans(span for trace in as_many(traces) for span in spans_of_run(trace))


def log_rejected(rejected: list[str]) -> None:
    """Say how many spans were left out, and why the first was."""
    if rejected:
        log.warning("%d OTLP spans cannot be read, the first: %s", len(rejected), rejected[0])
