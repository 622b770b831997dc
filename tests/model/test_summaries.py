"""Summaries that stores give: their metadata is decoded when somebody asks for it."""

from __future__ import annotations

import copy
import json
import pickle

import msgspec
import pytest

from selectools_observe import AgentTrace, InMemoryTraceStore, TraceStep, TraceSummary
from selectools_observe.model.codec import encode
from selectools_observe.model.trace import EPOCH

METADATA = {"user": "ada", "tries": [1, 2], "big": 10**30, "lone": "\ud800"}


@pytest.fixture
def summary() -> TraceSummary:
    return encode(AgentTrace([TraceStep("llm_call")], metadata=METADATA)).summary(EPOCH)


@pytest.fixture
def same(summary) -> TraceSummary:
    """The same, of metadata that never was JSON."""
    return msgspec.structs.replace(summary, metadata=copy.deepcopy(METADATA))


def test_metadata_is_what_was_saved_each_time(summary):
    assert summary.metadata == METADATA
    assert summary.metadata is summary.metadata


def test_it_can_be_set_and_changed(summary):
    summary.metadata["user"] = "ben"
    assert summary.metadata["user"] == "ben"
    summary.metadata = {"other": 1}
    assert summary.metadata == {"other": 1}


@pytest.mark.parametrize(
    "looked_at",
    [
        lambda summary: summary,
        copy.copy,
        copy.deepcopy,
        lambda summary: pickle.loads(pickle.dumps(summary)),
        lambda summary: msgspec.structs.replace(summary, run_id=summary.run_id),
    ],
    ids=["itself", "copied", "copied deeply", "pickled", "replaced"],
)
def test_summaries_are_equal_however_their_metadata_is_kept(summary, same, looked_at):
    found = looked_at(summary)
    assert found == same
    assert same == found
    assert repr(found) == repr(same)
    assert found.to_dict() == same.to_dict()


def test_another_ones_metadata_makes_it_another(summary):
    other = msgspec.structs.replace(summary, metadata={"user": "ben"})
    assert summary != other
    assert summary != "a string"


def test_msgspec_writes_it_as_json():
    summary = encode(AgentTrace(metadata={"user": "ada"})).summary(EPOCH)
    assert json.loads(msgspec.json.encode(summary))["metadata"] == {"user": "ada"}
    assert summary.metadata == {"user": "ada"}


def test_two_lists_share_nothing():
    store = InMemoryTraceStore()
    store.save(AgentTrace(metadata={"tries": [1]}))
    (one,), (other,) = store.list(), store.list()
    one.metadata["tries"].append(2)
    one.tags.append("mine")
    assert other.metadata == {"tries": [1]}
    assert other.tags == []
    assert store.list()[0].metadata == {"tries": [1]}
