"""The filter language: what each form means, and what is said of what cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, TraceStep, TraceSummary
from selectools_observe.model.conditions import judge
from selectools_observe.model.facets import facts_of
from selectools_observe.model.filter_language import FilterSyntaxError, parse_condition

TRACE = AgentTrace(
    run_id="run-1",
    parent_run_id="run-0",
    metadata={"reward": 0.5, "user": "ada", "env": "prod", "trial": 3, "ok": True, "key": "3"},
    steps=[
        TraceStep("llm_call", model="gpt-4o-mini", reasoning="use the gift card"),
        TraceStep("tool_execution", tool_name="search", tool_result="found"),
        TraceStep("tool_execution", tool_name="book", error="full"),
    ],
)
SUMMARY = TraceSummary(
    "run-1", 3, 5500.0, datetime(2026, 3, 1, 12, tzinfo=UTC), TRACE.metadata, 9000, 2000, 0.07,
    has_error=True, user_id="ada",
)  # fmt: skip


def holds(text: str) -> bool | None:
    condition = parse_condition(text, zone=UTC)
    assert condition is not None
    return judge(condition, SUMMARY, facts_of(TRACE), TRACE)


@pytest.mark.parametrize(
    "text",
    [
        "reward<1", "reward>=0.5", "reward:0.5", "trial:3", "trial=3", "trial>2", "key:3",
        'key:"3"', "ok:true", "env:prod", "env:pr*", "-env:dev", "env!=dev", "env:*", "has:env",
        "-has:other", "status:error", "error:yes", "-status:ok", "latency>5s", "ms>=5500",
        "ms:5500", "latency<1m", "tokens>10k", "tokens:11000", "cost>$0.05", "cost<0.1",
        "steps:3", "steps>=3", "model:gpt-4*", "-model:gpt-4o", "tool:book", "tool:book!error",
        "-tool:search!error", "tool:b*!failed", "type:llm_call", "type:tool_execution!error",
        "user:ada", "(user:ben OR user:ada)", "user:ben OR user:ada", "parent:run-0", "run:run-1",
        '"gift card"', "gift", "gift -refund", 'text:"gift card"', "NOT refund", "has:cost",
        "has:error", "has:parent", "has:tool", "has:user", "saved:2026-03-01", "since:2026-03-01",
        "until:2026-03-01", "saved<2026-03-02", "meta.env:prod", "metadata.reward<1",
        "a_b OR env:prod", "-(env:dev OR env:test)", "env:prod AND trial:3",
        'env:"prod"', "latency:>5s",
    ],
)  # fmt: skip
def test_holds(text: str) -> None:
    assert holds(text) is True
    assert holds(f"-({text})") is False


@pytest.mark.parametrize(
    "text",
    [
        "reward<0.5", "env<1", "missing<1", "missing>1", 'trial:"3"', "ok:1", "tool:search!error",
        "refund", '"card gift"', "steps>3", "user:ada user:ben", "saved>2026-03-01", "has:missing",
    ],
)  # fmt: skip
def test_does_not_hold(text: str) -> None:
    assert holds(text) is False


@pytest.mark.parametrize(
    ("text", "words", "position"),
    [
        ("status:eror", "did you mean 'error'", 1),
        ("env:prod tols:x", "no run has the metadata key 'tols'.*did you mean 'tool'", 10),
        ("enw:prod", "did you mean 'env'", 1),
        ("rewrad<1", "did you mean 'reward'", 1),
        ("(a OR b", "never closed", 1),
        ("a b)", "without its", 4),
        ("a OR", "a condition is missing", 5),
        ("a OR )", "a condition is missing", 6),
        ("-", "no word", 1),
        ("latency>5x", "is not a time such as", 1),
        ("tokens>many", "is not a number such as", 1),
        ("reward<high", "compared with a number", 1),
        ("lattency>5s", "did you mean 'latency'", 1),
        ("startd>2026-01-01", "did you mean 'started'", 1),
        ("tool:book!eror", "!eror is not known here: write !error", 1),
        ("tool:book!Error", "!Error is not known here: write !error", 1),
        ("tool:book!fail", "!fail is not known here: write !error", 1),
        ("tool>3", "cannot be compared", 1),
        ("env:", "a value is missing", 1),
        ("status:ok user:u!error", "only tool, model and type", 11),
        ("since>2h", "since takes a time", 1),
        ("saved:2h", "takes a day", 1),
        ("since:whenever", "is not a time", 1),
        ("(" * 60 + "a" + ")" * 60, "more than 50", 51),
        ("x" * 20_000, "at most 10,000", 10_001),
    ],
)
def test_what_cannot_be_read_says_where_and_what_was_meant(
    text: str, words: str, position: int
) -> None:
    with pytest.raises(FilterSyntaxError, match=words) as caught:
        parse_condition(text, keys=["env", "reward", "user"])
    assert f"character {position}" in str(caught.value)


def test_nothing_asks_nothing() -> None:
    assert parse_condition("") is None
    assert parse_condition("  \n") is None


def test_days_are_those_of_the_zone() -> None:
    summary = TraceSummary("r", 0, 0.0, datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    for zone, expected in ((UTC, True), (ZoneInfo("Asia/Tokyo"), False)):
        condition = parse_condition("saved:2026-03-01", zone=zone)
        assert condition is not None
        assert judge(condition, summary) is expected


def test_what_a_part_of_the_run_cannot_tell_is_left_open() -> None:
    def asked(text: str, **known: Any) -> bool | None:
        condition = parse_condition(text)
        assert condition is not None
        return judge(condition, SUMMARY, **known)

    assert asked("env:prod gift") is None
    assert asked("env:dev gift") is False
    assert asked("env:prod OR gift") is True
    assert asked("tool:book") is None
    assert asked("tool:book", facts=facts_of(TRACE)) is True
    assert asked("-gift", facts=facts_of(TRACE)) is None


@given(st.text(st.sampled_from('ab:<>=!-()"* ORNT\\.1é'), max_size=30))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        condition = parse_condition(text)
    except FilterSyntaxError:
        return
    if condition is not None:
        assert judge(condition, SUMMARY, facts_of(TRACE), TRACE) in {True, False}
