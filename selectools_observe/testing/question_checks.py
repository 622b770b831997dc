"""Checks of text, order and the filter language: what stores give is what plain Python says."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from ..model.annotations import Annotation
from ..model.facets import facts_of
from ..model.filters import TraceFilter, matches, order_of
from ..model.ordering import ORDERS
from ..model.text_query import hits_in, parse_text
from ..model.trace import AgentTrace, TraceFacts, TraceSummary
from .backend import Backend
from .callers import StoreCaller
from .samples import make_step, make_trace, various_filters, various_traces

_WORDS = ("refund", "Réfunds", "gift card", "gift-card", "card of a gift", "get_order_details",
          "東京に行く", "Straße 12", "nothing", "x" * 300)  # fmt: skip
_TEXTS = (
    "refund", "REFUND gift", '"gift card"', '"card gift"', "京に", "order", "get_order_details",
    "strasse", "1", "absent", '"refunds"', "alice", "timeout search",
)  # fmt: skip
_CONDITIONS = (
    "score<1.5", "score:1", "score:true", "-user:alice", "user:*", "has:user", "-has:score",
    "tool:search", "-tool:search", "tool:search!error", "-tool:b*!error", "model:gpt-4o*",
    "type:hologram OR type:error", "status:error", "status:ok cost>0.1", "latency>=20.25",
    "ms<1 OR steps>2", "tokens>0", "tokens:0", "parent:parent-1", "parent:*", "has:parent",
    "run:various-00*", "(user:alice OR user:bob) -(tool:book model:gpt-4o)", "refund OR user:bob",
    "-refund", "refund -gift user:alice", "user:ali*", "tags:x", "has:cost", "has:tool -has:model",
    '"gift card" OR (status:error -tool:search)', "meta.user:bob", "absent<1", "since:1d",
    "run:various-007 -absent<1", "run:various-007 run:various-008", "-run:various-007 steps>1",
)  # fmt: skip

_OF_ANNOTATIONS = (
    "score.quality<0.5", "-score.quality<0.5", "score.quality:1", "score.quality=0.25 steps>1",
    "label:bad", "-label:bad user:alice", "label:b*", "label.tone:curt", "label.tone:* -has:score",
    "has:note", "-has:note refund", "has:annotation", "-has:annotation", "has:label",
    "has:score.tone", "has:annotation.tone OR score.quality>0.9",
    "(label:bad OR tool:search) -status:error",
)  # fmt: skip
_ORDERS_BY_SCORE = ("score.quality", "-score.quality", "-score.absent")

# Each at least once, in one direction or the other.
_ORDERS = (None, *(f"-{name}" if n % 2 else name for n, name in enumerate(ORDERS)))


class ToldRun(NamedTuple):
    """A run with its facts, which many questions ask for."""

    trace: AgentTrace
    facts: TraceFacts


def told(trace: AgentTrace) -> ToldRun:
    """The run with its facts."""
    return ToldRun(trace, facts_of(trace))


def _telling_traces(number: int) -> Iterator[AgentTrace]:
    """Traces that differ in all that can be asked for, texts among them; always the same ones."""
    chance = random.Random(5)  # noqa: S311
    for trace in various_traces(number):
        for step in trace.steps:
            step.reasoning = chance.choice([None, *_WORDS])
            step.tool_result = chance.choice([None, None, *_WORDS])
            step.tool_args = chance.choice([None, {"q": chance.choice(_WORDS), "n": 12}])
            step.prompt_tokens = chance.choice([None, 0, 5, 70])
        yield trace


class QuestionChecks(Backend):
    """Checks of what can be asked beyond the plain fields of a filter."""

    async def test_questions_agree_with_plain_python(self, caller: StoreCaller) -> None:
        """In a store of some size, changed since."""
        stored = await _stored(caller)
        fields = list(various_filters(len(_TEXTS) + len(_CONDITIONS), seed=7))
        asked: list[dict[str, Any]] = [{}]
        asked += [{"text": text} for text in _TEXTS]
        asked += [{"where": where} for where in _CONDITIONS]
        asked += [
            {"text": _TEXTS[n % len(_TEXTS)], "where": where, **fields[n], "limit": None}
            for n, where in enumerate(_CONDITIONS)
        ]
        summaries = list(await caller.list(1000))
        for number, question in enumerate(asked):
            limit, order_by = (None, 7, 1)[number % 3], _ORDERS[number % len(_ORDERS)]
            filters = TraceFilter(**{**question, "order_by": order_by, "limit": limit})
            expected = _expected(filters, summaries, stored)
            assert await caller.ids(filters) == expected[:limit], filters
            assert await caller.count(filters) == len(expected[:limit]), filters

    async def test_questions_of_annotations_agree_with_plain_python(
        self, caller: StoreCaller
    ) -> None:
        """Of runs some of which were annotated before they were saved again, and after."""
        if not self.annotates:
            pytest.skip("this store keeps no annotations")
        stored = await _stored(caller)
        present = await caller.ids()
        await caller.annotate_many(_various_annotations(present))
        await caller.save_many(stored[run_id].trace for run_id in present[3:90:13])
        summaries = list(await caller.list(1000))
        for number, where in enumerate(_OF_ANNOTATIONS):
            filters = TraceFilter(where=where)
            expected = _expected(filters, summaries, stored)
            assert await caller.ids(filters) == expected, filters
            assert await caller.count(filters) == len(expected), filters
            assert (await caller.histogram(filters)).total == len(expected), filters
            assert (await caller.statistics(filters, by=())).total.runs == len(expected), filters
            ordered = replace(filters, order_by=_ORDERS_BY_SCORE[number % len(_ORDERS_BY_SCORE)])
            assert await caller.ids(ordered) == _expected(ordered, summaries, stored), ordered
            spared = _expected(replace(filters, where=f"({where}) label:good"), summaries, stored)
            report = await caller.prune(where=filters, keep="label:good", dry_run=True)
            going = len(expected) - len(spared)
            assert (report.runs, report.spared) == (going, len(spared)), filters

    async def test_streams_and_histograms_answer_the_same_questions(
        self, caller: StoreCaller
    ) -> None:
        stored = await _stored(caller, 150)
        summaries = list(await caller.list(1000))
        for where, text in (("-user:alice", "refund"), ("tool:search!error", None)):
            filters = TraceFilter(where=where, text=text)
            expected = _expected(filters, summaries, stored)
            streamed = [s.run_id async for s in caller.iter_summaries(filters)]
            assert streamed == expected
            streamed = [t.run_id async for t in caller.iter_traces(filters, oldest_first=True)]
            assert streamed == expected[::-1]
            assert (await caller.histogram(filters)).total == len(expected)
            ordered = replace(filters, order_by="-total_ms", limit=9)
            streamed = [t.run_id async for t in caller.iter_traces(ordered)]
            assert streamed == _expected(ordered, summaries, stored)[:9]
            with pytest.raises(ValueError, match="leave out order_by"):
                [s async for s in caller.iter_summaries(ordered, oldest_first=True)]

    @pytest.mark.parametrize("order_by", _ORDERS[1:])
    async def test_pages_in_any_order_hold_still(self, caller: StoreCaller, order_by: str) -> None:
        stored = await _stored(caller, 40)
        filters = TraceFilter(order_by=order_by, where="-steps:2", limit=7)
        expected = _expected(filters, list(await caller.list(1000)), stored)
        found, cursor, number = [], None, 0
        while True:
            page: Any = await caller.query(filters, cursor=cursor)
            found += [summary.run_id for summary in page]
            cursor = page.next_cursor
            if cursor is None:
                break
            number += 1
            # Whatever comes meanwhile neither repeats nor hides any.
            await caller.save(make_trace(f"newer-{number}", of=[make_step(ms=number * 3)]))
        assert found == expected

    async def test_a_cursor_belongs_to_its_order(self, caller: StoreCaller) -> None:
        await _stored(caller, 20)
        page: Any = await caller.query(TraceFilter(order_by="-steps", limit=3))
        for other in ("steps", None):
            with pytest.raises(ValueError, match="pages ordered by -steps"):
                await caller.query(TraceFilter(order_by=other, limit=3), cursor=page.next_cursor)

    async def test_search_says_where_it_was_found(self, caller: StoreCaller) -> None:
        stored = await _stored(caller, 150)
        summaries = list(await caller.list(1000))
        for text in _TEXTS:
            filters = TraceFilter(where="-tool:book")
            found = _expected(replace(filters, text=text), summaries, stored)
            expected = [
                hit
                for run_id in found
                for hit in hits_in(parse_text(text), stored[run_id].trace, 3)
            ]
            assert list(await caller.search(text, filters, limit=1000)) == expected
            hits: list[Any] = []
            cursor = None
            while True:
                page = await caller.search(text, filters, limit=11, cursor=cursor)
                hits += page
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert hits == expected
        once = await caller.search("refund", hits_per_run=1)
        assert len({hit.run_id for hit in once}) == len(once) > 0

    async def test_what_was_saved_is_found_at_once(self, caller: StoreCaller) -> None:
        """And what was replaced or deleted is not found any more."""
        await caller.save_many(make_trace(f"other-{n}") for n in range(20))
        for number in range(3):
            word = f"word{number}"
            await caller.save(make_trace("changing", of=[make_step(reasoning=f"say {word}!")]))
            assert await caller.ids(TraceFilter(text=word)) == ["changing"]
            (hit,) = await caller.search(word)
            assert (hit.step, hit.field, hit.snippet, hit.marks) == (
                1, "reasoning", f"say {word}!", ((4, 9),)
            )  # fmt: skip
            assert await caller.ids(TraceFilter(text=f"word{number - 1}")) == []
        await caller.delete("changing")
        assert await caller.ids(TraceFilter(text="word2")) == []
        assert list(await caller.search("word2")) == []

    async def test_questions_that_cannot_be_read_are_refused(self, caller: StoreCaller) -> None:
        for text in ("", "!?"):
            with pytest.raises(ValueError, match="no word to search for"):
                await caller.search(text)
        with pytest.raises(TypeError, match="must be a TraceFilter"):
            await caller.search("word", {"steps": 1})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="must not be negative"):
            await caller.search("word", limit=-1)
        assert list(await caller.search("word", limit=0)) == []


def _various_annotations(run_ids: Sequence[str]) -> Iterator[Annotation]:
    """Annotations of about half of the runs, some of them twice; always the same ones."""
    chance = random.Random(3)  # noqa: S311
    for run_id in [*run_ids[::3], *run_ids[::4]]:
        label, score = chance.choice([("bad", None), ("good", 1), (None, 0), ("curt", 0.25)])
        yield Annotation(
            run_id, chance.choice(["quality", "tone"]), label=label, score=score,
            note=chance.choice(["because", None]),
            step=chance.choice([None, None, 0]),
        )  # fmt: skip


async def _stored(caller: StoreCaller, number: int = 300) -> dict[str, ToldRun]:
    """Runs in a store that saw some saved again and some deleted."""
    traces = list(_telling_traces(number))
    for start in range(0, number, 50):
        await caller.save_many(traces[start : start + 50])
    await caller.save_many(traces[5:200:11])
    for trace in traces[::17]:
        await caller.delete(trace.run_id)
    return {trace.run_id: told(trace) for trace in traces}


def _expected(
    filters: TraceFilter, summaries: Sequence[TraceSummary], runs: Mapping[str, ToldRun]
) -> list[str]:
    """The ids of `matching_runs`."""
    return [summary.run_id for summary in matching_runs(filters, summaries, runs)]


def matching_runs(
    filters: TraceFilter, summaries: Sequence[TraceSummary], runs: Mapping[str, ToldRun]
) -> list[TraceSummary]:
    """What plain Python finds among summaries that come newest first; no limit."""
    matching = [
        (place, summary)
        for place, summary in enumerate(reversed(summaries))
        if matches(filters, summary, runs[summary.run_id].facts, runs[summary.run_id].trace)
    ]
    order = order_of(filters)
    if order is None:
        return [summary for _, summary in reversed(matching)]
    matching.sort(
        key=lambda pair: order.key(order.value_of(pair[1]), (pair[0],)), reverse=order.descending
    )
    return [summary for _, summary in matching]
