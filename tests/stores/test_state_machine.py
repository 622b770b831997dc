# ruff: noqa: RUF043
"""All stores beside a plain model: whatever is done to them, they agree with it and so together.

Set SELECTOOLS_OBSERVE_TESTS=long for a longer search than every run can afford.
"""

from __future__ import annotations

import itertools
import tempfile
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from hostile import (
    LONG,
    MODELS,
    TOOLS,
    TYPES,
    as_json,
    as_stored,
    equal,
    facts_as_stored,
    instants,
    keys,
    profile,
    scalars,
    traces,
    usage_as_stored,
    values,
)
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store_kinds import STORE_KINDS, Handle, ids

from selectools_observe import AgentTrace, TraceFilter, TraceNotFoundError, TraceStep, TraceSummary
from selectools_observe.model.filters import matches

RUN_IDS = st.sampled_from(
    ["a", "b", "c", "d", "a.b", "$", "it's", '"', "é", "\U0001f600", "n\x00l", " ", "x" * 200]
)
METADATA = st.dictionaries(
    st.one_of(st.sampled_from(["user", "user.name", "$.user", "n"]), keys),
    st.one_of(st.sampled_from([1, 1.0, True, "ada", None, "", 0, False]), scalars, values),
    max_size=3,
)


# Characters in half of a large text: enough to be read in pieces.
LARGE = 2_500_000 if LONG else 100_000


class Saved:
    """What the model knows of a saved trace, and when each store says it was saved."""

    def __init__(self, trace: AgentTrace) -> None:
        self.run_id = trace.run_id
        self.data = as_stored(trace)
        self.metadata = as_json(trace.metadata)
        self.facts = facts_as_stored(trace)
        self.usage = usage_as_stored(trace)
        self.created_at: dict[str, object] = {}

    def summary(self, store_kind: str) -> TraceSummary:
        return TraceSummary(
            self.run_id,
            self.data["step_count"],
            float(self.data["total_duration_ms"]),
            self.created_at[store_kind],
            self.metadata,
            *self.usage,
            self.facts.has_error,
        )


def same_summary(one: TraceSummary, other: TraceSummary) -> bool:
    numbers = [
        (s.run_id, s.steps, s.total_ms, s.created_at, s.prompt_tokens, s.completion_tokens,
         s.cost_usd, s.has_error)
        for s in (one, other)
    ]  # fmt: skip
    return numbers[0] == numbers[1] and equal(one.metadata, other.metadata)


class Stores(RuleBasedStateMachine):
    """The model is a list of what was saved, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="traces")
        self.handles: list[Handle] = []
        self.saved: list[Saved] = []
        self.crowds = itertools.count()

    def teardown(self) -> None:
        for handle in self.handles:
            handle.close()
        self.folder.cleanup()

    @initialize(durability=st.sampled_from(["full", "normal"]))
    def make(self, durability) -> None:
        for store_kind in STORE_KINDS:
            folder = Path(self.folder.name, store_kind)
            options = {} if store_kind.startswith("memory") else {"durability": durability}
            self.handles.append(Handle(store_kind, folder, **options))

    # What is written.

    @rule(trace=traces(run_ids=RUN_IDS, metadata=METADATA))
    def save(self, trace) -> None:
        self.expect([trace])
        for handle in self.handles:
            assert handle.save(trace) == trace.run_id
        self.note_times(1)

    @rule(several=st.lists(traces(run_ids=RUN_IDS, metadata=METADATA), max_size=5))
    def save_many(self, several) -> None:
        self.expect(several)
        for handle in self.handles:
            assert handle.save_many(iter(several)) == ids(several)
        self.note_times(len(several))

    @precondition(lambda self: len(self.saved) < 1500)
    @rule(
        size=st.sampled_from([3, 254, 255, 256, 257, 300, 513]),
        tool=st.sampled_from(TOOLS),
        error_at=st.sampled_from([None, 0, 100]),
    )
    def save_a_crowd(self, size, tool, error_at) -> None:
        """Enough to fill blocks of the index, and to cross from one into the next."""
        crowd = f"crowd-{next(self.crowds)}"
        several = [
            AgentTrace(
                steps=[
                    TraceStep(
                        type="llm_call",
                        timestamp=1.0,
                        duration_ms=number,
                        tool_name=tool if number % 7 == 0 else None,
                        error="failed" if number == error_at else None,
                    )
                ],
                start_time=1.0,
                run_id=f"{crowd}-{number}",
                parent_run_id=crowd,
                metadata={"user": number % 5, "n": number, "crowd": crowd},
            )
            for number in range(size)
        ]
        self.expect(several)
        for handle in self.handles:
            handle.save_many(several)
        self.note_times(size)

    @rule(size=st.sampled_from([1, 2])) if LONG else rule(size=st.just(1))
    def save_what_is_large(self, size) -> None:
        text = "\ud800" + "x\u00e9" * LARGE * size
        trace = AgentTrace(
            steps=[TraceStep(type="llm_call", timestamp=1.0, tool_result=text)],
            start_time=1.0,
            run_id="large",
            metadata={"large": text[:300]},
        )
        self.expect([trace])
        for handle in self.handles:
            handle.save(trace)
        self.note_times(1)
        self.delete("large")  # or every later step would read it again

    @rule(run_id=RUN_IDS)
    def delete(self, run_id) -> None:
        was_there = run_id in ids(self.saved)
        self.saved = [saved for saved in self.saved if saved.run_id != run_id]
        for handle in self.handles:
            assert handle.delete(run_id) is was_there

    @precondition(lambda self: self.saved)
    @rule(data=st.data(), most=st.sampled_from([1, 3, 300]))
    def delete_some(self, data, most) -> None:
        first = data.draw(st.integers(0, len(self.saved) - 1))
        for saved in self.saved[first : first + most : 3]:
            self.delete(saved.run_id)

    @precondition(lambda self: self.saved)
    @rule(data=st.data(), size=st.sampled_from([1, 20, 300]))
    def save_some_again(self, data, size) -> None:
        first = data.draw(st.integers(0, len(self.saved) - 1))
        again = [
            AgentTrace(run_id=saved.run_id, start_time=2.0, metadata={"again": True})
            for saved in self.saved[first : first + size]
        ]
        self.expect(again)
        for handle in self.handles:
            handle.save_many(again)
        self.note_times(len(again))

    @rule()
    def reopen(self) -> None:
        for handle in self.handles:
            handle.reopen()

    @rule()
    def save_what_cannot_be_saved(self) -> None:
        bad = AgentTrace(run_id="bad")
        bad.metadata["self"] = bad.metadata
        for handle in self.handles:
            with pytest.raises(ValueError, match="metadata.self"):
                handle.save_many([AgentTrace(run_id="neighbour"), bad])

    # What is read.

    @rule(run_id=RUN_IDS)
    def load(self, run_id) -> None:
        expected = {saved.run_id: saved for saved in self.saved}.get(run_id)
        for handle in self.handles:
            if expected is None:
                with pytest.raises(TraceNotFoundError, match="not found"):
                    handle.load(run_id)
            else:
                assert equal(handle.load(run_id).to_dict(), expected.data)

    @rule(run_ids=st.lists(RUN_IDS, max_size=8))
    def load_many(self, run_ids) -> None:
        by_id = {saved.run_id: saved for saved in self.saved}
        expected = [run_id for run_id in dict.fromkeys(run_ids) if run_id in by_id]
        for handle in self.handles:
            loaded = handle.load_many(run_ids)
            assert list(loaded) == expected
            for run_id, trace in loaded.items():
                assert equal(trace.to_dict(), by_id[run_id].data)

    @rule(
        limit=st.one_of(st.integers(0, 6), st.sampled_from([50, 10_000])),
        offset=st.one_of(st.integers(0, 6), st.sampled_from([255, 10_000])),
    )
    def list_a_page(self, limit, offset) -> None:
        for handle in self.handles:
            expected = self.newest_first(handle.store_kind)[offset : offset + limit]
            self.compare(handle.list(limit, offset), expected)

    @rule(limit=st.sampled_from([1, 7, 100, 256]))
    def list_all_pages(self, limit) -> None:
        limit = max(limit, len(self.saved) // 20)
        for handle in self.handles:
            found, cursor = [], None
            for _ in range(30):
                page = handle.list(limit, cursor=cursor)
                found += page
                cursor = page.next_cursor
                if cursor is None:
                    break
                assert len(page) == limit
            self.compare(found, self.newest_first(handle.store_kind))

    @rule(data=st.data())
    def query(self, data) -> None:
        fields = data.draw(self.some_filter())
        for handle in self.handles:
            filters = self.filter_for(handle.store_kind, fields)
            expected = self.matching(handle.store_kind, filters)
            page = handle.query(filters)
            self.compare(page, expected[: filters.limit])
            assert handle.count(filters) == len(page)
            assert (page.next_cursor is None) == (len(page) == len(expected) or not page)

    @rule(data=st.data(), oldest_first=st.booleans())
    def stream(self, data, oldest_first) -> None:
        fields = data.draw(st.one_of(st.just({}), self.some_filter()))
        for handle in self.handles:
            filters = self.filter_for(handle.store_kind, fields)
            # A limit keeps the newest, in either direction.
            expected = self.matching(handle.store_kind, filters)[: filters.limit]
            if oldest_first:
                expected.reverse()
            found = handle.iter_summaries(filters, oldest_first=oldest_first)
            self.compare(found, expected)
            if len(expected) < 100:
                loaded = handle.iter_traces(filters, oldest_first=oldest_first)
                assert ids(loaded) == ids(expected)

    @rule(data=st.data(), limit=st.sampled_from([1, 2, 40]))
    def query_all_pages(self, data, limit) -> None:
        fields = data.draw(self.some_filter()) | {"limit": limit}
        for handle in self.handles:
            filters = self.filter_for(handle.store_kind, fields)
            found, cursor = [], None
            for _ in range(10):
                page = handle.query(filters, cursor=cursor)
                found += page
                cursor = page.next_cursor
                if cursor is None:
                    break
            expected = self.matching(handle.store_kind, filters)
            self.compare(found, expected if cursor is None else expected[: len(found)])

    @invariant()
    def counts_agree(self) -> None:
        for handle in self.handles:
            assert handle.count() == len(self.saved)

    @invariant()
    def newest_is_first(self) -> None:
        for handle in self.handles:
            self.compare(handle.list(2), self.newest_first(handle.store_kind)[:2])

    # The model.

    def expect(self, several: list[AgentTrace]) -> None:
        for trace in several:
            self.saved = [saved for saved in self.saved if saved.run_id != trace.run_id]
            self.saved.append(Saved(trace))

    def note_times(self, number: int) -> None:
        """Learn when each store says that the newest were saved."""
        newest = {saved.run_id: saved for saved in self.saved[-number:]} if number else {}
        for handle in self.handles:
            for summary in handle.list(len(newest)):
                assert summary.created_at.utcoffset() == timedelta(0)
                newest[summary.run_id].created_at[handle.store_kind] = summary.created_at

    def newest_first(self, store_kind: str) -> list[TraceSummary]:
        return [saved.summary(store_kind) for saved in reversed(self.saved)]

    def matching(self, store_kind: str, filters: TraceFilter) -> list[TraceSummary]:
        both = [(saved.summary(store_kind), saved.facts) for saved in reversed(self.saved)]
        return [summary for summary, facts in both if matches(filters, summary, facts)]

    def compare(self, found, expected) -> None:
        assert ids(found) == ids(expected)
        assert all(map(same_summary, found, expected))

    def some_filter(self):
        """Fields of a filter; times say which saved trace's, and how far beside it."""
        moments = st.tuples(
            st.one_of(instants, st.integers(0, max(0, len(self.saved) - 1))),
            st.sampled_from([-1, 0, 1]),
            st.sampled_from([0, 9, -7]),
        )
        some_metadata = [{}, *(saved.metadata for saved in self.saved[-20:])]
        totals = [0.0, *(saved.data["total_duration_ms"] for saved in self.saved[-20:])]
        bounds = st.one_of(
            st.integers(-1, 5),
            st.sampled_from([2**63, -(10**30)]),
            st.sampled_from(totals).map(int),
        )
        return st.fixed_dictionaries(
            {},
            optional={
                "metadata_match": st.one_of(
                    st.sampled_from(some_metadata).flatmap(_part_of),
                    METADATA.filter(lambda metadata: len(metadata) < 2),
                ),
                "min_steps": bounds,
                "max_steps": bounds,
                "since": moments,
                "until": moments,
                "min_ms": st.one_of(bounds, st.sampled_from(totals), st.floats(allow_nan=False)),
                "max_ms": st.one_of(bounds, st.sampled_from(totals), st.floats(allow_nan=False)),
                "min_cost_usd": st.one_of(bounds, st.floats(allow_nan=False)),
                "max_cost_usd": st.one_of(bounds, st.floats(allow_nan=False)),
                "parent_run_id": st.sampled_from(["parent", "", "p\x00", "\ud800", "crowd-0"]),
                "run_ids": st.lists(st.one_of(RUN_IDS, st.just("crowd-0-255")), max_size=4),
                "has_error": st.booleans(),
                "step_type": st.sampled_from(TYPES),
                "tool_name": st.sampled_from(TOOLS),
                "model": st.sampled_from(MODELS),
                "limit": st.sampled_from([0, 1, 2, 3, 1000]),
            },
        ).flatmap(_few_of)

    def filter_for(self, store_kind: str, fields: dict) -> TraceFilter:
        fields = dict(fields)
        for name in {"since", "until"} & fields.keys():
            moment, beside, hours = fields[name]
            if isinstance(moment, int):
                if not self.saved:
                    del fields[name]
                    continue
                moment = self.saved[moment].created_at[store_kind] + timedelta(microseconds=beside)
            fields[name] = moment.astimezone(timezone(timedelta(hours=hours)))
        return TraceFilter(**fields)


def _part_of(metadata: dict):
    chosen = st.sets(st.sampled_from(sorted(metadata)), max_size=2) if metadata else st.just(set())
    return chosen.map(lambda names: {name: metadata[name] for name in sorted(names)})


def _few_of(fields: dict):
    """At most three of the fields: a filter of all would match nothing."""
    if not fields:
        return st.just(fields)
    chosen = st.sets(st.sampled_from(sorted(fields)), min_size=1, max_size=3)
    return chosen.map(lambda names: {name: fields[name] for name in sorted(names)})


TestStores = Stores.TestCase
TestStores.settings = profile(20, stateful_step_count=100 if LONG else 20)
TestStores = pytest.mark.timeout(0 if LONG else 600)(TestStores)


@pytest.mark.slow
class TestStoresForLonger(Stores.TestCase):
    settings = profile(60, stateful_step_count=100 if LONG else 40)
