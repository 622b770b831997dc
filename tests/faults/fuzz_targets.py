"""What is fuzzed: functions that take any bytes, and fail if a law of the package is broken.

Each is one target: of `fuzz`, which runs it under atheris, and of `test_fuzz`, which replays the
corpus.
"""

from __future__ import annotations

import contextlib
import math
import struct
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from selectools_observe import (
    AgentTrace,
    InMemoryTraceStore,
    InvalidTraceError,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceFilter,
    TraceStep,
)
from selectools_observe.backends.jsonl.line_format import (
    has_checksum,
    parse_line,
    run_id_of,
    to_line,
)
from selectools_observe.backends.jsonl.line_repair import restored_line
from selectools_observe.model.codec import decode, decode_in_pieces, encode
from selectools_observe.model.facets import facts_of
from selectools_observe.model.filters import matches
from selectools_observe.model.json_values import canonical, dumps, loads, loads_slowly
from selectools_observe.model.pagination import from_cursor

BEFORE = b"1970-01-01T00:00:00.000000+00:00"


class Source:
    """Values made of bytes: the same bytes, the same values."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def take(self, size: int) -> bytes:
        part = self.data[self.place : self.place + size]
        self.place += size
        return part

    def byte(self) -> int:
        return (self.take(1) or b"\0")[0]

    def text(self) -> str:
        raw = self.take(self.byte() % 24)
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def number(self) -> Any:
        kind = self.byte() % 6
        if kind == 0:
            return struct.unpack("<d", self.take(8).ljust(8, b"\0"))[0]
        if kind == 1:
            return int.from_bytes(self.take(self.byte() % 20), "big", signed=True)
        if kind == 2:
            return 10 ** (self.byte() * 20)
        return (self.byte() - 128) / (1 if kind == 3 else 4)

    def value(self, depth: int = 0) -> Any:
        kind = self.byte() % (9 if depth < 4 else 6)
        if kind == 0:
            return None
        if kind == 1:
            return bool(self.byte() % 2)
        if kind in (2, 3):
            return self.number()
        if kind in (4, 5):
            return self.text()
        if kind == 6:
            return self.take(self.byte() % 9)
        if kind == 7:
            return [self.value(depth + 1) for _ in range(self.byte() % 4)]
        return self.mapping(depth + 1)

    def mapping(self, depth: int = 0) -> dict[str, Any]:
        return {self.text(): self.value(depth + 1) for _ in range(self.byte() % 4)}

    def step(self) -> TraceStep:
        return TraceStep(
            type=self.text() or "llm_call",
            timestamp=self.number(),
            duration_ms=self.number(),
            tool_name=self.value(3),
            tool_args=self.mapping(),
            tool_result=self.value(),
            model=self.value(3),
            prompt_tokens=self.number(),
            cost_usd=self.number(),
            error=self.value(2),
        )

    def trace(self, run_id: str) -> AgentTrace:
        steps = [self.step() for _ in range(self.byte() % 3)]
        return AgentTrace(steps, self.number(), run_id, self.text() or None, self.mapping())


def fuzz_decode(data: bytes) -> None:
    """Both decoders take what the other takes, and what they take is stable."""
    outcomes = []
    for decoder in (decode, decode_in_pieces):
        try:
            found = decoder(data).to_dict()
        except ValueError:
            outcomes.append(None)
        else:
            outcomes.append(settled(found))
    assert same(*outcomes)
    if outcomes[0] is not None:
        trace = decode(data)
        with contextlib.suppress(InvalidTraceError):
            again = decode(encode(trace).trace)
            assert same(again.to_dict(), decode(encode(again).trace).to_dict())


def settled(found: dict[str, Any]) -> dict[str, Any]:
    """Without the times that were not told: they are the present, as with selectools."""
    for part, name in ((found, "start_time"), *((step, "timestamp") for step in found["steps"])):
        told = part.get(name)
        if isinstance(told, float) and abs(told - time.time()) < 60:
            part[name] = None
    return found


def fuzz_encode(data: bytes) -> None:
    """What is saved comes back, and says of itself what was said when it was saved."""
    source = Source(data)
    trace = source.trace(source.text() or "run")
    try:
        encoded = encode(trace)
    except InvalidTraceError:
        return
    loads_slowly(encoded.trace)
    for decoder in (decode, decode_in_pieces):
        back = decoder(encoded.trace)
        assert same(back.to_dict(), decode(encode(back).trace).to_dict())
        assert back.run_id == encoded.run_id
        assert len(back.steps) == encoded.steps
        assert facts_of(back) == encoded.facts
        assert same(back.metadata, loads(encoded.metadata))
        assert float(back.total_duration_ms) == encoded.total_ms


def fuzz_line(data: bytes) -> None:
    """Any line is read or refused with a reason; what is mended can be read."""
    line = data.replace(b"\n", b" ")
    run_id_of(line)
    try:
        summary, trace = parse_line(line)
    except ValueError:
        summary = trace = None
    try:
        found = restored_line(line, BEFORE)
    except ValueError:
        # A line that contradicts itself can be read, and nobody knows what was meant.
        assert summary is None or trace.run_id != summary.run_id or has_checksum(line)
        return
    again, _ = parse_line(found.line or line.rstrip(b"\0\r\n"))
    assert again.run_id == found.run_id


def fuzz_damaged_line(data: bytes) -> None:
    """A line of ours with one byte changed is the same run or is refused."""
    source = Source(data)
    place, bit = source.byte() * 256 + source.byte(), source.byte() % 8
    try:
        encoded = encode(source.trace("run"))
    except InvalidTraceError:
        return
    line = to_line(encoded, datetime(2026, 1, 1, tzinfo=UTC))
    good = parse_line(line)[1].to_dict()
    spoiled = bytearray(line[:-1])
    spoiled[place % len(spoiled)] ^= 1 << bit
    try:
        _, trace = parse_line(bytes(spoiled))
    except ValueError:
        return
    assert same(trace.to_dict(), good)


def fuzz_cursor(data: bytes) -> None:
    """A cursor is one of ours or is refused."""
    text = data.decode("latin-1")
    for kind in ("sqlite", "jsonl", "memory"):
        try:
            position = from_cursor(text, kind)
        except ValueError:
            continue
        for store in stores().values():
            with contextlib.suppress(ValueError):
                store.list(2, cursor=text)
        assert position.store == kind


def fuzz_value(data: bytes) -> None:
    """JSON that one reader takes is the same for all that read it after."""
    try:
        value = loads(data)
    except ValueError:
        return
    assert canonical(loads(dumps(value))) == canonical(value)


def fuzz_filters(data: bytes) -> None:
    """Whatever a filter asks, every store answers as `matches` does."""
    source = Source(data)
    fields: dict[str, Any] = {}
    for name in (
        "metadata_match", "min_steps", "max_steps", "since", "until", "min_ms", "max_ms",
        "min_cost_usd", "max_cost_usd", "parent_run_id", "run_ids", "has_error", "step_type",
        "tool_name", "model", "limit",
    ):  # fmt: skip
        if source.byte() % 4 == 0:
            fields[name] = wanted(name, source)
    try:
        filters = TraceFilter(**fields)
    except (TypeError, ValueError, OverflowError):
        return
    expected = None
    for store in stores().values():
        facts = {trace.run_id: facts_of(trace) for trace in store.iter_traces()}
        summaries = list(store.list(1000))
        matching = [s.run_id for s in summaries if matches(filters, s, facts[s.run_id])]
        matching = matching[: filters.limit]
        assert [s.run_id for s in store.query(filters)] == matching
        assert store.count(filters) == len(matching)
        expected = matching if expected is None or fields.keys() & {"since", "until"} else expected
        assert matching == expected


def wanted(name: str, source: Source) -> Any:
    if source.byte() % 16 == 0:
        return source.value()
    if name == "metadata_match":
        return source.mapping() if source.byte() % 2 else {"n": source.byte() % 40}
    if name in ("since", "until"):
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        with contextlib.suppress(OverflowError):
            moment += timedelta(days=source.byte() * 10_000 - 700_000)
        return moment
    if name == "has_error":
        return bool(source.byte() % 2)
    if name == "run_ids":
        return [f"run-{source.byte() % 50}", source.text()]
    if name in ("parent_run_id", "step_type", "tool_name", "model"):
        return (
            source.text()
            if source.byte() % 2
            else ("llm_call", "search", "gpt-4o")[source.byte() % 3]
        )
    if name == "limit":
        return source.byte()
    return source.number() if "ms" in name or "usd" in name else source.byte() % 4


_stores: dict[str, Any] = {}


def stores() -> dict[str, Any]:
    """One store of each kind, with the same runs."""
    if not _stores:
        folder = Path(tempfile.mkdtemp(prefix="fuzz"))
        _stores["memory"] = InMemoryTraceStore()
        _stores["sqlite"] = SQLiteTraceStore(folder / "traces.db")
        _stores["jsonl"] = JSONLTraceStore(folder / "traces.jsonl")
        for store in _stores.values():
            store.save_many(some_traces())
    return _stores


def close_stores() -> None:
    for store in _stores.values():
        store.close()
    _stores.clear()


def some_traces() -> list[AgentTrace]:
    found = []
    for n in range(40):
        steps = [
            TraceStep("llm_call", 0, n / 3, model="gpt-4o", cost_usd=n / 8),
            TraceStep("tool_execution", 0, 1e300 if n == 9 else n, tool_name="search", error="x"),
        ]
        metadata = {"n": n, "": None, "a.b": [n % 3, {"k": True}], "s": "\ud800" if n % 2 else "x"}
        parent = "run-1" if n % 5 else None
        found.append(AgentTrace(steps[: n % 3], 0, f"run-{n}", parent, metadata))
    return found


def same(one: Any, other: Any) -> bool:
    """Equal as JSON; of floats, NaN never gets here."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


TARGETS: dict[str, Callable[[bytes], None]] = {
    name.removeprefix("fuzz_"): target
    for name, target in list(globals().items())
    if name.startswith("fuzz_")
}
