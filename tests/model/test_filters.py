# ruff: noqa: DTZ001, FBT003
"""What a filter means, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hostile import Colour, Shade, equal, plain_values, profile
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import StepType, TraceFilter, TraceSummary
from selectools_observe.model.filters import asks_for_facts, check_filter, check_page, matches
from selectools_observe.model.trace import TraceFacts

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTS = TraceFacts(
    "parent", False, frozenset(["llm_call"]), frozenset(["search"]), frozenset(["m"])
)


def summary(**changes) -> TraceSummary:
    fields = {"run_id": "r", "steps": 5, "total_ms": 100.0, "created_at": NOON, "metadata": {}}
    return TraceSummary(**(fields | changes))


def holds(filters: TraceFilter, facts: TraceFacts = FACTS, **changes) -> bool:
    return matches(filters, summary(**changes), facts)


class TestTypes:
    @pytest.mark.parametrize("name", ["min_steps", "max_steps"])
    @pytest.mark.parametrize("wrong", ["5", 5.0, True, [5], math.nan])
    def test_step_bounds_are_integers(self, name, wrong):
        with pytest.raises(TypeError, match=f"{name} must be an integer"):
            TraceFilter(**{name: wrong})

    @pytest.mark.parametrize("name", ["min_ms", "max_ms"])
    @pytest.mark.parametrize("wrong", ["5", False, [5], 1j])
    def test_durations_are_numbers(self, name, wrong):
        with pytest.raises(TypeError, match=f"{name} must be a number"):
            TraceFilter(**{name: wrong})

    @pytest.mark.parametrize("name", ["min_ms", "max_ms"])
    def test_a_bound_that_is_not_a_number(self, name):
        with pytest.raises(ValueError, match=name):
            TraceFilter(**{name: math.nan})

    @pytest.mark.parametrize("name", ["since", "until"])
    @pytest.mark.parametrize("wrong", ["2026-01-01", 1.6e9, NOON.date()])
    def test_times_are_datetimes(self, name, wrong):
        with pytest.raises(TypeError, match=f"{name} must be a datetime"):
            TraceFilter(**{name: wrong})

    @pytest.mark.parametrize("name", ["since", "until"])
    def test_a_naive_time_is_refused_with_the_remedy(self, name):
        with pytest.raises(ValueError, match="aware") as caught:
            TraceFilter(**{name: datetime(2026, 1, 1)})
        assert name in str(caught.value)
        assert "timezone" in str(caught.value)

    @pytest.mark.parametrize("wrong", [[("a", 1)], "a", {"a"}, 5])
    def test_metadata_is_a_mapping(self, wrong):
        with pytest.raises(TypeError, match="metadata_match must be a mapping"):
            TraceFilter(metadata_match=wrong)

    def test_metadata_that_json_cannot_say(self):
        cycle: dict = {}
        cycle["a"] = cycle
        with pytest.raises(ValueError, match=r"metadata_match\..* contains itself"):
            TraceFilter(metadata_match=cycle)

    @pytest.mark.parametrize("name", ["parent_run_id", "tool_name", "model", "step_type"])
    @pytest.mark.parametrize("wrong", [5, b"a", ["a"]])
    def test_texts_are_strings(self, name, wrong):
        with pytest.raises(TypeError, match=f"{name} must be a string"):
            TraceFilter(**{name: wrong})

    @pytest.mark.parametrize("wrong", ["abc", 5, [5], ["a", None], [b"a"]])
    def test_run_ids_are_a_collection_of_strings(self, wrong):
        with pytest.raises(TypeError, match="run_ids"):
            TraceFilter(run_ids=wrong)

    @pytest.mark.parametrize("wrong", [1, 0, "yes", []])
    def test_has_error_is_a_flag(self, wrong):
        with pytest.raises(TypeError, match="has_error must be True or False"):
            TraceFilter(has_error=wrong)

    def test_limit(self):
        with pytest.raises(TypeError, match="limit"):
            TraceFilter(limit="5")
        with pytest.raises(TypeError, match="limit"):
            TraceFilter(limit=True)
        with pytest.raises(ValueError, match="limit must not be negative"):
            TraceFilter(limit=-1)

    def test_unknown_fields(self):
        with pytest.raises(TypeError):
            TraceFilter(metadata={"a": 1})

    def test_every_field_is_checked(self):
        for field in dataclasses.fields(TraceFilter):
            with pytest.raises(TypeError):
                TraceFilter(**{field.name: object()})

    def test_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            TraceFilter().min_steps = 5

    def test_is_a_snapshot(self):
        wanted = {"a": [1]}
        filters = TraceFilter(metadata_match=wanted)
        wanted["a"].append(2)
        assert holds(filters, metadata={"a": [1]})

    def test_run_ids_may_be_an_iterator(self):
        filters = TraceFilter(run_ids=iter(["r", "s"]))
        assert holds(filters)
        assert holds(filters)

    @pytest.mark.parametrize(("limit", "offset"), [(-1, 0), (0, -1)])
    def test_pages_refuse_negative_numbers(self, limit, offset):
        with pytest.raises(ValueError, match="must not be negative"):
            check_page(limit, offset)

    @pytest.mark.parametrize(
        ("limit", "offset"), [(None, 0), ("5", 0), (5.0, 0), (True, 0), (1, 0.5)]
    )
    def test_pages_refuse_what_is_no_integer(self, limit, offset):
        with pytest.raises(TypeError, match="must be an integer"):
            check_page(limit, offset)


class TestMeaning:
    def test_an_empty_filter_matches_everything(self):
        assert holds(TraceFilter())
        assert holds(TraceFilter(metadata_match={}))
        assert not asks_for_facts(TraceFilter())

    def test_bounds_are_inclusive(self):
        assert holds(TraceFilter(min_steps=5, max_steps=5))
        assert not holds(TraceFilter(min_steps=6))
        assert not holds(TraceFilter(max_steps=4))
        assert holds(TraceFilter(min_ms=100, max_ms=100))
        assert not holds(TraceFilter(min_ms=100.001))
        assert not holds(TraceFilter(max_ms=99.999))

    def test_bounds_that_exclude_everything_are_no_error(self):
        assert not holds(TraceFilter(min_steps=5, max_steps=2))
        assert not holds(TraceFilter(run_ids=[]))
        assert not holds(TraceFilter(since=NOON + timedelta(1), until=NOON - timedelta(1)))

    def test_bounds_may_be_huge(self):
        assert holds(TraceFilter(min_steps=-(10**30), max_steps=10**30))
        assert holds(TraceFilter(min_ms=-math.inf, max_ms=math.inf))
        assert not holds(TraceFilter(min_ms=10**400))

    def test_times_compare_by_instant(self):
        for hours in range(-23, 24):
            zone = timezone(timedelta(hours=hours))
            assert holds(TraceFilter(since=NOON.astimezone(zone), until=NOON.astimezone(zone)))
            later = (NOON + timedelta(microseconds=1)).astimezone(zone)
            assert not holds(TraceFilter(since=later))
            assert holds(TraceFilter(until=later))

    def test_the_ends_of_time(self):
        far_east, far_west = timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))
        assert holds(TraceFilter(since=datetime.min.replace(tzinfo=far_east)))
        assert holds(TraceFilter(until=datetime.max.replace(tzinfo=far_west)))

    @pytest.mark.parametrize(
        ("stored", "wanted", "found"),
        [
            ({"a": 1}, {"a": 1.0}, True),
            ({"a": True}, {"a": 1}, False),
            ({"a": 1}, {"a": True}, False),
            ({"a": 0}, {"a": False}, False),
            ({"a": None}, {"a": None}, True),
            ({}, {"a": None}, False),
            ({"a": ""}, {"a": None}, False),
            ({"a": {"b": 1}}, {"a.b": 1}, False),
            ({"a.b": 1}, {"a.b": 1}, True),
            ({"a": {"b": 1}}, {"a": {}}, False),
            ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, True),
            ({"a": [1, 2]}, {"a": [2, 1]}, False),
            ({"a": [1, 2]}, {"a": (1, 2)}, True),
            ({"a": "red"}, {"a": Colour.RED}, True),
            ({"a": "pale"}, {"a": Shade.PALE}, True),
            ({"a": None}, {"a": math.nan}, True),
            ({"1": "x"}, {1: "x"}, True),
            ({"a": "AA=="}, {"a": b"\x00"}, True),
            ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
            ({"a": "\ud800"}, {"a": "\ud800"}, True),
            ({"$": 1}, {"$": 1}, True),
            ({'"': 1}, {'"': 1}, True),
            ({"": 1}, {"": 1}, True),
            ({"a": 10**300}, {"a": 10**300}, True),
            ({"a": 2**53 + 1}, {"a": 2.0**53}, False),
            ({"a": "2026-03-01T12:00:00Z"}, {"a": NOON}, True),
        ],
    )
    def test_metadata(self, stored, wanted, found):
        assert holds(TraceFilter(metadata_match=wanted), metadata=stored) is found

    @given(
        st.dictionaries(st.sampled_from("abc"), plain_values, max_size=3),
        st.dictionaries(st.sampled_from("abc"), plain_values, max_size=3),
    )
    @profile(300)
    def test_metadata_against_the_plain_meaning(self, stored, wanted):
        found = all(key in stored and equal(stored[key], wanted[key]) for key in wanted)
        assert holds(TraceFilter(metadata_match=wanted), metadata=stored) == found
        assert holds(TraceFilter(metadata_match=stored), metadata=stored)

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({"parent_run_id": "parent"}, True),
            ({"parent_run_id": "r"}, False),
            ({"run_ids": ["q", "r"]}, True),
            ({"run_ids": {"q"}}, False),
            ({"has_error": False}, True),
            ({"has_error": True}, False),
            ({"step_type": StepType.LLM_CALL}, True),
            ({"step_type": "llm_call"}, True),
            ({"step_type": "from_the_future"}, False),
            ({"tool_name": "search"}, True),
            ({"tool_name": ""}, False),
            ({"model": "m"}, True),
            ({"model": "M"}, False),
            ({"model": "m", "tool_name": "search", "has_error": False}, True),
            ({"model": "m", "tool_name": "other"}, False),
        ],
    )
    def test_facts(self, wanted, found):
        assert holds(TraceFilter(**wanted)) is found

    def test_unset_facts_of_a_trace_match_no_text(self):
        nothing = TraceFacts(None, False, frozenset(), frozenset(), frozenset())
        for name in ("parent_run_id", "step_type", "tool_name", "model"):
            assert not holds(TraceFilter(**{name: ""}), nothing)

    def test_the_limit_is_no_condition(self):
        assert holds(TraceFilter(limit=0))


@pytest.mark.parametrize(
    ("where", "run_ids"),
    [("run:a steps>1", {"a"}), ("-run:a", None), ("run:a*", None), ("run:a OR run:b", None)],
)
def test_a_run_that_a_condition_names_is_found_by_its_id(where, run_ids):
    asked = check_filter(TraceFilter.parse(where))
    assert (None if asked.run_ids is None else set(asked.run_ids)) == run_ids
    assert asked.where == TraceFilter.parse(where).where
