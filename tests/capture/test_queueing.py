"""The law of the queue: nothing is lost from the counts, whatever happens in which order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.capture.background.queue import Item, RunQueue
from selectools_observe.model.snapshot import snapshot

ACTIONS = st.one_of(
    st.tuples(st.just("offer"), st.integers(0, 3000)),
    st.tuples(st.just("take"), st.integers(1, 5)),
    st.tuples(st.just("settle"), st.sampled_from(["saved", "failed"])),
    st.tuples(st.just("give up"), st.none()),
)


def new_item(size: int, told: list) -> Item:
    trace = AgentTrace([TraceStep("llm_call", reasoning="x" * size)])
    return Item(snapshot(trace), told.append)


@given(
    st.lists(ACTIONS, max_size=60),
    st.sampled_from(["wait", "drop_newest", "drop_oldest"]),
    st.integers(1, 6),
    st.integers(1000, 8000),
)
def test_every_run_is_counted_once_and_the_bounds_hold(actions, on_full, most, most_bytes):
    queue = RunQueue("the store", most, most_bytes, on_full)
    told: list[str] = []
    under_way: list[Item] = []
    taken_in_order: list[int] = []
    sent = 0
    for action, argument in actions:
        if action == "offer":
            sent += queue.offer(new_item(argument, told))
        elif action == "take" and not under_way:
            under_way = queue.take(argument, 0, 0)
            taken_in_order += [item.number for item in under_way]
        elif action == "settle" and under_way:
            queue.settle([under_way.pop(0)], argument)
        elif action == "give up":
            queue.give_up()
        counts = queue.counts
        assert counts.sent == sent
        assert sent == counts.saved + counts.dropped + counts.failed + counts.queued
        assert counts.queued <= most
        assert counts.queued_bytes <= most_bytes or counts.queued == 1
        assert Counter(told) == +Counter(
            saved=counts.saved, dropped=counts.dropped, failed=counts.failed
        )
    assert taken_in_order == sorted(taken_in_order)
    if on_full == "wait":
        assert queue.counts.dropped == 0


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_a_flush_is_called_back_when_the_last_before_it_is_settled(saved):
    queue = RunQueue("the store", 100, 10**9, "wait")
    told: list[bool] = []
    for _ in saved:
        queue.offer(new_item(1, []))
    queue.when_done(lambda: told.append(True))
    queue.offer(new_item(1, []))  # comes later: it is not waited for
    batch = queue.take(len(saved), 0, 0)
    for item, went_well in zip(batch, saved, strict=True):
        assert told == []
        queue.settle([item], "saved" if went_well else "failed")
    assert told == [True]
    assert queue.counts.queued == 1
