"""Any runs through each form that we write, and each pair: fields, times, annotations, order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hostile import STRING_FIELDS, profile
from hypothesis import given
from hypothesis import strategies as st
from round_trips import FORMS, all_of, through

import selectools_observe as so

ODD = ["", "\0", "\ud800", "\udfff x", "é\u2028", "$ref", "x" * 99, '{"a": 1}', "\x1b[0m", "NaN"]
TEXT = st.sampled_from(ODD) | st.text(max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=5,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": TEXT, "content": TEXT | st.lists(JSON, max_size=2)}), max_size=3
)
COUNT = st.integers(0, 2**40)
TYPES = ["llm_call", "tool_execution", "error", "graph_node_start", "cancelled", "a newer one"]
STEPS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(TYPES),
        "timestamp": st.floats(0, 2e9),
        "duration_ms": st.floats(0, 1e6),
    },
    optional={
        **dict.fromkeys(["tool_name", "model", *STRING_FIELDS], TEXT),
        **dict.fromkeys(["prompt_tokens", "completion_tokens", "cache_read_tokens"], COUNT),
        **dict.fromkeys(["input", "output"], MESSAGES | JSON),
        **dict.fromkeys(["of a newer version", "with.a dot"], JSON),
        "step_number": COUNT,
        "cost_usd": st.floats(0, 10),
        "tool_args": OBJECT,
        "children": st.lists(TEXT, max_size=2),
    },
)
OUTCOMES = ["ok", "error", "cancelled", "interrupted", "unfinished"]
RUNS = st.fixed_dictionaries(
    {
        "run_id": st.uuids().map(str)
        | TEXT.map(lambda text: text.encode("utf-8", "ignore").decode()).filter(bool),
        "start_time": st.floats(0, 2e9),
        "steps": st.lists(STEPS, max_size=4),
    },
    optional={
        **dict.fromkeys(["parent_run_id", "name", "session_id", "user_id", "agent"], TEXT),
        **dict.fromkeys(["input", "output", "of a newer version"], JSON),
        "metadata": OBJECT,
        "tags": st.lists(TEXT, max_size=2),
        "outcome": st.sampled_from(OUTCOMES),
    },
)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
ANNOTATIONS = st.fixed_dictionaries(
    {"name": st.sampled_from(["q", "a.b", "é x"]), "note": TEXT.filter(bool)},
    optional={
        "label": st.sampled_from(["bad", "é\n", "$x"]),
        "score": st.floats(-1e300, 1e300) | st.integers(-(2**53), 2**53),
        "step": st.integers(0, 5),
        "author": st.sampled_from(["ada", "\u2028"]),
        "source": st.sampled_from(["human", "code", "llm"]),
    },
)


def saved_in(path, runs: list[tuple[dict, datetime]], said: list[tuple[int, dict[str, Any]]]):
    """A database with the runs."""
    moments = [moment for _, moment in runs]
    with so.SQLiteTraceStore(path, durability="normal") as store:
        store.save_many([so.AgentTrace.from_dict(run) for run, _ in runs], created_at=moments)
        for number, fields in said:
            store.annotate(runs[number % len(runs)][0]["run_id"], **fields)
    return path


@pytest.mark.parametrize(
    "forms",
    [
        *((form,) for form in FORMS),
        *(
            pytest.param((one, two), marks=pytest.mark.slow, id=f"{one}-{two}")
            for one in FORMS
            for two in FORMS
        ),
    ],
)
@profile(60)
@given(
    runs=st.lists(
        st.tuples(RUNS, MOMENTS), min_size=1, max_size=4, unique_by=lambda run: run[0]["run_id"]
    ),
    said=st.lists(st.tuples(st.integers(0, 3), ANNOTATIONS), max_size=4),
)
def test_all_comes_back(tmp_path_factory, forms, runs, said):
    folder = tmp_path_factory.mktemp("trip")
    path = saved_in(folder / "source.db", runs, said)
    expected = all_of(path)
    assert [summary.run_id for summary, *_ in expected] == [run["run_id"] for run, _ in runs]
    for number, form in enumerate(forms):
        path = through(form, path, folder / f"{number}")
    assert all_of(path) == expected
