"""Text, order, language and statistics mean in every backend what they mean in plain Python."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from questions import check, questions, runs
from store_kinds import STORE_KINDS, Handle

from selectools_observe import AgentTrace, TraceFilter


@pytest.mark.slow
@given(runs(most=8), st.lists(questions, min_size=3, max_size=3))
@profile(120)
def test_any_question_of_any_runs(
    found: Sequence[AgentTrace], asked: Sequence[TraceFilter]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for store_kind in STORE_KINDS:
            with Handle(store_kind, Path(folder)) as store:
                store.save_many(found)
                for question in asked:
                    check(store, question)
