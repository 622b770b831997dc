"""Text, order, language and statistics mean on servers what they mean in plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from questions import check, questions, runs

from selectools_observe import AgentTrace, TraceFilter
from selectools_observe.protocols import QueryableTraceStore
from selectools_observe.stores.open import open_store


@pytest.fixture(scope="module", params=["postgres", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[QueryableTraceStore]:
    server = request.getfixturevalue(f"{request.param}_server")
    database = {"postgres": "?schema=questions", "clickhouse": "/questions?durability=normal"}
    with open_store(server.url + database[request.param]) as opened:
        yield opened


@pytest.mark.slow
@given(found=runs(most=8), asked=st.lists(questions, min_size=6, max_size=6))
@profile(60)
def test_any_question_of_any_runs(
    store: QueryableTraceStore, found: Sequence[AgentTrace], asked: Sequence[TraceFilter]
) -> None:
    for trace in found:
        store.delete(trace.run_id)
    for left in list(store.list(1000)):
        store.delete(left.run_id)
    store.save_many(found)
    for question in asked:
        check(store, question)
