"""What a process of its own makes of large bodies: runs as a store keeps them, spans in small lots.

Imports nothing of the service: the process is to start quickly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ..errors import InvalidTraceError
from ..model.codec import EncodedTrace, encode
from ..model.json_values import dumps, loads
from ..model.limits import LimitError, Limits, check_json, check_run
from .request_trace import trace_of

if TYPE_CHECKING:
    from ..integrations.opentelemetry.joined_run import JoinedRun, PackedJoin
    from ..integrations.opentelemetry.otlp import OtlpRequest
    from ..integrations.opentelemetry.otlp_request import Signal
    from ..integrations.opentelemetry.span_lots import SpanLot

WORK = f"{__name__}:answers"
QUICK = 256 * 1024
"""Bytes that need no process of their own."""
_LOT = 128 * 1024  # bytes that are quick to take
_items = msgspec.json.Decoder(list[msgspec.Raw])


class Encode(msgspec.Struct, frozen=True):
    """Ask for runs as a store keeps them, each or why it is none: an `EncodedTrace` or an error.

    Attributes:
        sizes: The bytes of each line of the text.
        limits: What a line may become.
    """

    sizes: list[int]
    limits: Limits


class Split(msgspec.Struct, frozen=True):
    """Ask for the items of a JSON array, as texts, many at a time."""


class ReadRequest(msgspec.Struct, frozen=True):
    """Ask for what an OTLP request holds: spans in lots, and at the end how much of it is left out.

    Attributes:
        signal: Which of OTLP's paths it came to.
        limits: What it may become.
        is_json: Whether it is JSON, or else protobuf.
    """

    signal: Signal
    limits: Limits
    is_json: bool


class PutTogether(msgspec.Struct, frozen=True):
    """Ask for a run that is put together of spans and of what is stored of it, which is the text.

    Attributes:
        join: The spans.
        is_stored: Whether anything is stored.
    """

    join: PackedJoin
    is_stored: bool


class LeftOut(msgspec.Struct):
    """What of a request is not in its spans.

    Attributes:
        rejected: How many spans or log records could not be read.
        reason: Why the first of them could not.
        unused: As in `OtlpRequest`.
    """

    rejected: int
    reason: str
    unused: int


Message: TypeAlias = Encode | Split | ReadRequest | PutTogether


def answers(message: Message, text: bytes) -> Iterator[Any]:
    """The answers to a message."""
    if isinstance(message, Split):
        return _lots(items_of(text))
    if isinstance(message, ReadRequest):
        return _spans(message, text)
    if isinstance(message, PutTogether):
        return _put_together(message, text)
    return _encoded(message, text)


def _spans(message: ReadRequest, text: bytes) -> Iterator[SpanLot | LeftOut]:
    from ..integrations.opentelemetry.otlp_request import read_request  # noqa: PLC0415 - an extra
    from ..integrations.opentelemetry.span_lots import lots_of  # noqa: PLC0415 - likewise

    request = read_request(message.signal, text, message.limits, is_json=message.is_json)
    yield from lots_of(request.spans)
    yield LeftOut(len(request.rejected), "".join(request.rejected[:1]), request.unused)


def request_of(parts: Iterator[SpanLot | LeftOut]) -> OtlpRequest:
    """The request that was sent in parts."""
    from ..integrations.opentelemetry.otlp import OtlpRequest  # noqa: PLC0415 - an extra
    from ..integrations.opentelemetry.span_lots import spans_of  # noqa: PLC0415 - likewise

    request = OtlpRequest([], [])

    def lots() -> Iterator[SpanLot]:
        for part in parts:
            if isinstance(part, LeftOut):
                request.rejected = [part.reason] * part.rejected
                request.unused = part.unused
            else:
                yield part

    request.spans = list(spans_of(lots()))
    return request


def _put_together(message: PutTogether, text: bytes) -> Iterator[JoinedRun | None]:
    joined = message.join.joined(text if message.is_stored else None)
    yield None if joined is None else joined._replace(run=encode(joined.run))


def _encoded(message: Encode, text: bytes) -> Iterator[EncodedTrace | Exception]:
    start = 0
    for size in message.sizes:
        try:
            yield encoded_of(text[start : start + size], message.limits)
        except (LimitError, InvalidTraceError) as error:
            yield error
        start += size


def encoded_of(text: bytes, limits: Limits) -> EncodedTrace:
    """The run of a JSON text, as a store keeps it.

    Raises:
        InvalidTraceError: It is none.
        LimitError: It would become too much.
    """
    check_json(text, limits)
    trace = trace_of(text)
    check_run(trace, limits)
    return encode(trace)


def items_of(text: bytes) -> list[bytes]:
    """The items of a JSON array, each a JSON text.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return [bytes(item) for item in _items.decode(text)]
    except (msgspec.MsgspecError, RecursionError):
        return [dumps(item) for item in loads(text)]


def _lots(items: list[bytes]) -> Iterator[list[bytes]]:
    lot: list[bytes] = []
    size = 0
    for item in items:
        lot.append(item)
        size += len(item)
        if size > _LOT:
            yield lot
            lot, size = [], 0
    yield lot
