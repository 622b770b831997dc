"""Checks of counting, streaming, batches, cursors and eviction."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from ..errors import InvalidTraceError, StoreClosedError, TraceNotFoundError
from ..model.facets import facts_of
from ..model.filters import TraceFilter, matches
from ..model.pagination import TracePage
from ..model.trace import AgentTrace, TraceSummary
from .backend import Backend, Damage, Reopen
from .callers import StoreCaller
from .cases import all_cases
from .samples import full_trace, make_trace, make_traces, same, various_filters, various_traces

EVEN = {"even": True}


class ManyChecks(Backend):
    """Checks of `save_many`, `load_many` and `count`."""

    async def test_save_many_keeps_the_order(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("before"))
        saved = await caller.save_many(make_traces(40))
        assert saved == [f"run-{n:03}" for n in range(40)]
        assert await caller.ids() == [*reversed(saved), "before"]
        assert (await caller.load("run-007")).metadata == {"n": 7}

    async def test_save_many_of_one_run_keeps_the_last(self, caller: StoreCaller) -> None:
        traces = [make_trace(name, metadata={"n": n}) for n, name in enumerate("abacab")]
        assert await caller.save_many(traces) == list("abacab")
        assert [(s.run_id, s.metadata["n"]) for s in await caller.list()] == [
            ("b", 5), ("a", 4), ("c", 3),
        ]  # fmt: skip
        assert (await caller.load("a")).metadata == {"n": 4}
        assert await caller.count() == 3

    async def test_health_of_a_store_that_answers(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        found = await caller.health()
        assert found.answered_ms >= 0
        assert not found.read_only

    async def test_save_many_replaces(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(3))
        await caller.save_many([make_trace("run-001", 2), make_trace("new")])
        assert await caller.ids() == ["new", "run-001", "run-002", "run-000"]
        assert len(await caller.load("run-001")) == 2

    async def test_save_many_takes_any_iterable(self, caller: StoreCaller) -> None:
        assert await caller.save_many([]) == []
        assert await caller.save_many(iter(())) == []
        assert await caller.save_many(trace for trace in make_traces(2)) == ["run-000", "run-001"]
        assert await caller.ids() == ["run-001", "run-000"]

    async def test_save_many_is_all_or_none(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run-000", metadata={"old": True}))
        for bad in (make_trace(""), make_trace("bad", metadata={"it": _loop()}), None):
            with pytest.raises(InvalidTraceError):
                await caller.save_many([*make_traces(5), bad, make_trace("after")])
            assert await caller.ids() == ["run-000"]
            assert (await caller.load("run-000")).metadata == {"old": True}

    async def test_save_many_stores_nothing_of_a_source_that_fails(
        self, caller: StoreCaller
    ) -> None:
        def source() -> Iterator[AgentTrace]:
            yield from make_traces(3)
            raise KeyError("ours")

        with pytest.raises(KeyError, match="ours"):
            await caller.save_many(source())
        assert await caller.ids() == []

    async def test_save_many_takes_snapshots(self, caller: StoreCaller) -> None:
        trace = full_trace()
        await caller.save_many([trace])
        trace.metadata["nested"].clear()
        assert same((await caller.load("full")).to_dict(), full_trace().to_dict())

    async def test_many_save_manys_at_once(self, caller: StoreCaller) -> None:
        batches = [make_traces(8, f"batch-{n}") for n in range(16)]
        outcomes = await caller.together([partial(caller.save_many, batch) for batch in batches])
        assert outcomes == [[trace.run_id for trace in batch] for batch in batches]
        newest_first = await caller.ids()
        assert len(newest_first) == 128
        for saved in outcomes:
            start = newest_first.index(saved[-1])
            assert newest_first[start : start + 8] == saved[::-1]

    async def test_load_many_keeps_the_order_asked(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(10))
        asked = ["run-007", "absent", "run-002", "run-007", "", "\ud800", "run-009"]
        loaded = await caller.load_many(iter(asked))
        assert list(loaded) == ["run-007", "run-002", "run-009"]
        assert [trace.metadata["n"] for trace in loaded.values()] == [7, 2, 9]
        assert await caller.load_many([]) == {}

    async def test_load_many_loads_many(self, caller: StoreCaller) -> None:
        run_ids = await caller.save_many(make_traces(600))
        loaded = await caller.load_many(reversed(run_ids))
        assert list(loaded) == run_ids[::-1]
        assert all(same(loaded[t.run_id].to_dict(), t.to_dict()) for t in make_traces(600))

    async def test_load_many_gives_copies(self, caller: StoreCaller) -> None:
        await caller.save(full_trace())
        (await caller.load_many(["full"]))["full"].metadata["nested"].clear()
        assert same((await caller.load("full")).to_dict(), full_trace().to_dict())

    async def test_count(self, caller: StoreCaller) -> None:
        assert await caller.count() == 0
        await caller.save_many(_evens_and_odds(20))
        await caller.save(make_trace("run-003"))
        await caller.delete("run-004")
        assert await caller.count() == 19
        assert await caller.count(TraceFilter(metadata_match=EVEN)) == 9
        assert await caller.count(TraceFilter(metadata_match=EVEN, limit=4)) == 4
        assert await caller.count(TraceFilter(limit=4)) == 4
        assert await caller.count(TraceFilter(limit=0)) == 0
        assert await caller.count(TraceFilter(limit=1000)) == 19
        assert await caller.count(TraceFilter(min_steps=2)) == 0

    async def test_all_questions_of_many_traces(self, caller: StoreCaller) -> None:
        """In a store of some size, changed since, every method agrees with `matches`."""
        traces = list(various_traces(600))
        await caller.save_many(traces)
        await caller.save_many(traces[5:300:11])
        for trace in traces[::17]:
            await caller.delete(trace.run_id)
        summaries = list(await caller.list(1000))
        facts = {trace.run_id: facts_of(trace) for trace in traces}
        for fields in various_filters(100):
            filters = TraceFilter(**fields)
            matching = [s for s in summaries if matches(filters, s, facts[s.run_id])]
            expected = matching[: filters.limit]
            assert list(await caller.query(filters)) == expected, fields
            assert await caller.count(filters) == len(expected), fields
            assert await _gathered(caller.iter_summaries(filters)) == expected, fields

    async def test_a_damaged_trace_is_left_out_of_streams(
        self, caller: StoreCaller, damage: Damage | None
    ) -> None:
        if damage is None:
            pytest.skip("no fixture `damage`")
        await caller.save_many(make_traces(3))
        damage("run-001")
        assert _ids(await _gathered(caller.iter_traces())) == ["run-002", "run-000"]
        assert list(await caller.load_many(["run-000", "run-002"])) == ["run-000", "run-002"]

    async def test_closed_archives_refuse(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(3))
        stream = caller.iter_summaries()
        await caller.close()
        methods: list[Callable[[], Awaitable[Any]]] = [
            partial(caller.save_many, make_traces(1)),
            partial(caller.save_many, []),
            partial(caller.load_many, ["run-000"]),
            caller.count,
            caller.histogram,
            partial(anext, stream),
            partial(anext, caller.iter_summaries()),
            partial(anext, caller.iter_traces()),
        ]
        for method in methods:
            with pytest.raises(StoreClosedError):
                await method()

    async def test_least_recently_used_traces_are_evicted(self, caller: StoreCaller) -> None:
        if self.capacity is None:
            pytest.skip("the store keeps all")
        run_ids = await caller.save_many(make_trace(f"{n}") for n in range(self.capacity))
        await caller.load("0")
        await caller.save(make_trace("1"))
        await caller.save_many([make_trace("new"), make_trace("newer")])
        for evicted in ("2", "3"):
            with pytest.raises(TraceNotFoundError):
                await caller.load(evicted)
        assert await caller.count() == self.capacity
        assert await caller.ids() == ["newer", "new", "1", *run_ids[:3:-1], "0"]


class PageChecks(Backend):
    """Checks of pages that hold still."""

    async def test_pages_give_everything_once(self, caller: StoreCaller) -> None:
        newest_first = (await caller.save_many(make_traces(25)))[::-1]
        with all_cases() as case:
            for size in (1, 3, 10, 24, 25, 26):
                with case(size):
                    pages = [page async for page in _pages(caller, limit=size)]
                    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
                    assert _ids(_flat(pages)) == newest_first
                    assert len(pages) == -(-25 // size)

    async def test_pages_of_a_query_give_everything_once(self, caller: StoreCaller) -> None:
        await caller.save_many(_evens_and_odds(40))
        expected = [f"run-{n:03}" for n in range(38, -1, -2)]
        with all_cases() as case:
            for size in (1, 3, 7, 100):
                with case(size):
                    filters = TraceFilter(metadata_match=EVEN, limit=size)
                    pages = [page async for page in _pages(caller, filters)]
                    assert _ids(_flat(pages)) == expected
                    assert len(pages) == -(-20 // size)

    async def test_a_page_knows_whether_it_is_the_last(self, caller: StoreCaller) -> None:
        assert (await _page(caller, limit=5)).next_cursor is None
        await caller.save_many(make_traces(5))
        assert (await _page(caller, limit=5)).next_cursor is None
        assert (await _page(caller, limit=6)).next_cursor is None
        assert (await _page(caller, limit=4)).next_cursor is not None
        assert (await _page(caller, TraceFilter())).next_cursor is None
        assert (await _page(caller, TraceFilter(limit=4))).next_cursor is not None

    async def test_offset_counts_from_the_cursor(self, caller: StoreCaller) -> None:
        newest_first = (await caller.save_many(make_traces(20)))[::-1]
        cursor = (await _page(caller, limit=5)).next_cursor
        page = await _page(caller, limit=4, offset=3, cursor=cursor)
        assert _ids(page) == newest_first[8:12]
        assert _ids(await _page(caller, limit=4, cursor=page.next_cursor)) == newest_first[12:16]

    async def test_a_cursor_can_be_used_again(self, caller: StoreCaller) -> None:
        newest_first = (await caller.save_many(make_traces(10)))[::-1]
        cursor = (await _page(caller, limit=3)).next_cursor
        for _ in range(3):
            assert _ids(await _page(caller, limit=3, cursor=cursor)) == newest_first[3:6]
        assert _ids(await _page(caller, limit=50, cursor=cursor)) == newest_first[3:]

    async def test_pages_hold_still_while_others_save(self, caller: StoreCaller) -> None:
        newest_first = (await caller.save_many(make_traces(20)))[::-1]
        seen: list[str] = []
        async for page in _pages(caller, limit=4):
            seen += _ids(page)
            await caller.save(make_trace(f"new-{len(seen)}"))
        assert seen == newest_first

    async def test_pages_hold_still_while_others_delete(self, caller: StoreCaller) -> None:
        newest_first = (await caller.save_many(make_traces(20)))[::-1]
        seen: list[str] = []
        async for page in _pages(caller, limit=4):
            seen += _ids(page)
            for run_id in _ids(page):  # the one that the cursor points at is among them
                await caller.delete(run_id)
        assert seen == newest_first
        assert await caller.count() == 0

    async def test_pages_leave_out_what_was_deleted_meanwhile(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(10))
        first = await _page(caller, limit=3)
        for run_id in ("run-006", "run-002", "run-000", "run-008"):
            await caller.delete(run_id)
        rest = await _page(caller, limit=50, cursor=first.next_cursor)
        assert _ids(rest) == ["run-005", "run-004", "run-003", "run-001"]

    async def test_pages_hold_still_while_others_save_again(self, caller: StoreCaller) -> None:
        newest_first = (await caller.save_many(make_traces(12)))[::-1]
        seen: list[str] = []
        async for page in _pages(caller, limit=3):
            seen += _ids(page)
            for run_id in _ids(page):  # given already: not to be given twice
                await caller.save(make_trace(run_id, metadata={"again": True}))
        assert seen == newest_first
        assert await caller.count(TraceFilter(metadata_match={"again": True})) == 12

    async def test_pages_hold_still_while_the_newest_come_and_go(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(10))
        first = await _page(caller, limit=4)
        for n in range(4, 10):  # all that was given, and some of what was not
            await caller.delete(f"run-{n:03}")
        await self.save_all(caller, [make_trace("run-009"), make_trace("new")])
        rest = await _page(caller, limit=50, cursor=first.next_cursor)
        assert _ids(rest) == ["run-003", "run-002", "run-001", "run-000"]

    async def test_pages_of_a_query_hold_still(self, caller: StoreCaller) -> None:
        await caller.save_many(_evens_and_odds(24))
        seen: list[str] = []
        async for page in _pages(caller, TraceFilter(metadata_match=EVEN, limit=3)):
            seen += _ids(page)
            await caller.save_many(
                make_trace(f"new-{len(seen)}-{n}", metadata=EVEN) for n in (0, 1)
            )
            await caller.delete(seen[-1])
            await caller.save(make_trace(seen[-2], metadata=EVEN))
        assert seen == [f"run-{n:03}" for n in range(22, -1, -2)]

    async def test_cursors_are_plain_text(self, caller: StoreCaller) -> None:
        await caller.save_many(make_trace(f'run "{n}" é/?&') for n in range(3))
        cursor = (await _page(caller, limit=1)).next_cursor
        assert isinstance(cursor, str)
        assert cursor.isascii()
        assert cursor.isprintable()
        assert not set(cursor) & set(" &?#/+%\"'")

    async def test_what_is_no_cursor_is_refused(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(3))
        with all_cases() as case:
            for cursor in ("", "garbage", "é", "AAAA", "=", "[]", "x" * 10_000):
                with case(cursor):
                    with pytest.raises(ValueError, match="cursor"):
                        await caller.list(cursor=cursor)
                    with pytest.raises(ValueError, match="cursor"):
                        await caller.query(TraceFilter(), cursor=cursor)

    async def test_a_cursor_of_the_wrong_type_is_refused(self, caller: StoreCaller) -> None:
        for wrong in (5, b"AAAA"):
            with pytest.raises(TypeError):
                await caller.list(cursor=wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize("change", ["nothing", "save", "delete", "save-again"])
    async def test_a_cursor_outlives_the_store(
        self, caller: StoreCaller, reopen: Reopen | None, change: str
    ) -> None:
        if reopen is None:
            pytest.skip("no fixture `reopen`: the data is gone with the store")
        newest_first = (await caller.save_many(make_traces(10)))[::-1]
        first = await _page(caller, limit=4)
        if change == "save":
            await caller.save(make_trace("new"))
        if change == "delete":
            await caller.delete(first[-1].run_id)
        if change == "save-again":
            await caller.save(make_trace(first[-1].run_id))
        await caller.close()
        async with self.another(reopen) as second:
            rest = await _page(second, limit=50, cursor=first.next_cursor)
            assert _ids(rest) == newest_first[4:]


class StreamChecks(Backend):
    """Checks of `iter_summaries` and `iter_traces`."""

    async def test_streams_of_an_empty_store(self, caller: StoreCaller) -> None:
        assert await _gathered(caller.iter_summaries()) == []
        assert await _gathered(caller.iter_traces(oldest_first=True)) == []

    async def test_streams_give_everything_in_order(self, caller: StoreCaller) -> None:
        saved = await caller.save_many(make_traces(600))
        for stream in (caller.iter_summaries, caller.iter_traces):
            assert _ids(await _gathered(stream())) == saved[::-1]
            assert _ids(await _gathered(stream(oldest_first=True))) == saved

    async def test_streams_give_what_matches(self, caller: StoreCaller) -> None:
        await caller.save_many(_evens_and_odds(20))
        filters = TraceFilter(metadata_match=EVEN)
        expected = [f"run-{n:03}" for n in range(0, 20, 2)]
        for stream in (caller.iter_summaries, caller.iter_traces):
            assert _ids(await _gathered(stream(filters))) == expected[::-1]
            assert _ids(await _gathered(stream(filters, oldest_first=True))) == expected

    async def test_streams_give_whole_traces(self, caller: StoreCaller) -> None:
        await caller.save(full_trace())
        (trace,) = await _gathered(caller.iter_traces())
        (summary,) = await _gathered(caller.iter_summaries())
        assert same(trace.to_dict(), full_trace().to_dict())
        assert [summary] == list(await caller.list())

    async def test_limit_of_a_stream_keeps_the_newest(self, caller: StoreCaller) -> None:
        saved = await caller.save_many(make_traces(50))
        with all_cases() as case:
            for limit in (0, 1, 5, 40, 100):
                newest = saved[::-1][:limit]
                for stream in (caller.iter_summaries, caller.iter_traces):
                    with case(limit):
                        assert _ids(await _gathered(stream(TraceFilter(limit=limit)))) == newest
                        found = await _gathered(stream(TraceFilter(limit=limit), oldest_first=True))
                        assert _ids(found) == newest[::-1]

    @pytest.mark.parametrize("oldest_first", [False, True])
    async def test_streams_leave_out_what_is_saved_meanwhile(
        self, caller: StoreCaller, *, oldest_first: bool
    ) -> None:
        saved = await caller.save_many(make_traces(100))
        for stream in (caller.iter_summaries, caller.iter_traces):
            seen: list[str] = []
            async for item in stream(oldest_first=oldest_first):
                await caller.save(make_trace(f"new-{len(seen)}"))
                seen.append(item.run_id)
            assert [run_id for run_id in seen if run_id in saved] == (
                saved if oldest_first else saved[::-1]
            )
            assert len(seen) == len(set(seen))
            for n in range(100):
                await caller.delete(f"new-{n}")

    @pytest.mark.parametrize("oldest_first", [False, True])
    async def test_streams_give_a_run_saved_again_once(
        self, caller: StoreCaller, *, oldest_first: bool
    ) -> None:
        saved = await caller.save_many(make_traces(100))
        seen: list[str] = []
        async for item in caller.iter_summaries(oldest_first=oldest_first):
            seen.append(item.run_id)
            await caller.save(make_trace(item.run_id))
        assert seen == (saved if oldest_first else saved[::-1])

    async def test_streams_outlast_deletion(self, caller: StoreCaller) -> None:
        saved = await caller.save_many(make_traces(100))
        seen: list[str] = []
        async for item in caller.iter_traces():
            seen.append(item.run_id)
            for run_id in (item.run_id, saved[0]):
                await caller.delete(run_id)
        assert len(seen) == len(set(seen))
        assert set(seen) >= set(saved[1:])
        assert await caller.count() == 0

    @pytest.mark.parametrize("oldest_first", [False, True])
    async def test_streams_leave_out_what_is_saved_after_deletion(
        self, caller: StoreCaller, *, oldest_first: bool
    ) -> None:
        await caller.save_many(make_traces(700))
        seen: list[str] = []
        async for item in caller.iter_summaries(oldest_first=oldest_first):
            if not seen:
                for n in range(100):
                    await caller.delete(f"run-{n:03}")
                    await caller.delete(f"run-{699 - n:03}")
                await caller.save_many(make_traces(50, "new"))
            seen.append(item.run_id)
        assert [run_id for run_id in seen if run_id.startswith("new")] == []
        assert len(seen) == len(set(seen))

    async def test_a_stream_left_early_leaves_nothing_behind(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(100))
        for stream in (caller.iter_summaries(), caller.iter_traces(oldest_first=True)):
            async for item in stream:
                assert item.run_id
                break
            await caller.save(make_trace("afterwards"))
            assert await caller.delete("afterwards") is True

    async def test_streams_side_by_side(self, caller: StoreCaller) -> None:
        saved = await caller.save_many(make_traces(50))

        async def gather() -> list[str]:
            return _ids(await _gathered(caller.iter_traces(oldest_first=True)))

        outcomes = await caller.together([gather] * 8)
        assert outcomes == [saved] * 8

    async def test_streamed_items_are_copies(self, caller: StoreCaller) -> None:
        await caller.save(full_trace())
        for stream in (caller.iter_summaries, caller.iter_traces):
            (item,) = await _gathered(stream())
            item.metadata["nested"].clear()
            (again,) = await _gathered(stream())
            assert again.metadata == full_trace().metadata


def _loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def _evens_and_odds(number: int) -> list[AgentTrace]:
    return [make_trace(f"run-{n:03}", metadata={"even": n % 2 == 0}) for n in range(number)]


def _ids(items: Sequence[Any]) -> list[str]:
    return [item.run_id for item in items]


def _flat(pages: Sequence[TracePage]) -> list[TraceSummary]:
    return [summary for page in pages for summary in page]


async def _gathered(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


async def _page(
    caller: StoreCaller, filters: TraceFilter | None = None, **options: Any
) -> TracePage:
    page = await (caller.list(**options) if filters is None else caller.query(filters, **options))
    assert isinstance(page, TracePage)
    return page


async def _pages(
    caller: StoreCaller, filters: TraceFilter | None = None, **options: Any
) -> AsyncIterator[TracePage]:
    page = await _page(caller, filters, **options)
    yield page
    while page.next_cursor is not None:
        page = await _page(caller, filters, **options, cursor=page.next_cursor)
        yield page
