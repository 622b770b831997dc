"""Bodies as large as a service takes."""

from __future__ import annotations

from attack_bodies import field, protobuf, run_with

_FEWER = 490_000


def _step(fields: str) -> str:
    return '{"type": "error", ' + fields + "}"


def _span(number: int, attributes: bytes, more: bytes = b"") -> bytes:
    ids = field(1, b"a" * 16) + field(2, number.to_bytes(8, "big"))
    parent = field(4, (1).to_bytes(8, "big")) if number > 1 else b""
    return field(2, ids + parent + field(5, b"chat") + attributes + more)


def _pair(key: str, value: str, number: int = 9) -> bytes:
    return field(number, field(1, key.encode()) + field(2, field(1, value.encode())))


_GENAI = _pair("gen_ai.operation.name", "chat")


def _spans(
    count: int, attributes: bytes = b"", more: bytes = b"", resource: bytes = b"", first: int = 1
) -> bytes:
    numbers = range(first, first + count)
    spans = b"".join(_span(number, _GENAI + attributes, more) for number in numbers)
    return field(1, (field(1, resource) if resource else b"") + field(2, spans))


def _log_records(count: int) -> bytes:
    record = field(5, field(1, b"hello")) + _pair("event.name", "gen_ai.user.message", 6)
    record += field(9, b"a" * 16) + field(10, b"b" * 8)
    return field(1, field(2, field(2, record) * count))


TAKEN = {
    "lists": run_with(
        "{}", "[" + _step('"tool_args": {"a": [[]' + ",[]" * (_FEWER // 2) + "]}") + "]"
    ),
    "objects": run_with(
        "{}", "[" + _step('"tool_args": {"a": [{}' + ',{"a":0}' * (_FEWER // 2) + "]}") + "]"
    ),
    "keys": run_with(
        "{}",
        "[" + _step('"tool_args": {' + ",".join(f'"{n}":0' for n in range(_FEWER)) + "}") + "]",
    ),
    "nesting": run_with(
        "{}",
        "["
        + _step('"tool_args": {"a": [' + ",".join(["[" * 240 + "]" * 240] * 2_000) + "]}")
        + "]",
    ),
    "digits": run_with(
        "{}", "[" + _step('"tool_args": {"a": [' + ",".join(["9" * 3_990] * 249) + "]}") + "]"
    ),
    "a long text": run_with("{}", "[" + _step('"error": "' + "x" * 19_500_000 + '"') + "]"),
    "a long text of escapes": run_with(
        "{}", "[" + _step('"error": "' + "\\n" * 9_700_000 + '"') + "]"
    ),
    "a long text of letters": run_with(
        "{}", "[" + _step('"error": "' + "\u00e4" * 9_700_000 + '"') + "]"
    ),
    "texts": run_with(
        "{}", "[" + ",".join([_step('"error": "' + "word " * 34 + '"')] * 99_000) + "]"
    ),
    "steps": run_with("{}", "[" + ",".join(['{"type": "error"}'] * 99_000) + "]"),
    "steps of many tools": run_with(
        "{}",
        "["
        + ",".join(f'{{"type": "tool_execution", "tool_name": "tool-{n}"}}' for n in range(99_000))
        + "]",
    ),
    "tags": '{"steps": [], "tags": [' + ",".join(f'"tag-{n}"' for n in range(_FEWER)) + "]}",
    "metadata": run_with("{" + ",".join(f'"{n}":0' for n in range(6_000)) + "}"),
    "unknown fields": run_with(
        "{}", "[" + ",".join(f'{{"type": "error", "x{n}": 0}}' for n in range(99_000)) + "]"
    ),
    "an array of runs": "[" + ",".join(['{"steps": []}'] * (_FEWER // 2)) + "]",
}
"""Bodies as large as is taken."""
TAKEN_LINES = {
    "empty lines": "\n" * 999_000,
    "short runs": '{"steps": []}\n' * 100_000,
    "runs of many values": (
        run_with("{}", "[" + _step('"tool_args": {"a": [0' + ",0" * 100_000 + "]}") + "]") + "\n"
    )
    * 20,
}
TAKEN_SPANS = {
    "spans": ("/v1/traces", _spans(45_000)),
    "as many spans of the same trace": ("/v1/traces", _spans(45_000, first=45_001)),
    "attributes": ("/v1/traces", _spans(1, b"".join(_pair(f"k{n}", "v") for n in range(99_000)))),
    "an array": ("/v1/traces", protobuf(field(5, field(1, field(1, b"x")) * (_FEWER // 2)))),
    "events": ("/v1/traces", _spans(1, b"", field(11, field(2, b"e")) * (_FEWER // 2))),
    "links": (
        "/v1/traces",
        _spans(1, b"", field(13, field(1, b"l" * 16) + field(2, b"l" * 8)) * (_FEWER // 3)),
    ),
    "a resource of many spans": (
        "/v1/traces",
        _spans(45_000, resource=_pair("k", "x" * 1_000_000, 1)),
    ),
    "JSON in a text": (
        "/v1/traces",
        _spans(1, _pair("gen_ai.input.messages", "[[]" + ",[]" * (_FEWER // 2) + "]")),
    ),
    "a long text": ("/v1/traces", _spans(1, _pair("gen_ai.input.messages", "x" * 19_500_000))),
    "log records": ("/v1/logs", _log_records(50_000)),
    "metrics": ("/v1/metrics", field(1, field(2, field(2, field(1, b"m")) * (_FEWER // 2)))),
}
"""Requests of OTLP as large as is taken, in protobuf."""
