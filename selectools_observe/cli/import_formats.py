"""Runs out of files: of our stores, of selectools', of programs that write traces as JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

from ..model.json_values import loads
from ..model.trace import AgentTrace
from ..stores.open import open_store, store_name

Skipped = Callable[[str, str], None]
"""Told where something stands that is no run, and why."""


def runs_in(
    path: str, skipped: Skipped, progress: Callable[[int, int | None], None]
) -> Iterator[AgentTrace]:
    """The runs of a file, or of standard input if its name is ``-``, in their order.

    An SQLite store; a JSONL store; a trace, or a line of a JSONL store, on each line; an array of
    traces; one trace; OpenTelemetry spans as OTLP in JSON, in one request or one on each line.

    Raises:
        TraceStoreError: The SQLite store cannot be read.
        OSError: The file cannot be read.
    """
    if path != "-" and _is_sqlite(path):
        yield from _of_store(path, progress)
        return
    with _opened(path) as file:
        size = None if path == "-" else os.fstat(file.fileno()).st_size
        yield from _of_json(path, file, size, skipped, progress)


def _is_sqlite(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _opened(path: str) -> IO[bytes]:
    if path == "-":
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    return open(path, "rb")


def _of_store(path: str, progress: Callable[[int, int | None], None]) -> Iterator[AgentTrace]:
    store = open_store(store_name(path).path, must_exist=True)
    try:
        total = store.count()
        for done, trace in enumerate(store.iter_traces(oldest_first=True)):
            progress(done, total)
            yield trace
    finally:
        store.close()


def _of_json(
    path: str,
    file: IO[bytes],
    size: int | None,
    skipped: Skipped,
    progress: Callable[[int, int | None], None],
) -> Iterator[AgentTrace]:
    read, spans = 0, _Spans()
    for number, line in enumerate(_values(file), 1):
        read += len(line)
        progress(read, size)
        text = line.strip(b" \t\r\n\0").removeprefix(b"\xef\xbb\xbf")
        try:
            found = spans.without(_entries(loads(text))) if text else []
        except ValueError as error:
            skipped(f"{path}, line {number}", str(error))
            continue
        for place, entry in enumerate(found):
            try:
                yield _trace(entry)
            except ValueError as error:
                where = f", entry {place}" if len(found) > 1 else ""
                skipped(f"{path}, line {number}{where}", str(error))
    yield from spans.runs()


class _Spans:
    """OpenTelemetry spans, gathered: those of one run may stand on many lines."""

    def __init__(self) -> None:
        self._requests: list[dict[str, Any]] = []

    def without(self, values: list[Any]) -> list[Any]:
        """The values that are no OTLP requests; the others are kept."""
        requests = [v for v in values if isinstance(v, dict) and "resourceSpans" in v]
        self._requests += requests
        return [value for value in values if value not in requests] if requests else values

    def runs(self) -> list[AgentTrace]:
        """The runs of all spans."""
        if not self._requests:
            return []
        from ..integrations.opentelemetry import runs_of_otlp  # noqa: PLC0415 - only for these

        spans = [part for request in self._requests for part in request["resourceSpans"]]
        return runs_of_otlp({"resourceSpans": spans})


def _values(file: IO[bytes]) -> Iterator[bytes]:
    """The JSON values of a file: its lines; or all of it, if that is one value on many lines."""
    first = file.readline()
    if first.strip().startswith((b"{", b"[")) and not _is_json(first):
        everything = first + file.read()
        yield from [everything] if _is_json(everything) else everything.splitlines(keepends=True)
    else:
        yield first
        yield from file


def _is_json(text: bytes) -> bool:
    try:
        loads(text.strip().removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return False
    return True


def _entries(value: Any) -> list[Any]:
    """The runs in a value: itself, an array of them, or an answer of the HTTP service."""
    if isinstance(value, dict) and isinstance(value.get("traces"), list):
        value = value["traces"]
    return value if isinstance(value, list) else [value]


def _trace(value: Any) -> AgentTrace:
    """The run of a JSON value: a trace, or a line of a JSONL store.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - of the data, not of a caller
    inner = value.get("trace", value)
    if not isinstance(inner, dict) or "run_id" not in inner or "steps" not in inner:
        raise ValueError("not a run: 'run_id' or 'steps' is missing")
    try:
        return AgentTrace.from_dict(inner)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a trace: {error}") from error
