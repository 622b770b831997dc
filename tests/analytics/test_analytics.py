"""Totals, percentiles, comparisons: held against the plain way to compute them."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st

import selectools_observe as so
from selectools_observe.analytics import (
    Collector,
    PercentileBuilder,
    Percentiles,
    collect,
    collect_async,
    compare,
    depths,
    totals_of,
)
from selectools_observe.analytics.step_tree import parents
from selectools_observe.model import statistics
from selectools_observe.model.annotation_statistics import AnnotationCollector
from selectools_observe.model.annotations import Annotation
from selectools_observe.model.percentiles import EXACT_UP_TO

T = so.StepType


def built(values) -> Percentiles:
    builder = PercentileBuilder()
    for value in values:
        builder.add(value)
    return builder.spread()


def nearest_rank(values, share):
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


class TestSpread:
    @profile(50)
    @given(st.lists(st.floats(0, 1e12), min_size=1, max_size=200))
    def test_few_values_are_exact(self, values):
        spread = built(values)
        assert (spread.count, spread.min, spread.max) == (len(values), min(values), max(values))
        assert math.isclose(spread.total, math.fsum(values), rel_tol=1e-9, abs_tol=1e-9)
        found = (spread.p50, spread.p90, spread.p95, spread.p99)
        assert found == tuple(nearest_rank(values, share) for share in (0.5, 0.9, 0.95, 0.99))

    @profile(15)
    @given(st.integers(), st.floats(0.1, 6))
    def test_many_values_are_within_one_percent(self, seed, spreads):
        random = Random(seed)
        values = [random.lognormvariate(3, spreads) for _ in range(EXACT_UP_TO * 3)] + [0.0] * 40
        random.shuffle(values)
        spread = built(values)
        shares = {0.5: spread.p50, 0.9: spread.p90, 0.95: spread.p95, 0.99: spread.p99}
        for share, found in shares.items():
            assert math.isclose(found, nearest_rank(values, share), rel_tol=0.0101)
        assert (spread.min, spread.max) == (min(values), max(values))

    def test_its_memory_is_bounded(self):
        builder = PercentileBuilder()
        for exponent in range(-300, 300):
            for digit in range(1, 100):
                builder.add(digit * 10.0**exponent)
        assert len(builder._buckets) < 40_000
        assert builder._exact is None

    def test_what_is_no_quantity_counts_as_nothing(self):
        assert built([math.nan, -5, math.inf]) == Percentiles(3, 0, 0, 0, 0, 0, 0, 0)
        assert built([]) == Percentiles()

    @given(st.lists(st.integers(-1000, 1000), max_size=60))
    def test_scores_below_zero_are_spread_as_others(self, scores):
        collector = AnnotationCollector()
        for score in scores:
            collector.add({"q": Annotation("run", "q", score=score)})
        if not scores:
            assert collector.result() == {}
            return
        found, ordered = collector.result()["q"].score, sorted(scores)
        ranks = [max(1, math.ceil(share * len(scores))) for share in (0.5, 0.9, 0.95, 0.99)]
        assert [found.p50, found.p90, found.p95, found.p99] == [ordered[r - 1] for r in ranks]
        assert (found.count, found.total) == (len(scores), sum(scores))
        assert (found.min, found.max, found.error) == (ordered[0], ordered[-1], 0)

    def test_many_scores_are_off_by_one_percent_at_most(self):
        collector = AnnotationCollector()
        scores = [(number % 2001 - 1000) / 10 for number in range(20_000)]
        for score in scores:
            collector.add({"q": Annotation("run", "q", score=score)})
        found = collector.result()["q"].score
        for value, share in ((found.p50, 0.5), (found.p90, 0.9), (found.p99, 0.99)):
            exact = sorted(scores)[math.ceil(share * len(scores)) - 1]
            assert value == pytest.approx(exact, rel=0.011, abs=1e-6)
        assert (found.min, found.max) == (-100, 100)


def sample_runs() -> list[so.AgentTrace]:
    runs = []
    for number in range(6):
        trace = so.AgentTrace(run_id=f"run-{number}", metadata={"even": number % 2 == 0})
        trace.add(
            so.TraceStep(
                "llm_call", model="large" if number < 4 else "small",
                duration_ms=100 * (number + 1), prompt_tokens=10, completion_tokens=5,
                cost_usd=0.25,
            )
        )  # fmt: skip
        trace.add(so.TraceStep("tool_selection", tool_name="search"))
        trace.add(so.TraceStep("tool_execution", tool_name="search", duration_ms=7))
        trace.add(so.TraceStep("tool_execution", tool_name="search", duration_ms=9))
        if number == 2:
            trace.add(so.TraceStep("error", tool_name="refund", error="no money", duration_ms=1))
        runs.append(trace)
    return runs


@pytest.fixture
def store():
    with so.InMemoryTraceStore() as store:
        store.save_many(sample_runs())
        yield store


class TestCollect:
    def test_all_runs_together(self, store):
        total = collect(store).total
        assert (total.runs, total.calls, total.errors) == (6, 25, 1)
        assert (total.prompt_tokens, total.completion_tokens) == (60, 30)
        assert total.cost_usd.total == 1.5
        assert total.tokens.p50 == 15
        assert total.duration_ms.max == 616
        assert total.duration_ms.p50 == 317

    def test_by_model_and_tool(self, store):
        found = collect(store)
        assert [(g.key, g.runs, g.calls, g.errors) for g in found.models] == [
            ("large", 4, 4, 0),
            ("small", 2, 2, 0),
        ]
        assert [(g.key, g.runs, g.calls, g.errors) for g in found.tools] == [
            ("search", 6, 12, 0),
            ("refund", 1, 1, 1),
        ]
        assert found.tools[0].duration_ms.p50 == 7
        assert found.models[0].duration_ms.p99 == 400

    def test_a_filter_chooses_the_runs(self, store):
        found = collect(store, so.TraceFilter(metadata_match={"even": True}))
        assert found.total.runs == 3
        assert sum(group.calls for group in found.models) == 3

    def test_the_async_way_gives_the_same(self, store):
        import asyncio

        async def main():
            async with so.AsyncInMemoryTraceStore() as other:
                large = so.AgentTrace(run_id="large")
                for _ in range(1500):
                    large.add(so.TraceStep("tool_execution", tool_name="dig", duration_ms=1))
                await other.save_many([*sample_runs(), large])
                store.save(large)
                return await collect_async(other, by=("model", "tool"))

        assert asyncio.run(main()) == collect(store, by=("model", "tool"))

    def test_only_what_is_asked_for_is_made(self, store, monkeypatch):
        monkeypatch.setattr(store, "iter_traces", lambda *_: pytest.fail("no trace is needed"))
        found = collect(store, by=("day",))
        assert (found.hours, found.models, found.tools) == ((), (), ())
        assert sum(group.runs for group in found.days) == 6

    def test_a_dimension_that_is_none(self, store):
        with pytest.raises(ValueError, match="not by ''"):
            collect(store, by=("",))

    def test_days_and_hours_are_those_of_the_zone(self):
        collector = Collector(("day", "hour"), zone=timezone(timedelta(hours=2)))
        for hour in (21, 22, 23):
            moment = datetime(2026, 3, 1, hour, 30, tzinfo=UTC)
            collector.add_summary(so.TraceSummary("a", 1, 5.0, moment, has_error=hour == 23))
        found = collector.result()
        assert [(g.key, g.runs, g.errors) for g in found.days] == [
            ("2026-03-01", 1, 0),
            ("2026-03-02", 2, 1),
        ]
        assert [g.key for g in found.hours] == [
            "2026-03-01T23:00+02:00", "2026-03-02T00:00+02:00", "2026-03-02T01:00+02:00",
        ]  # fmt: skip
        assert found.days[1].start == datetime(2026, 3, 1, 22, tzinfo=UTC)

    def test_a_day_says_what_each_model_was_used_for(self, store):
        for number, (model, cost) in enumerate([("big", 0.5), ("big", None), ("small", None)]):
            trace = so.AgentTrace(run_id=f"run-{number}", start_time=1_772_000_000)
            call = {"model": model, "prompt_tokens": 10, "completion_tokens": number}
            trace.add(so.TraceStep("llm_call", timestamp=1_772_000_000, cost_usd=cost, **call))
            store.save(trace)
        filters = so.TraceFilter(run_ids=["run-0", "run-1", "run-2"])
        (day,) = collect(store, filters).days
        assert {name: dataclasses.astuple(use) for name, use in day.models.items()} == {
            "big": (2, 20, 1, 0.5),
            "small": (1, 10, 2, None),
        }
        (day,) = collect(store, filters, by=("day",)).days
        assert day.models == {}

    def test_the_number_of_groups_is_bounded(self, monkeypatch):
        monkeypatch.setattr(statistics, "MOST_NAMES", 3)
        collector = Collector(("tool",))
        trace = so.AgentTrace()
        for number in range(10):
            trace.add(so.TraceStep("tool_execution", tool_name=f"tool-{number}"))
        collector.add_trace(trace, None)
        tools = collector.result().tools
        assert len(tools) == 4
        assert (tools[-1].key, tools[-1].calls, tools[-1].runs) == (statistics.OTHERS, 7, 1)

    def test_figures_that_are_none_count_as_nothing(self):
        trace = so.AgentTrace()
        trace.add(so.TraceStep("llm_call", model="m", cost_usd=math.nan, duration_ms=math.inf))
        assert totals_of(trace) == totals_of(so.AgentTrace(steps=[so.TraceStep(T.LLM_CALL)]))


STEPS = st.builds(
    lambda kind, name, result: so.TraceStep(T(kind), tool_name=name, tool_result=result),
    st.sampled_from(["llm_call", "tool_execution", "error"]),
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([None, "x", "y"]),
)
RUNS = st.lists(STEPS, max_size=12).map(lambda steps: so.AgentTrace(steps=steps))


class TestCompare:
    @profile(200)
    @given(RUNS, RUNS)
    def test_every_step_stands_once_and_in_order(self, left, right):
        found = compare(left, right)
        assert [p.left for p in found.pairs if p.left is not None] == list(range(len(left)))
        assert [p.right for p in found.pairs if p.right is not None] == list(range(len(right)))
        different = [at for at, pair in enumerate(found.pairs) if pair.change != "same"]
        assert found.first_difference == (different[0] if different else None)

    @profile(200)
    @given(RUNS, RUNS)
    def test_as_many_steps_as_can_be_have_a_counterpart(self, left, right):
        found = compare(left, right)
        paired = sum(p.left is not None and p.right is not None for p in found.pairs)
        assert paired == longest_common([_kind(s) for s in left], [_kind(s) for s in right])

    @profile(50)
    @given(RUNS)
    def test_a_run_did_what_it_did(self, run):
        assert compare(run, run).first_difference is None

    def test_when_and_how_long_is_no_difference(self):
        one, other = (
            so.AgentTrace(steps=[so.TraceStep(T.LLM_CALL, at, 5 * at, cost_usd=at, reasoning="r")])
            for at in (1.0, 2.0)
        )
        for step, summary in ((one.steps[0], "a"), (other.steps[0], "b")):
            step.summary = summary  # made of the other fields, where there are some
        assert compare(one, other).first_difference is None

    def test_what_differs_is_named(self):
        one = so.AgentTrace(metadata={"a": 1, "b": True, "c": 1})
        other = so.AgentTrace(metadata={"a": 1.0, "b": 1, "d": 2})
        one.add(so.TraceStep("tool_execution", tool_name="t", tool_args={"n": 1}, tool_result="x"))
        other.add(
            so.TraceStep("tool_execution", tool_name="t", tool_args={"n": 2}, tool_result="y")
        )
        found = compare(one, other)
        assert found.metadata == ("b", "c", "d")
        assert found.pairs[0].fields == ("tool_args", "tool_result")

    @pytest.mark.slow
    def test_large_runs_are_compared_in_a_band(self):
        steps = [so.TraceStep(T.TOOL_EXECUTION, tool_name=f"t{n % 7}") for n in range(6000)]
        other = [
            so.TraceStep(T.ERROR),
            *steps[:3000],
            so.TraceStep(T.ERROR),
            *steps[3001:],
            so.TraceStep(T.ERROR),
        ]
        found = compare(so.AgentTrace(steps=steps), so.AgentTrace(steps=other))
        assert sum(pair.change == "same" for pair in found.pairs) == 5999
        assert [p.change for p in found.pairs if p.change != "same"] == [
            "added", "removed", "added", "added",
        ]  # fmt: skip


def _kind(step):
    return (step.type, step.tool_name)


def longest_common(one, other):
    """The textbook's table."""
    rows = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            rows[i + 1][j + 1] = max(rows[i][j] + (a == b), rows[i][j + 1], rows[i + 1][j])
    return rows[-1][-1]


class TestDepths:
    def test_a_node_holds_what_is_in_it(self):
        kinds = [
            ("graph_node_start", "a"), ("llm_call", None), ("graph_node_start", "b"),
            ("tool_execution", None), ("graph_node_end", "b"), ("graph_node_end", "a"),
            ("llm_call", None), ("graph_node_end", "never begun"), ("graph_node_start", "open"),
            ("llm_call", None),
        ]  # fmt: skip
        steps = [so.TraceStep(T(kind), node_name=name) for kind, name in kinds]
        assert depths(so.AgentTrace(steps=steps)) == [0, 1, 1, 2, 1, 0, 0, 0, 0, 1]

    def test_a_step_stands_in_the_step_that_it_names(self):
        numbers = [None, 1, 2, 1, 99, "1", -1]
        steps = [so.TraceStep(T.LLM_CALL, extra={"parent_step": number}) for number in numbers]
        assert depths(so.AgentTrace(steps=steps)) == [0, 1, 2, 1, 0, 0, 0]

    def test_branches_at_once_are_inside_of_what_names_them(self):
        kinds = [
            ("graph_parallel_start", None), ("graph_node_start", "a"), ("graph_node_start", "b"),
            ("llm_call", "a"), ("tool_execution", "b"), ("graph_node_end", "a"), ("llm_call", "b"),
            ("graph_node_end", "b"), ("graph_parallel_end", None), ("llm_call", None),
        ]  # fmt: skip
        steps = [so.TraceStep(T(kind), node_name=name) for kind, name in kinds]
        steps[0].children = ["a", "b"]
        assert depths(so.AgentTrace(steps=steps)) == [0, 1, 1, 2, 2, 1, 2, 1, 0, 0]

    def test_what_broke_off_inside_of_a_node_ends_with_it(self):
        kinds = [
            ("graph_node_start", "a"), ("graph_node_start", "b"), ("llm_call", "b"),
            ("graph_node_end", "a"), ("llm_call", None),
        ]  # fmt: skip
        steps = [so.TraceStep(T(kind), node_name=name) for kind, name in kinds]
        assert depths(so.AgentTrace(steps=steps)) == [0, 1, 2, 0, 0]

    @pytest.mark.parametrize(
        ("key", "own", "outer"),
        [("otel", "span_id", "parent_span_id"), ("openai", "span_id", "parent_id"),
         ("langchain", "run_id", "parent_run_id")],
    )  # fmt: skip
    def test_spans_and_runs_say_what_is_inside_of_what(self, key, own, outer):
        said = [
            ("graph_node_start", "1", "hidden"), ("graph_node_start", "2", "hidden"),
            ("llm_call", "3", "1"), ("tool_execution", "4", "2"), ("graph_node_end", "1", "hidden"),
            ("llm_call", "5", "4"), ("graph_node_end", "2", "hidden"), ("llm_call", "6", "6"),
            ("llm_call", "7", "a"),
        ]  # fmt: skip

        def kept(ids):  # LangChain's stand among the fields of the step
            return ids if key == "langchain" else {key: ids}

        steps = [
            so.TraceStep(T(kind), node_name="same", extra=kept({own: name, outer: parent}))
            for kind, name, parent in said
        ]
        others = "runs" if key == "langchain" else "spans"
        rest = [{own: "hidden", outer: "outside"}, {own: "a", outer: "b"}, {own: "b", outer: "a"}]
        steps.insert(1, so.TraceStep(T.LLM_CALL, extra=kept({own: "8", outer: "1"})))
        found = depths(so.AgentTrace(steps=steps, extra={key: {others: [*rest, {own: 5}, None]}}))
        assert found == [0, 1, 1, 1, 2, 0, 3, 1, 0, 0]

    def test_the_end_of_one_of_two_nodes_at_once_ends_nothing_of_the_other(self):
        said = [
            ("graph_node_start", "1", "run"), ("graph_node_start", "2", "run"),
            ("graph_node_start", "3", "2"), ("graph_node_end", "1", "run"),
            ("llm_call", None, None), ("graph_node_end", "2", "run"), ("llm_call", None, None),
        ]  # fmt: skip
        steps = [
            so.TraceStep(T(kind), node_name=f"n{name}" if name else None, extra={
                "run_id": name, "parent_run_id": outer})
            for kind, name, outer in said
        ]  # fmt: skip
        trace = so.AgentTrace(run_id="run", steps=steps)
        assert parents(trace) == [None, None, 1, 0, 2, 1, None]
        assert depths(trace) == [0, 0, 1, 0, 2, 0, 0]

    @pytest.mark.parametrize("extra", [{}, {"otel": None}, {"otel": {"spans": 5, "root": []}}])
    @pytest.mark.parametrize("kept", [None, 5, [], {"span_id": 5}, {"span_id": "a"}, {}])
    def test_what_is_kept_may_be_anything(self, extra, kept):
        steps = [so.TraceStep(T.LLM_CALL, extra={"otel": kept, "parent_step": True})]
        assert depths(so.AgentTrace(steps=steps, extra=extra)) == [0]

    def test_what_the_root_holds_is_not_in_a_node_that_is_at_work(self):
        said = [("graph_node_start", "1"), ("llm_call", "2"), ("graph_node_end", "1")]
        steps = [
            so.TraceStep(T(kind), node_name="n", extra={
                "otel": {"span_id": name, "parent_span_id": "root"}})
            for kind, name in said
        ]  # fmt: skip
        assert depths(
            so.AgentTrace(steps=steps, extra={"otel": {"root": {"span_id": "root"}}})
        ) == [0, 0, 0]
