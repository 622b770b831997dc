"""Limits on what the body of an OTLP request may become, checked before it is decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ...model.limits import LimitError, Limits, check_json
from ...runtime.gil import GilYielder

# Field numbers of `ExportTraceServiceRequest` and what is below it, by the message that they hold;
# https://github.com/open-telemetry/opentelemetry-proto. Fields that are not here hold no messages.
_MESSAGES: dict[str, dict[int, str]] = {
    "request": {1: "resource_spans"},
    "resource_spans": {1: "resource", 2: "scope_spans"},
    "resource": {1: "pair", 3: "other"},
    "scope_spans": {1: "scope", 2: "span"},
    "scope": {3: "pair"},
    "span": {9: "pair", 11: "event", 13: "link", 15: "other"},
    "log_request": {1: "resource_logs"},
    "resource_logs": {1: "resource", 2: "scope_logs"},
    "scope_logs": {1: "scope", 2: "log"},
    "log": {5: "value", 6: "pair"},
    "event": {3: "pair"},
    "link": {4: "pair"},
    "pair": {2: "value"},
    "value": {5: "array", 6: "pairs"},
    "array": {1: "value"},
    "pairs": {1: "pair"},
    "other": {},
}

# Attributes hold JSON as text, which is decoded too. What could be a value there is counted all
# over the body, also in prose with many commas.
_IN_TEXT = 4
_DECODED = frozenset({"request", "log_request"})  # what is not protobuf is refused then
_PROTOBUF_DEPTH = 100  # protobuf decodes nothing that is nested more deeply
_SHIFTS = range(0, 70, 7)  # of the bits of a number
_SLICE = 64 * 1024  # bytes
_AT_A_STRETCH = 500  # fields


def check_otlp(body: bytes, limits: Limits, *, is_json: bool, message: str = "request") -> None:
    """Refuse a body that would become too much.

    Raises:
        LimitError: It would.
        ValueError: It is not protobuf.
    """
    if len(body) > _IN_TEXT * limits.values:  # else it has not as many bytes
        _check_texts(body, limits)
    if is_json:
        check_json(body, limits)
    elif message in _DECODED and _is_small(body, limits):
        deque(_fields(body, 0, len(body)), 0)  # decoding takes more for a request
    else:
        _check_protobuf(body, limits, message)


@contextmanager
def says_the_limit(body: bytes, limits: Limits, message: str) -> Iterator[None]:
    """Say which limit a body is beyond that protobuf could not decode, if it is beyond one.

    Raises:
        LimitError: It is.
    """
    try:
        yield
    except ValueError:
        _check_protobuf(body, limits, message)
        raise


def _check_texts(body: bytes, limits: Limits) -> None:
    possible, yielder = 0, GilYielder()
    for start in range(0, len(body), _SLICE):
        possible += sum(body.count(mark, start, start + _SLICE) for mark in (b",", b"[", b"{"))
        if possible > _IN_TEXT * limits.values:
            raise LimitError("values", limits.values)
        yielder.maybe_yield()


def _is_small(body: bytes, limits: Limits) -> bool:
    """Whether a body can reach no limit: a field has two bytes at least."""
    return len(body) <= 2 * limits.values and limits.depth >= _PROTOBUF_DEPTH


def _check_protobuf(body: bytes, limits: Limits, root: str) -> None:
    fields, yielder = 0, GilYielder()
    unread = [(root, 0, len(body), 0)]
    while unread:
        message, start, end, depth = unread.pop()
        if depth > limits.depth:
            raise LimitError("depth", limits.depth)
        inner = _MESSAGES[message]
        for number, at, size in _fields(body, start, end):
            fields += 1
            if fields % _AT_A_STRETCH == 0:
                yielder.maybe_yield()
            if fields > limits.values:
                raise LimitError("values", limits.values)
            if number not in inner:
                continue
            if inner[number] == "pair" and _is_text(body, at, at + size):
                fields += _OF_TEXT
            else:
                unread.append((inner[number], at, at + size, depth + 1))


def _is_text(body: bytes, at: int, end: int) -> bool:
    """Whether a pair is a name and a text, as most are: `_OF_TEXT` fields, none in another."""
    if end - at < _SHORTEST or body[at] != _FIRST or body[at + 1] >= 128:
        return False
    at += 2 + body[at + 1]
    for tag in (_SECOND, _FIRST):  # the value, and the text in it
        if end - at < 2 or body[at] != tag:
            return False
        size = body[at + 1]
        at += 2
        if size >= 128:
            size, at = _varint(body, at - 1, end)
        if at + size != end:
            return False
    return True


_SHORTEST = 6  # bytes
_OF_TEXT = 3
_FIRST, _SECOND = 1 << 3 | 2, 2 << 3 | 2  # fields with a length


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message: their number, where their content begins, its length."""
    while at < end:
        key = body[at]
        key, at = (key, at + 1) if key < 128 else _varint(body, at, end)
        size = {1: 8, 5: 4}.get(key & 7, 0)
        if key & 7 == 0:
            _, at = _varint(body, at, end)
        elif key & 7 == 2:
            size = body[at] if at < end else 128
            size, at = (size, at + 1) if size < 128 else _varint(body, at, end)
        elif not size:
            raise ValueError("the body is not an OTLP request: an unknown wire type")
        if at + size > end:
            raise ValueError("the body is not an OTLP request: it ends too early")
        yield (key >> 3 if key & 7 == 2 else 0), at, size
        at += size


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in _SHIFTS:
        if at >= end:
            break
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("the body is not an OTLP request: an unterminated number")
