"""The body of a request to any of OTLP's paths, read."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ...model.json_values import loads
from ...model.limits import Limits
from .otlp import OtlpRequest, read_otlp
from .otlp_json import metrics_in_json
from .otlp_limits import check_otlp
from .otlp_logs import read_logs
from .spans import SpanRecord

MOST_OF_A_SPAN = 10_000
"""Attributes, events or links; OpenTelemetry's SDKs send 128 of each."""

Signal: TypeAlias = Literal["traces", "logs", "metrics"]


def read_request(signal: Signal, body: bytes, limits: Limits, *, is_json: bool) -> OtlpRequest:
    """What a request holds.

    Args:
        signal: Which of OTLP's paths it came to: ``/v1/traces``, ``/v1/logs``, ``/v1/metrics``.
        body: The body, unpacked.
        limits: What it may become.
        is_json: Whether it is JSON, or else protobuf.

    Raises:
        ValueError: It is no such request, or would become too much (`LimitError`).
        ImportError: It is protobuf and opentelemetry-proto is not installed.
    """
    if signal == "metrics":
        return OtlpRequest([], [], _metrics_in(body, limits, is_json=is_json))
    read = read_otlp if signal == "traces" else read_logs
    request = read(body.decode() if is_json else body, limits=limits)
    large = [span for span in request.spans if _largest(span) > MOST_OF_A_SPAN]
    if large:
        at = f"span {large[0].span_id} of trace {large[0].trace_id}"
        reason = f"{at} has more than {MOST_OF_A_SPAN} attributes, events or links"
        request.spans = [span for span in request.spans if _largest(span) <= MOST_OF_A_SPAN]
        request.rejected += [reason] * len(large)
    return request


def _largest(span: SpanRecord) -> int:
    return max(len(span.attributes), len(span.events), len(span.links))


def _metrics_in(body: bytes, limits: Limits, *, is_json: bool) -> int:
    check_otlp(body, limits, is_json=is_json, message="other")
    if is_json:
        return metrics_in_json(loads(body))
    from .otlp_proto import metrics_in_protobuf  # noqa: PLC0415 - JSON needs no protobuf

    return metrics_in_protobuf(body)
