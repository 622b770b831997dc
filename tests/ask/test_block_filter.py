"""What columns of kept runs say of a filter is what plain Python says of each run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hostile import plain_values, profile, texts
from hypothesis import given
from hypothesis import strategies as st
from questions import MOMENTS, keys, names, numbers, runs, told_by_columns

from selectools_observe import AgentTrace, InMemoryTraceStore, TraceFilter
from selectools_observe.backends.sqlite.rollups.block_filter import BlockFilter, is_told_by_columns
from selectools_observe.backends.sqlite.rollups.columns import BlockBuilder
from selectools_observe.model import conditions as c
from selectools_observe.model.codec import encode
from selectools_observe.model.facets import facts_of
from selectools_observe.model.filters import matches
from selectools_observe.model.stored_calls import stored_calls


def holding(found: list[AgentTrace], filters: TraceFilter) -> tuple[bytes, bytes]:
    """The places that the columns tell, and those that plain Python tells."""
    builder, expected = BlockBuilder(), []
    with InMemoryTraceStore() as store:
        store.save_many(found)
        summaries = list(store.list(len(found)))
        stored = store.load_many([summary.run_id for summary in summaries])
    for place, summary in zip(range(255, 0, -1), summaries, strict=False):
        trace = stored[summary.run_id]
        builder.add(place, summary, stored_calls(encode(trace).trace))
        if matches(filters, summary, facts_of(trace)):
            expected.append(place)
    return BlockFilter(filters).places(builder.runs()), bytes(expected)


@pytest.mark.slow
@given(runs(), told_by_columns)
@profile(400)
def test_any_condition_on_any_runs(found: list[AgentTrace], condition: c.Condition) -> None:
    told, expected = holding(found, TraceFilter(where=condition))
    assert told == expected


@pytest.mark.slow
@given(runs(), st.data())
@profile(200)
def test_any_field_of_a_filter(found: list[AgentTrace], data: st.DataObject) -> None:
    values: dict[str, st.SearchStrategy] = {
        "metadata_match": st.dictionaries(keys, plain_values, max_size=2),
        "tags": st.lists(texts, max_size=2),
        "has_error": st.booleans(),
    }
    for name in ("min_steps", "max_steps"):
        values[name] = st.integers(-2, 4)
    for name in ("min_ms", "max_ms", "min_cost_usd", "max_cost_usd", "min_wall_ms", "max_wall_ms"):
        values[name] = numbers
    for name in ("since", "until", "started_since", "started_until"):
        values[name] = st.sampled_from(MOMENTS)
    for name in ("step_type", "tool_name", "model", "parent_run_id", "name", "session_id",
                 "user_id", "agent", "outcome"):  # fmt: skip
        values[name] = names
    filters = TraceFilter(**{name: data.draw(value) for name, value in values.items()})
    for name in values:
        each = TraceFilter(**{name: getattr(filters, name)})
        assert is_told_by_columns(each)
        told, expected = holding(found, each)
        assert told == expected, each


@pytest.mark.parametrize(
    "filters", [TraceFilter(text="a"), TraceFilter(run_ids=["a"]), TraceFilter(where="a -run:b*")]
)
def test_what_only_runs_tell_is_left_to_them(filters: TraceFilter) -> None:
    assert not is_told_by_columns(filters)
    assert is_told_by_columns(replace(filters, text=None, run_ids=None, where="-score.a>1"))
    assert not is_told_by_columns(TraceFilter(where="score.a>1"))


def test_a_parent_without_a_name_is_one() -> None:
    found = [AgentTrace(run_id="a", parent_run_id=""), AgentTrace(run_id="b")]
    for filters in (TraceFilter(where="has:parent"), TraceFilter(parent_run_id="")):
        told, expected = holding(found, filters)
        assert told == expected != b""
