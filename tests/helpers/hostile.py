# ruff: noqa: C901, DTZ001, UP042
"""Values that break stores, and what JSON should make of them, said without the package's help."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import string
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import reduce
from operator import add
from pathlib import PurePosixPath

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

import selectools_observe as so
from selectools_observe.model.trace import TraceFacts

PROFILE = os.environ.get("SELECTOOLS_OBSERVE_TESTS", "default")
"""Set SELECTOOLS_OBSERVE_TESTS=ci for ten times the examples, as CI does; =long for a search that
takes minutes and differs each time."""
LONG = PROFILE == "long"
_SHARE = {"default": 0.1, "ci": 1, "long": 20}[PROFILE]


def profile(examples: int, **options) -> settings:
    """The same search at every run, short or whole, or a long one."""
    return settings(
        max_examples=max(10, int(examples * _SHARE)),
        derandomize=not LONG,
        database=None,
        deadline=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        **options,
    )


class Colour(Enum):
    RED = "red"
    DEEP = 7


class Shade(str, Enum):
    PALE = "pale"


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "a lie"


@dataclasses.dataclass
class Point:
    x: object
    y: object = None


@dataclasses.dataclass(frozen=True)
class Fixed:
    name: str


class Opaque:
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def as_json(value):
    """What comes back of a value: the contract's rules in plain Python."""
    if isinstance(value, Enum):
        return as_json(value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, datetime | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def _key(key: object) -> str:
    plain = as_json(key)
    return plain if isinstance(plain, str) else json.dumps(plain)


def equal(one, other) -> bool:
    """JSON equality, type for type: 1 equals 1.0, True does not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and one == other


# Strings that meet the edges of SQL, JSON, UTF-8 and paths. No two surrogates stand side by side:
# as JSON escapes they would be one character.
NASTY = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "lone \udfff in the middle",
    "\U0001f600",
    "é\u0301",
    "\u2028\u2029",
    "a.b",
    "$",
    "$.a",
    '"',
    "'",
    "\\",
    'it\'s "quoted"',
    "'; DROP TABLE traces; --",
    "%",
    "_",
    "[0]",
    "\n",
    "\r\n",
    "null",
    "true",
    "1",
    "NaN",
    "__selectools_observe_extra__",
    "run_id",
    "\ufeff",
    "\uffff",
    "z" * 300,
]

texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(alphabet=string.ascii_letters, max_size=6),
    st.text(max_size=8),  # any character but surrogates
)
keys = texts
integers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**300, -(10**300)]),
    st.integers(),
)
floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e308, 5e-324, math.inf, -math.inf, math.nan, 2.0**53]),
    st.floats(),
)
_zones = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]
)
instants = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1), timezones=_zones
)
foreign = st.one_of(
    st.binary(max_size=5),
    st.binary(max_size=3).map(bytearray),
    instants,
    st.datetimes(min_value=datetime(1000, 1, 1)),
    st.dates(min_value=date(1000, 1, 1)),
    st.sampled_from([*Colour, *Shade, so.StepType.LLM_CALL]),
    st.sampled_from([Shouting("truth"), Decimal("1.50"), uuid.UUID(int=7), PurePosixPath("/a/b")]),
    st.sampled_from([Opaque("opaque"), Opaque("\ud801"), Fixed("frozen"), 1 + 2j]),
)
scalars = st.one_of(st.none(), st.booleans(), integers, floats, texts)
plain_scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)


def _containers(values):
    return st.one_of(
        st.lists(values, max_size=3),
        st.dictionaries(
            st.one_of(keys, st.integers(-2, 2), st.sampled_from(Shade)), values, max_size=3
        ),
        st.tuples(values),
        st.builds(Point, values, values),
    )


def _plain_containers(values):
    return st.one_of(st.lists(values, max_size=3), st.dictionaries(keys, values, max_size=3))


values = st.recursive(
    st.one_of(scalars, foreign, st.frozensets(integers, max_size=2), st.sets(texts, max_size=2)),
    _containers,
    max_leaves=8,
)
"""Anything at all."""

plain_values = st.recursive(plain_scalars, _plain_containers, max_leaves=8)
"""What JSON itself can say."""


def nested(depth: int):
    """A value of this depth."""
    value: object = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"d": value}
    return value


STRING_FIELDS = [
    "tool_result",
    "reasoning",
    "error",
    "summary",
    "node_name",
    "checkpoint_id",
    "interrupt_key",
    "from_node",
    "to_node",
]
_INTEGERS = ["prompt_tokens", "completion_tokens", "step_number"]

TOOLS = ["search", "book", "a.b", "$", "", "\ud800", "it's"]
MODELS = ["gpt-4o", "", "m\x00"]
TYPES = [*[*so.StepType][:4], "error", "from_the_future", "", "lone \udfff"]

_durations = st.one_of(
    st.sampled_from([0.0, 1.5, 2, 100.25, 1e308, math.inf, math.nan, 10**300]),
    st.floats(0, 1e6),
)
_optional = {
    **dict.fromkeys(STRING_FIELDS, texts),
    **dict.fromkeys(_INTEGERS, integers),
    "tool_name": st.sampled_from(TOOLS),
    "model": st.sampled_from(MODELS),
    "tool_args": st.dictionaries(keys, values, max_size=3),
    "cost_usd": floats,
    "children": st.lists(texts, max_size=2),
    "extra": st.dictionaries(
        st.sampled_from(["later", "a.b", "née", ""]), values, min_size=1, max_size=2
    ),
}


@st.composite
def steps(draw):
    chosen = draw(st.sets(st.sampled_from(sorted(_optional)), max_size=4))
    return so.TraceStep(
        type=draw(st.sampled_from(TYPES)),
        timestamp=draw(st.one_of(st.floats(0, 2e9), st.integers(0, 2**31))),
        duration_ms=draw(_durations),
        **{name: draw(_optional[name]) for name in sorted(chosen)},
    )


SIMPLE_IDS = st.text(string.ascii_lowercase, min_size=1, max_size=6)
ANY_METADATA = st.dictionaries(keys, values, max_size=4)


@st.composite
def traces(draw, run_ids=SIMPLE_IDS, metadata=ANY_METADATA):
    extra = st.dictionaries(st.sampled_from(["version", "a.b"]), values, min_size=1, max_size=2)
    return so.AgentTrace(
        steps=draw(st.lists(steps(), max_size=4)),
        start_time=draw(st.one_of(st.floats(0, 2e9), st.integers(0, 2**31))),
        run_id=draw(run_ids),
        parent_run_id=draw(st.sampled_from([None, None, "parent", "", "p\x00", "\ud800"])),
        metadata=draw(metadata),
        extra=draw(st.one_of(st.none(), st.none(), extra)),
    )


def step_as_stored(step) -> dict:
    """The dictionary that a loaded step must give."""
    fields = {"type": str.__str__(getattr(step.type, "value", step.type))}
    for name in so.TraceStep.__struct_fields__:
        if name in ("type", "extra"):
            continue
        value = as_json(getattr(step, name))
        if value is None and name == "duration_ms":
            value = 0.0
        if value is not None:
            fields[name] = value
    return fields | as_json(step.extra or {})


def total(durations) -> float:
    """What is no finite number counts as 0."""
    finite = [d for d in durations if isinstance(d, int | float) and _finite(d)]
    added = reduce(add, finite, 0)  # `sum` rounds otherwise from Python 3.12 on
    return added if _finite(added) else 0.0


def _finite(number) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def as_stored(trace) -> dict:
    """The dictionary that a loaded trace must give."""
    steps = [step_as_stored(step) for step in trace.steps]
    stored = {
        "run_id": trace.run_id,
        "start_time": as_json(trace.start_time),
        "total_duration_ms": total(step["duration_ms"] for step in steps),
        "step_count": len(steps),
        "steps": steps,
    }
    if trace.parent_run_id is not None:
        stored["parent_run_id"] = trace.parent_run_id
    if trace.metadata:
        stored["metadata"] = as_json(trace.metadata)
    return stored | as_json(trace.extra or {})


def facts_as_stored(trace) -> TraceFacts:
    """What filters may ask of it."""
    stored = [step_as_stored(step) for step in trace.steps]
    failed = [step for step in stored if step["type"] == "error" or "error" in step]

    def names(steps) -> list[frozenset[str]]:
        fields = ("type", "tool_name", "model")
        return [frozenset(s[name] for s in steps if name in s) for name in fields]

    return TraceFacts(trace.parent_run_id, bool(failed), *names(stored), *names(failed))


def usage_as_stored(trace) -> tuple[int, int, float | None]:
    """The tokens and the cost that its summary must tell."""
    stored = [step_as_stored(step) for step in trace.steps]

    def whole(name: str) -> int:
        given = [step[name] for step in stored if name in step]
        if any(type(value) is not int for value in given):
            given = [int(value) for value in given if _is_number(value)]
        return max(-(2**63) + 1, min(sum(given), 2**63 - 1))

    costs = [float(s["cost_usd"]) for s in stored if _is_number(s.get("cost_usd"))]
    return whole("prompt_tokens"), whole("completion_tokens"), total(costs) if costs else None


def _is_number(value) -> bool:
    return isinstance(value, int | float) and _finite(value)
