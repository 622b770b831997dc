"""What any store can be asked, of any runs, and what plain Python answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hostile import plain_values, texts, traces
from hypothesis import strategies as st

from selectools_observe import AgentTrace, TraceFilter
from selectools_observe.analytics import Collector
from selectools_observe.model import conditions as c
from selectools_observe.model.clock import time_of
from selectools_observe.model.groups import FacetCollector, GroupCollector
from selectools_observe.model.ordering import ORDERS
from selectools_observe.model.rollups import rollup_of
from selectools_observe.testing.question_checks import matching_runs
from selectools_observe.testing.question_checks import told as told_run
from selectools_observe.testing.summing_checks import same_but_for_errors

MOMENTS = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 5, tzinfo=UTC)]
names = st.one_of(st.sampled_from(["*", "a*", "search", "gpt-4o", "llm_call", "error"]), texts)
operators = st.sampled_from(list(c.COMPARISONS))
numbers = st.one_of(st.integers(-2, 3), st.sampled_from([0.5, 2**63, -(10**400), 1e308]))
keys = st.sampled_from(["k", "user_id", "session_id", "tags", "agent", "\ud800"])
leaves = st.one_of(
    st.builds(
        c.Bound,
        st.sampled_from(
            [
                "steps",
                "total_ms",
                "wall_ms",
                "cost_usd",
                "tokens",
                "prompt_tokens",
                "completion_tokens",
            ]
        ),
        operators,
        numbers,
    ),
    st.builds(
        c.Moment,
        st.sampled_from(["created_at", "started_at"]),
        operators,
        st.sampled_from(MOMENTS),
    ),
    st.builds(c.MetadataBound, keys, operators, numbers),
    st.builds(c.MetadataIs, keys, st.tuples(plain_values)),
    st.builds(c.MetadataIs, keys, pattern=names),
    st.builds(c.HasKey, keys),
    st.builds(c.StepHas, st.sampled_from(["tool", "model", "type"]), names, st.booleans()),
    st.builds(
        c.RunIs,
        st.sampled_from(
            ["parent_run_id", "name", "session_id", "user_id", "agent", "tags", "outcome"]
        ),
        names,
    ),
    st.just(c.HasError()),
    st.builds(c.HasField, st.sampled_from(c.FIELDS_TO_HAVE)),
    st.builds(c.IsAnnotated),
    st.builds(c.ScoreBound, names, operators, numbers),
)


def _combined(leaves: st.SearchStrategy) -> st.SearchStrategy:
    return st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.builds(c.Not, parts),
            st.builds(c.AllOf, st.lists(parts, max_size=3).map(tuple)),
            st.builds(c.AnyOf, st.lists(parts, max_size=3).map(tuple)),
        ),
        max_leaves=5,
    )


told_by_columns = _combined(leaves)
told = st.dictionaries(keys, st.one_of(plain_values, texts, st.lists(texts, max_size=2)))


_SAID = (
    "refund", "REFUND", "Réfunds", "gift", "card", "gift-card", "get_order_details", "東京に行く",
    "Straße", "x", "\ufb01ne",
)  # fmt: skip
said = st.lists(st.sampled_from(_SAID), max_size=3).map(" ".join)
queries = st.one_of(
    st.sampled_from(["refund", '"gift card"', "京に", "strasse", "fine", "get_order_details", "o"]),
    said.filter(bool),
    said.filter(bool).map(lambda text: f'"{text}"'),
)
by_id = st.builds(c.RunIs, st.just("run_id"), st.sampled_from(["run-0", "run-*", "run-9"]))
conditions = _combined(st.one_of(leaves, by_id, st.builds(c.Contains, queries)))
questions = st.builds(
    TraceFilter,
    where=st.one_of(st.none(), conditions),
    text=st.one_of(st.none(), queries),
    order_by=st.sampled_from([None, *ORDERS, *(f"-{name}" for name in ORDERS)]),
    limit=st.sampled_from([None, None, 1, 3]),
)


@st.composite
def runs(draw: st.DrawFn, most: int = 4) -> list[AgentTrace]:
    """Runs of different ids, in some of which something is said that `queries` look for."""
    found = draw(st.lists(traces(), max_size=most))
    for number, trace in enumerate(found):
        trace.run_id = f"run-{number}"
        trace.metadata = draw(told)
        for step in trace.steps[:1]:
            step.reasoning = draw(said)
    return found


def check(store: Any, question: TraceFilter) -> None:
    """Whether a store answers as plain Python does, by the runs that it holds."""
    summaries = list(store.list(1000))
    loaded = store.load_many([summary.run_id for summary in summaries])
    runs = {run_id: told_run(trace) for run_id, trace in loaded.items()}
    expected = matching_runs(question, summaries, runs)[: question.limit]
    ids = [summary.run_id for summary in expected]
    assert [summary.run_id for summary in store.query(question)] == ids
    assert [summary.run_id for summary in store.iter_summaries(question)] == ids
    assert store.count(question) == len(ids)
    statistics = Collector(("day", "model", "tool", "k"))
    users, facets = GroupCollector("k"), FacetCollector()
    # Statistics go by the runs, whatever their order: newest first, as they are handed out.
    for summary in expected:
        run = runs[summary.run_id]
        rollup = rollup_of(run.trace)
        statistics.add_summary(summary)
        statistics.add_rollup(rollup, time_of(summary, statistics.time))
        users.add(summary)
        facets.add(summary, run.facts)
    found = store.statistics(question, by=("day", "model", "tool", "k"))
    same_but_for_errors(found, statistics.result())
    assert store.facets(question) == facets.result(100)
    page = store.groups("k", question, order_by="-runs", limit=1000)
    assert {(one.key, one.runs) for one in page} == {
        (one.key, one.runs) for one in users.page("-runs", 1000, None)
    }
