"""Sample traces: ordinary, foreign and hostile ones."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from math import inf, nan
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from ..model.trace import AgentTrace, StepType, TraceStep

Metadata: TypeAlias = dict[str, Any]


def make_step(
    kind: StepType | str = StepType.LLM_CALL, ms: float = 10.0, **fields: Any
) -> TraceStep:
    """A step at a fixed time."""
    return TraceStep(kind, 1_700_000_000.5, ms, **fields)


def make_trace(run_id: str, steps: int = 1, **fields: Any) -> AgentTrace:
    """A trace with so many plain steps, at a fixed time."""
    own = fields.pop("of", None)
    own = [make_step() for _ in range(steps)] if own is None else own
    return AgentTrace(steps=own, start_time=1_700_000_000, run_id=run_id, **fields)


def make_traces(number: int, prefix: str = "run") -> list[AgentTrace]:
    """Plain traces: ``run-000``, ``run-001``, and so on."""
    return [make_trace(f"{prefix}-{n:03}", metadata={"n": n}) for n in range(number)]


def full_trace(run_id: str = "full") -> AgentTrace:
    """A trace with every field of the model set."""
    steps = [
        make_step(
            tool_name="search",
            tool_args={"query": "café", "page": 2, "exact": True, "near": None, "in": [{"a": 0.5}]},
            tool_result="found\nnothing",
            model="gpt-4o",
            prompt_tokens=1200,
            completion_tokens=34,
            cost_usd=0.00417,
            reasoning="Because.",
            error="Timeout",
            summary="Searched",
            node_name="node",
            step_number=0,
            checkpoint_id="c-1",
            interrupt_key="i-1",
            from_node="a",
            to_node="b",
            children=["left", "right"],
        ),
        *[make_step(kind, ms=0.25) for kind in StepType],
    ]
    metadata = {"user_id": "alice", "tags": ["a", "b"], "nested": {"deep": {"er": [1, 2.5, None]}}}
    return make_trace(run_id, of=steps, parent_run_id="parent", metadata=metadata)


def newer_trace() -> AgentTrace:
    """A trace with a step type, step fields and trace fields that this version does not know."""
    data = full_trace("newer").to_dict()
    data |= {"tenant": "acme", "spans": [{"id": 1, "links": {"to": None}}], "extra": {"extra": 1}}
    data["steps"][0] |= {"type": "hologram", "latency": {"p99": 1.5}, "extra": "step", "id": 0}
    data["steps"][1] |= {"type": "", "logprobs": [-0.5, None]}
    return AgentTrace.from_dict(data)


class ForeignKind(str, Enum):  # noqa: UP042 - as selectools' own
    """Another library's step types, one of which we do not know."""

    LLM_CALL = "llm_call"
    TOOL = "tool_execution"
    NEW = "quantum_leap"


@dataclass
class ForeignStep:
    """Another library's step: more fields than ours, and not all of ours."""

    type: ForeignKind
    timestamp: float = 1.5
    duration_ms: float = 2.5
    tool_name: str | None = None
    tool_args: dict[str, Any] | None = None
    latency: dict[str, int] = field(default_factory=lambda: {"p99": 7})


@dataclass
class ForeignTrace:
    """Another library's trace."""

    steps: list[ForeignStep]
    start_time: float = 3.5
    run_id: str = "foreign"
    parent_run_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tenant: str = "acme"


@dataclass(slots=True)
class SlottedStep:
    """A step without a ``__dict__``."""

    type: str
    duration_ms: float = 2.5
    tool_name: str = "search"


@dataclass(slots=True)
class SlottedTrace:
    """A trace without a ``__dict__``."""

    steps: list[SlottedStep]
    start_time: float = 3.5
    run_id: str = "slotted"
    parent_run_id: str | None = "parent"
    metadata: dict[str, Any] = field(default_factory=dict)


def foreign_trace() -> ForeignTrace:
    """A trace of another library's classes."""
    steps = [
        ForeignStep(ForeignKind.LLM_CALL),
        ForeignStep(ForeignKind.TOOL, tool_name="search", tool_args={"q": [1]}),
        ForeignStep(ForeignKind.NEW),
    ]
    return ForeignTrace(steps, metadata={"user": "bob"})


def same(one: object, other: object) -> bool:
    """Equal as plain JSON, and of equal types: ``True`` is not ``1``, ``1`` is not ``1.0``."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all([same(one[key], other[key]) for key in one])
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            [same(*pair) for pair in zip(one, other, strict=True)]
        )
    return repr(one) == repr(other) if isinstance(one, float) else one == other


# Hostile values, and what of each must come back.


class Colour(Enum):
    RED = "red"
    MIXED = ("red", 2)


class Level(IntEnum):
    HIGH = 3


class Loud(str, Enum):  # noqa: UP042 - a StrEnum has another text
    YES = "yes!"


class Shout(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "a lie"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Order:
    item: str
    parts: list[Any] = field(default_factory=list)
    due: date | None = None


class Plain:
    """A class that JSON knows nothing about."""

    def __str__(self) -> str:
        return "plain as text"


class Kept(NamedTuple):
    """A value and the test of what comes back."""

    value: Any
    is_kept: Callable[[Any], bool]


def as_is(value: Any) -> Kept:
    """A value that comes back as it was."""
    return Kept(value, lambda back: same(back, value))


def becomes(value: Any, other: Any) -> Kept:
    """A value that comes back as another."""
    return Kept(value, lambda back: same(back, other))


def is_text(value: Any) -> Kept:
    """A value that comes back as some text."""
    return Kept(value, lambda back: isinstance(back, str) and back != "")


def nested(depth: int) -> list[Any]:
    """Lists in lists."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def nested_objects(depth: int) -> dict[str, Any]:
    """Objects in objects."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"in": value}
    return value


TEXTS: dict[str, str] = {
    "empty": "",
    "space": " ",
    "nul": "a\x00b",
    "only-nul": "\x00",
    "lone-surrogate": "\ud800 and \udfff",
    "surrogates-reversed": "\udc00\ud800",
    "outside-bmp": "\U0001f600",
    "quotes": 'it\'s "quoted" `so`',
    "backslash": "\\u0041 \\",
    "controls": "\t\r\n\x1b\x7f\x85\u2028\ufeff",
    "dollar": "$.a[0]",
    "wildcards": "%_*?[]",
    "json": '{"a": [1]}',
    "sql": "'); DROP TABLE traces; --",
    "combining": "e\u0301",
    "bidi": "\u202eabc",
}

_BERLIN = timezone(timedelta(hours=2))

VALUES: dict[str, Kept] = {
    **{f"text-{name}": as_is(text) for name, text in TEXTS.items()},
    "none": as_is(None),
    "true": as_is(value=True),
    "zero": as_is(0),
    "float": as_is(0.1),
    "float-whole": as_is(3.0),
    "float-largest": as_is(1.7976931348623157e308),
    "float-smallest": as_is(5e-324),
    "minus-zero": as_is(-0.0),
    "int-64-bits": as_is([2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, -(2**63) - 1]),
    "int-300-digits": as_is(10**299 + 7),
    "int-negative-300-digits": as_is(-(10**299) - 7),
    "int-5000-digits": as_is(10**4999 + 7),
    "nan": becomes(nan, None),
    "inf": becomes([inf, -inf, 1.5], [None, None, 1.5]),
    "datetime-aware": Kept(
        datetime(2026, 3, 1, 12, 30, 15, 250, tzinfo=_BERLIN),
        lambda back: (
            datetime.fromisoformat(back) == datetime(2026, 3, 1, 10, 30, 15, 250, tzinfo=UTC)
        ),
    ),
    "datetime-naive": becomes(datetime(2026, 3, 1, 12, 30), "2026-03-01T12:30:00"),  # noqa: DTZ001
    "date": becomes(date(2026, 3, 1), "2026-03-01"),
    "time": becomes(time(12, 30, 15), "12:30:15"),
    "timedelta": is_text(timedelta(seconds=90)),
    "bytes": becomes(b"\x00\xffabc", "AP9hYmM="),
    "bytearray": becomes(bytearray(b"abc"), "YWJj"),
    "enum": becomes(Colour.RED, "red"),
    "enum-of-tuple": becomes(Colour.MIXED, ["red", 2]),
    "enum-of-int": becomes(Level.HIGH, 3),
    "enum-of-str": becomes(Loud.YES, "yes!"),
    "step-type": becomes(StepType.LLM_CALL, "llm_call"),
    "str-subclass": becomes(Shout("the truth"), "the truth"),
    "set": Kept({1, 2, 3}, lambda back: isinstance(back, list) and sorted(back) == [1, 2, 3]),
    "frozenset": becomes(frozenset({"a"}), ["a"]),
    "set-of-surrogate": becomes({"\ud800"}, ["\ud800"]),
    "tuple": becomes((1, ("a", None)), [1, ["a", None]]),
    "named-tuple": becomes(Point(1, 2), [1, 2]),
    "ordered-dict": becomes(OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "defaultdict": becomes(defaultdict(int, a=1), {"a": 1}),
    "counter": becomes(Counter("aab"), {"a": 2, "b": 1}),
    "dataclass": becomes(
        Order("tea", [Order("\ud800", due=date(2026, 3, 1))]),
        {
            "item": "tea",
            "parts": [{"item": "\ud800", "parts": [], "due": "2026-03-01"}],
            "due": None,
        },
    ),
    "decimal": becomes(Decimal("1.10"), "1.10"),
    "uuid": becomes(UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "path": becomes(PurePosixPath("/a/b"), "/a/b"),
    "fraction": becomes(Fraction(1, 3), "1/3"),
    "complex": becomes(1 + 2j, "(1+2j)"),
    "object": becomes(Plain(), "plain as text"),
    "class": becomes(Plain, str(Plain)),
    "function": is_text(make_trace),
    "exception": becomes(ValueError("broken"), "broken"),
    "empty-list": as_is([]),
    "empty-object": as_is({}),
    "empty-tuple": becomes((), []),
    "keys-of-int": becomes({1: "a", -2: {3: "b"}}, {"1": "a", "-2": {"3": "b"}}),
    "keys-of-other-types": Kept(
        {None: 0, True: 1, 2.5: 2, (1, 2): 3, date(2026, 3, 1): 4, Colour.RED: 5, Plain(): 6},
        lambda back: all(isinstance(key, str) for key in back) and [*back.values()] == [*range(7)],
    ),
    "keys-that-meet": Kept({1: "int", "1": "text"}, lambda back: list(back) == ["1"]),
    "keys-hostile": as_is({text: name for name, text in TEXTS.items()}),
    "deep-lists": as_is(nested(200)),
    "deep-objects": as_is(nested_objects(200)),
    "same-list-twice": becomes([[shared := ["x"], shared], shared], [[["x"], ["x"]], ["x"]]),
    "mixed": becomes(
        {"big": 10**400, "sur": "\udc80", "when": date(2026, 3, 1), "set": {Colour.RED}, 4: nan},
        {"big": 10**400, "sur": "\udc80", "when": "2026-03-01", "set": ["red"], "4": None},
    ),
}

# Each group's members are equal as JSON values, and no two groups' are.
EQUAL_VALUES: list[list[Any]] = [
    [True],
    [1, 1.0],
    [False],
    [0, 0.0, -0.0],
    [None, nan],
    ["1"],
    ["true"],
    ["null"],
    [""],
    [[]],
    [{}],
    [[1], [1.0], (1,)],
    [[True]],
    [[1, 2], (1, 2.0)],
    [[2, 1]],
    [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}],
    [{"a": True, "b": [2]}],
    [{"a": 1}, {"a": 1.0}],
    [{"a": None}],
    [{"a": {"b": 1}}],
    [{"a.b": 1}],
    [1.5, 1.50],
    [0.1],
    [2**53, float(2**53)],
    [2**53 + 1],
    [2**63],
    [2**64],
    [10**300],
    [1e300],
    [10**4999],
    ["\ud800"],
    ["\udfff"],
    ["a\x00b"],
    ["a"],
    ["é"],
    ["e\u0301"],
    ["2026-03-01", date(2026, 3, 1)],
    ["YWJj", b"abc"],
    ["red", Colour.RED],
    ["x" * 5000],
    ["x" * 5001],
]


def various_traces(number: int, seed: int = 1) -> Iterator[AgentTrace]:
    """Traces that differ in all that filters ask for; always the same ones."""
    chance = random.Random(seed)  # noqa: S311
    for n in range(number):
        steps = [
            make_step(
                chance.choice([*[*StepType][:5], "hologram"]),
                ms=chance.choice([0.0, 0.5, 1, 20.25]),
                tool_name=chance.choice([None, "search", "book", "a'b"]),
                model=chance.choice([None, "gpt-4o", "gpt-4o-mini"]),
                error=chance.choice([None, None, None, "Timeout"]),
                cost_usd=chance.choice([None, 0, 0.125, 0.5, 2]),
            )
            for _ in range(chance.randrange(4))
        ]
        parent = chance.choice([None, "parent-1", "parent-2"])
        yield AgentTrace(
            steps,
            chance.choice([0, 1_700_000_000]),
            f"various-{n:03}",
            parent,
            various_metadata(chance),
            name=chance.choice([None, "refund", "order"]),
            session_id=chance.choice([None, "s-1", "s-2"]),
            tags=chance.choice([None, [], ["a"], ["a", "b"]]),
            outcome=chance.choice([None, None, "ok", "error"]),
        )


def various_metadata(chance: random.Random) -> Metadata:
    """Some metadata."""
    choices: Metadata = {
        "user": chance.choice(["alice", "bob", "", None]),
        "score": chance.choice([0, 1, True, 1.0, 1.5]),
        "a.b": chance.choice([1, [1], {"c": 1}]),
        "tags": chance.choice([[], ["x"], ["x", "y"]]),
    }
    return {key: value for key, value in choices.items() if chance.random() < 0.7}


def various_filters(number: int, seed: int = 2) -> Iterator[dict[str, Any]]:
    """Fields for filters, one to three at a time; always the same ones."""
    chance = random.Random(seed)  # noqa: S311
    for _ in range(number):
        fields: dict[str, Callable[[], Any]] = {
            "metadata_match": lambda: various_metadata(chance),
            "min_steps": lambda: chance.randrange(4),
            "max_steps": lambda: chance.randrange(4),
            "min_ms": lambda: chance.choice([0, 0.5, 1, 20.25, 40.5]),
            "max_ms": lambda: chance.choice([0, 0.5, 1, 20.25, 40.5]),
            "min_cost_usd": lambda: chance.choice([0, 0.25, 0.625, 1]),
            "max_cost_usd": lambda: chance.choice([0, 0.25, 0.625, 1]),
            "parent_run_id": lambda: chance.choice(["parent-1", "parent-2", "parent-3"]),
            "run_ids": lambda: [f"various-{chance.randrange(700):03}" for _ in range(100)],
            "has_error": lambda: chance.random() < 0.5,
            "step_type": lambda: chance.choice(["llm_call", "error", "hologram", "kg_extraction"]),
            "tool_name": lambda: chance.choice(["search", "book", "a'b", "none"]),
            "model": lambda: chance.choice(["gpt-4o", "gpt-4o-mini", "GPT-4O"]),
            "name": lambda: chance.choice(["refund", "order", "none"]),
            "session_id": lambda: chance.choice(["s-1", "s-2"]),
            "user_id": lambda: chance.choice(["alice", "bob", ""]),
            "agent": lambda: chance.choice(["planner", "none"]),
            "tags": lambda: chance.choice([["a"], ["a", "b"], ["x"], []]),
            "outcome": lambda: chance.choice(["ok", "error", "cancelled"]),
            "started_since": lambda: datetime.fromtimestamp(1_700_000_000.25, UTC),
            "started_until": lambda: datetime.fromtimestamp(1_700_000_000.25, UTC),
            "min_wall_ms": lambda: chance.choice([0, 501, 520.25]),
            "max_wall_ms": lambda: chance.choice([0, 501, 520.25]),
            "limit": lambda: chance.choice([0, 1, 7, 1000]),
        }
        names = chance.sample(sorted(fields), chance.randrange(1, 4))
        yield {name: fields[name]() for name in names}
