# ruff: noqa: DTZ001, FBT003, PT017
"""JSON without loss, and the equality of JSON values."""

from __future__ import annotations

import json
import math
import sys

import pytest
from hostile import (
    NASTY,
    Colour,
    Fixed,
    Opaque,
    Point,
    Shade,
    Shouting,
    as_json,
    equal,
    nested,
    plain_values,
    profile,
    values,
)
from hypothesis import example, given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, InvalidTraceError, TraceStep
from selectools_observe.model.codec import encode
from selectools_observe.model.json_values import (
    UnstorableValueError,
    canonical,
    dumps,
    dumps_slowly,
    is_nested_deeply,
    loads,
    loads_slowly,
    plain,
)


@given(plain_values)
@profile(500)
def test_json_values_come_back_as_they_went(value):
    again = loads(dumps(value))
    assert equal(again, value)
    assert json.loads(json.dumps(again)) == again  # of the very types


@given(values)
@profile(500)
def test_any_value_comes_back_as_the_contract_says(value):
    assert equal(plain(value), as_json(value))


@given(values)
@profile(500)
def test_fast_and_slow_writers_agree(value):
    fast, slow = loads_slowly(dumps(value)), loads_slowly(dumps_slowly(value))
    assert equal(fast, slow)


@given(plain_values)
@profile(500)
def test_fast_and_slow_readers_agree(value):
    text = json.dumps(value)
    assert equal(loads(text), loads_slowly(text))
    assert equal(loads(text.encode()), value)


@given(plain_values)
@profile(200)
def test_what_is_written_is_json_to_everybody(value):
    assert equal(json.loads(dumps(value).decode("utf-8")), value)
    assert b"\n" not in dumps(value)


@given(plain_values, plain_values)
@example(1, True)
@example(0, False)
@example(1, 1.0)
@example(0, -0.0)
@example(None, 0)
@example("", None)
@example("1", 1)
@example("null", None)
@example([], {})
@example([1], ["1"])
@example({"a": 1, "b": 2}, {"b": 2.0, "a": 1})
@example({"a": 1}, {"a": True})
@example(2**53, 2.0**53)
@example(2**53 + 1, 2.0**53)
@example(10**300, 1e300)
@example(["a,b"], ["a", "b"])
@example({"a": "b"}, ["a", "b"])
@example(["s1:a"], ["a"])
@profile(500)
def test_canonical_texts_are_equal_just_when_values_are(one, other):
    assert (canonical(one) == canonical(other)) == equal(one, other)


@given(plain_values)
@profile(300)
def test_canonical_is_a_function_of_the_value(value):
    assert canonical(value) == canonical(loads(dumps(value)))
    shuffled = json.loads(json.dumps(value, sort_keys=True))
    assert canonical(value) == canonical(shuffled)


@given(st.lists(plain_values, min_size=2, max_size=5))
@profile(300)
def test_canonical_texts_do_not_collide(several):
    for one in several:
        for other in several:
            assert (canonical(one) == canonical(other)) == equal(one, other)
    assert equal(
        [canonical(item) for item in several] == [canonical(item) for item in reversed(several)],
        equal(several, several[::-1]),
    )


@pytest.mark.parametrize("text", NASTY)
def test_strings(text):
    assert plain({text: [text]}) == {text: [text]}


@pytest.mark.parametrize("digits", [20, 300, 4299, 4300, 4301, 20_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_integers_of_any_length(digits, sign):
    number = sign * (10**digits - 1)
    assert loads(dumps(number)) == number
    assert loads(dumps([{"a": number}])) == [{"a": number}]
    assert canonical(number) == canonical(plain(number))
    assert canonical(number) != canonical(number - sign)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        ((1, 2), [1, 2]),
        (frozenset([1]), [1]),
        (b"\x00\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        (memoryview(b"a"), "YQ=="),
        (Colour.RED, "red"),
        (Colour.DEEP, 7),
        (Shade.PALE, "pale"),
        (Point(1, [Point(2)]), {"x": 1, "y": [{"x": 2, "y": None}]}),
        (Fixed("a"), {"name": "a"}),
        (Opaque("it"), "it"),
        (Shouting("truth"), "truth"),
        ({1: "a"}, {"1": "a"}),
        ({Colour.RED: 1}, {"red": 1}),
        ({Shade.PALE: 1}, {"pale": 1}),
        ({Opaque("k"): 1}, {"k": 1}),
        (range(2), "range(0, 2)"),
        (len, str(len)),
        (Point, str(Point)),
    ],
)
@pytest.mark.parametrize("write", [dumps, dumps_slowly])
def test_foreign_values(value, stored, write):
    assert equal(loads(write(value)), stored)
    assert equal(loads(write({"a": [value]})), {"a": [stored]})


def test_what_contains_itself_more_than_once_is_refused_at_once():
    """Level by level it is twice as much each time: looked at so, it never ended."""
    loop, listed = {}, []
    loop.update(a=loop, b=loop, c=loop)
    listed += [(listed, listed), {"a": listed}]
    for value in (loop, listed):
        assert is_nested_deeply(value)
        for trace in (
            AgentTrace([TraceStep("tool_execution", tool_args={"x": value})]),
            AgentTrace(metadata={"x": value}),
        ):
            with pytest.raises(InvalidTraceError, match="contains itself"):
                encode(trace)


@pytest.mark.parametrize("key", [None, True, 1.5, (1, 2), b"k", math.nan, 10**30, "\ud800"])
def test_keys_become_strings_the_same_way(key):
    fast, slow = loads(dumps({key: 1})), loads(dumps_slowly({key: 1}))
    assert fast == slow
    (name,) = fast
    assert isinstance(name, str)


def test_dates():
    from datetime import UTC, date, datetime, time, timedelta, timezone

    east = timezone(timedelta(hours=2))
    assert plain(datetime(2026, 1, 2, 3, 4, 5, 6)) == "2026-01-02T03:04:05.000006"
    assert plain(date(2026, 1, 2)) == "2026-01-02"
    assert plain(time(3, 4)) == "03:04:00"
    for moment in (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, tzinfo=east)):
        assert datetime.fromisoformat(plain(moment)) == moment
    assert isinstance(plain(timedelta(seconds=5)), str)


def _cyclic_list():
    cycle: list = [1]
    cycle.append(cycle)
    return cycle


def _cyclic_dict():
    cycle: dict = {}
    cycle["a"] = {"b": [cycle]}
    return cycle


class Failing:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (_cyclic_list(), "it[1]", "contains itself"),
        (_cyclic_dict(), "it.a.b[0]", "contains itself"),
        ({"deep": [0, Failing()]}, "it.deep[1]", "Failing"),
    ],
)
def test_what_cannot_be_stored_is_named(value, path, reason):
    with pytest.raises(UnstorableValueError) as caught:
        dumps(value, "it")
    assert caught.value.path == path
    assert reason in caught.value.reason


def test_the_same_value_twice_is_no_cycle():
    shared = [1]
    assert plain({"a": shared, "b": [shared, shared]}) == {"a": [1], "b": [[1], [1]]}
    assert loads(dumps_slowly([shared, shared])) == [[1], [1]]


@pytest.mark.parametrize("depth", [10, 100, 300, 450, 600, 900, 2000, 100_000])
def test_depth_is_either_kept_or_refused_with_a_reason(depth):
    try:
        data = dumps(nested(depth), "it")
    except UnstorableValueError as error:
        assert "nested too deeply" in error.reason
        assert depth > 100
        return
    value = loads(data)
    for level in reversed(range(depth)):
        value = value[0] if level % 2 else value["d"]
    assert value == "bottom"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"nope", b'{"a":}', b"\xff", b"[1,]", b'"\x00"', b"1 2", b'{"a":1}x', b"\x00" * 9],
)
def test_what_is_no_json_is_a_value_error(data):
    with pytest.raises(ValueError):
        loads(data)


def test_deeply_nested_text_is_a_value_error():
    depth = sys.getrecursionlimit() * 50
    with pytest.raises(ValueError, match="nested too deeply"):
        loads(b"[" * depth + b"]" * depth)


def test_five_megabytes():
    text = "x\u00e9\ud800" * 1_700_000
    assert plain({"a": text}) == {"a": text}
