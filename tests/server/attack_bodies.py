"""Small bodies that would become much: for tests, and for the benchmark of the service."""

from __future__ import annotations

import gzip

JSON = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
NDJSON = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}


def packed(text: str | bytes) -> bytes:
    return gzip.compress(text if isinstance(text, bytes) else text.encode(), 1)


def run_with(metadata: str, steps: str = "[]") -> str:
    return '{"run_id": "r", "steps": ' + steps + ', "metadata": ' + metadata + "}"


def otlp(value: str) -> str:
    span = (
        '{"traceId": "' + "a" * 32 + '", "spanId": "' + "b" * 16 + '", "name": "chat", '
        '"attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}, '
        '{"key": "gen_ai.input.messages", "value": ' + value + "}]}"
    )
    return '{"resourceSpans": [{"scopeSpans": [{"spans": [' + span + "]}]}]}"


def field(number: int, content: bytes) -> bytes:
    size, length = b"", len(content)
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def protobuf(any_value: bytes) -> bytes:
    pair = field(1, b"x") + field(2, any_value)
    span = field(1, b"a" * 16) + field(2, b"b" * 8) + field(9, pair)
    return field(1, field(2, field(2, span)))


MANY = 600_000
BODIES = {
    "digits": (run_with('{"n": ' + "9" * 200_000 + "}"), "digits"),
    "digits of a fraction": (run_with('{"n": 0.' + "9" * 200_000 + "}"), "digits"),
    "digits of a token count": (
        run_with("{}", '[{"type": "llm_call", "prompt_tokens": ' + "9" * 5000 + "}]"),
        "digits",
    ),
    "lists": (run_with('{"a": [[]' + ",[]" * MANY + "]}"), "values"),
    "objects": (run_with('{"a": [{"a":{}}' + ',{"a":{}}' * MANY + "]}"), "values"),
    "keys": (run_with("{" + ",".join(f'"{n}":0' for n in range(MANY)) + "}"), "values"),
    "steps of nothing": (run_with("{}", "[{}" + ",{}" * MANY + "]"), "values"),
    "an array of runs": ("[0" + ",0" * MANY + "]", "values"),
    "nesting": (run_with('{"a": ' + "[" * 100_000), "depth"),
    "nesting of objects": (run_with('{"a":' * 100_000), "depth"),
    "metadata": (run_with('{"a": "' + "x" * 70_000 + '"}'), "metadata"),
}
LINES = {
    "empty lines": ("\n" * 1_100_000, "lines"),
    "lines of blanks": (" \n" * 1_100_000, "lines"),
}
SPANS = {
    "digits": (otlp('{"intValue": ' + "9" * 200_000 + "}"), "digits"),
    "lists": (otlp('{"arrayValue": {"values": [{}' + ",{}" * MANY + "]}}"), "values"),
    "lists in a text": (otlp('{"stringValue": "[[]' + ",[]" * 4 * MANY + ']"}'), "values"),
    "nesting": (otlp('{"arrayValue": {"values": [' * 1000), "depth"),
}
