"""Checks of concurrent calls: tasks, threads, and both."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from ..errors import InvalidTraceError, TraceNotFoundError
from ..model.filters import TraceFilter
from .backend import Backend
from .callers import Call, StoreCaller
from .samples import full_trace, make_trace, make_traces, same

AT_ONCE = 64


class ConcurrencyChecks(Backend):
    """Checks of many calls at once, by tasks or by threads."""

    async def test_many_saves_at_once(self, caller: StoreCaller) -> None:
        run_ids = [f"run-{n}" for n in range(AT_ONCE)]
        outcomes = await caller.together([partial(caller.save, full_trace(i)) for i in run_ids])
        assert outcomes == run_ids
        assert sorted(await caller.ids()) == sorted(run_ids)
        for run_id in run_ids:
            assert same((await caller.load(run_id)).to_dict(), full_trace(run_id).to_dict())

    async def test_many_saves_of_one_run_at_once(self, caller: StoreCaller) -> None:
        traces = [make_trace("run", n, metadata={"n": n}) for n in range(AT_ONCE)]
        outcomes = await caller.together([partial(caller.save, trace) for trace in traces])
        assert outcomes == ["run"] * AT_ONCE
        loaded = await caller.load("run")
        (summary,) = await caller.list()
        assert len(loaded) == loaded.metadata["n"] == summary.steps == summary.metadata["n"]
        assert await caller.ids(TraceFilter(metadata_match={"n": len(loaded)})) == ["run"]

    async def test_an_invalid_trace_fails_alone(self, caller: StoreCaller) -> None:
        run_ids = [f"run-{n}" if n % 8 else "" for n in range(AT_ONCE)]
        outcomes = await caller.together([partial(caller.save, make_trace(i)) for i in run_ids])
        good = [run_id for run_id in run_ids if run_id]
        assert [outcome for outcome in outcomes if isinstance(outcome, str)] == good
        refused = [outcome for outcome in outcomes if not isinstance(outcome, str)]
        assert [type(error) for error in refused] == [InvalidTraceError] * 8
        assert sorted(await caller.ids()) == sorted(good)

    async def test_many_loads_at_once(self, caller: StoreCaller) -> None:
        await self.save_all(caller, make_traces(AT_ONCE))
        names = [f"run-{n:03}" for n in range(AT_ONCE + 8)]
        outcomes = await caller.together([partial(caller.load, name) for name in names])
        assert [trace.run_id for trace in outcomes[:AT_ONCE]] == names[:AT_ONCE]
        assert [type(outcome) for outcome in outcomes[AT_ONCE:]] == [TraceNotFoundError] * 8
        assert [str(error) for error in outcomes[AT_ONCE:]] == [
            str(error) for error in outcomes[AT_ONCE:] if repr(error.run_id) in str(error)
        ]

    async def test_loads_of_one_run_at_once_share_nothing(self, caller: StoreCaller) -> None:
        await caller.save(full_trace())
        one, *others = await caller.together([partial(caller.load, "full")] * 8)
        one.metadata["nested"]["deep"]["er"].clear()
        assert [same(o.to_dict(), full_trace().to_dict()) for o in others] == [True] * 7

    async def test_one_delete_of_many_succeeds(self, caller: StoreCaller) -> None:
        await self.save_all(caller, make_traces(3))
        outcomes = await caller.together([partial(caller.delete, "run-001")] * 16)
        assert sorted(outcomes) == [False] * 15 + [True]
        assert await caller.ids() == ["run-002", "run-000"]

    async def test_all_methods_at_once(self, caller: StoreCaller) -> None:
        await self.save_all(caller, make_traces(16))
        calls: list[Call] = []
        for n in range(16):
            run_id = f"run-{n:03}"
            calls += [
                partial(caller.save, make_trace(f"new-{n}")),
                partial(caller.save, make_trace(run_id, metadata={"again": True})),
                partial(caller.load, run_id),
                partial(caller.list, 5),
                partial(caller.query, TraceFilter(metadata_match={"again": True})),
                partial(caller.delete, f"absent-{n}"),
            ]
        outcomes = await caller.together(calls)
        assert [o for o in outcomes if isinstance(o, BaseException)] == []
        assert len(await caller.ids()) == 32
        assert len(await caller.ids(TraceFilter(metadata_match={"again": True}))) == 16


class TaskChecks(Backend):
    """Checks of an async store only: cancellation and event loops."""

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 10, 25])
    async def test_cancelled_saves_are_whole_or_absent(
        self, caller: StoreCaller, turns: int
    ) -> None:
        tasks = {f"run-{n}": _begun(caller.save(full_trace(f"run-{n}"))) for n in range(AT_ONCE)}
        await _let_others_run(turns)
        cancelled = [task for n, task in enumerate(tasks.values()) if n % 3 == 0]
        for task in cancelled:
            task.cancel()
        await asyncio.wait(tasks.values())
        stored = set(await caller.ids())
        assert stored >= {name for name, task in tasks.items() if not task.cancelled()}
        assert [t for t in tasks.values() if not t.cancelled() and t.exception()] == []
        whole = full_trace().to_dict()
        for run_id in stored:
            assert same((await caller.load(run_id)).to_dict(), whole | {"run_id": run_id})
        await _is_usable(caller)

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 10])
    async def test_a_cancelled_first_caller_harms_nobody(
        self, caller: StoreCaller, turns: int
    ) -> None:
        await caller.save(make_trace("before"))
        first, *others = [_begun(caller.save(make_trace(f"run-{n}"))) for n in range(8)]
        await _let_others_run(turns)
        first.cancel()
        assert await asyncio.gather(*others) == [f"run-{n}" for n in range(1, 8)]
        await asyncio.wait([first])
        assert set(await caller.ids()) >= {"before", *(f"run-{n}" for n in range(1, 8))}
        await _is_usable(caller)

    @pytest.mark.parametrize("turns", [0, 1, 3, 10])
    @pytest.mark.parametrize("method", ["load", "list", "query", "delete"])
    async def test_cancelled_calls_leave_nothing_behind(
        self, caller: StoreCaller, method: str, turns: int
    ) -> None:
        await self.save_all(caller, make_traces(3))
        calls: dict[str, Call] = {
            "load": partial(caller.load, "run-001"),
            "list": caller.list,
            "query": partial(caller.query, TraceFilter(min_steps=1)),
            "delete": partial(caller.delete, "absent"),
        }
        tasks = [_begun(calls[method]()) for _ in range(16)]
        await _let_others_run(turns)
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.wait(tasks)
        assert not tasks[-1].cancelled()
        assert tasks[-1].exception() is None
        await _is_usable(caller)

    async def test_a_cancelled_delete_is_whole_or_absent(self, caller: StoreCaller) -> None:
        await self.save_all(caller, make_traces(30))
        tasks = {f"run-{n:03}": _begun(caller.delete(f"run-{n:03}")) for n in range(20)}
        await _let_others_run(2)
        for task in list(tasks.values())[::2]:
            task.cancel()
        await asyncio.wait(tasks.values())
        stored = set(await caller.ids())
        assert stored.isdisjoint(name for name, task in tasks.items() if not task.cancelled())
        for run_id in stored:
            assert (await caller.load(run_id)).run_id == run_id
        await _is_usable(caller)

    async def test_a_timeout_cancels_cleanly(self, caller: StoreCaller) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.gather(*[caller.save(make_trace(f"run-{n}")) for n in range(16)])
        await _is_usable(caller)

    async def test_one_event_loop_after_another(self, caller: StoreCaller) -> None:
        self._skip_unless_many_loops()
        await caller.save(make_trace("here"))
        for n in range(10):
            await asyncio.to_thread(_run, caller.save(make_trace(f"run-{n}")))
        expected = [*[f"run-{n}" for n in reversed(range(10))], "here"]
        assert await caller.ids() == expected
        assert await asyncio.to_thread(_run, caller.ids()) == expected

    async def test_several_event_loops_at_once(self, caller: StoreCaller) -> None:
        self._skip_unless_many_loops()

        async def work(name: str) -> None:
            await asyncio.gather(*[caller.save(make_trace(f"{name}-{n}")) for n in range(20)])
            assert (await caller.load(f"{name}-7")).run_id == f"{name}-7"

        runs = [asyncio.to_thread(_run, work(name)) for name in "abc"]
        await asyncio.gather(*runs, work("here"))
        expected = {f"{name}-{n}" for name in ("a", "b", "c", "here") for n in range(20)}
        assert set(await caller.ids()) == expected

    async def test_a_loop_that_ends_in_the_middle_harms_nobody(self, caller: StoreCaller) -> None:
        self._skip_unless_many_loops()

        async def begin_and_end(name: str) -> None:
            tasks = [_begun(caller.save(make_trace(f"{name}-{n}"))) for n in range(8)]
            await _let_others_run(3)
            assert tasks

        for n in range(5):
            await asyncio.to_thread(_run, begin_and_end(f"lost-{n}"))
            await caller.save(make_trace(f"kept-{n}"))
        for run_id in await caller.ids():
            assert (await caller.load(run_id)).run_id == run_id
        assert {f"kept-{n}" for n in range(5)} <= set(await caller.ids())
        await _is_usable(caller)

    def _skip_unless_many_loops(self) -> None:
        if not self.many_loops:
            pytest.skip("the store belongs to one event loop")


class ThreadChecks(Backend):
    """Checks of a blocking store only."""

    def test_it_works_inside_a_running_event_loop(self, store: Any) -> None:
        async def main() -> None:
            store.save(make_trace("run"))
            assert store.load("run").run_id == "run"
            assert [summary.run_id for summary in store.list()] == ["run"]

        asyncio.run(main())

    def test_thirty_two_threads_at_once(self, store: Any) -> None:
        def work(name: int) -> None:
            for n in range(5):
                store.save(make_trace(f"{name}-{n}"))
                assert store.load(f"{name}-{n}").run_id == f"{name}-{n}"

        with ThreadPoolExecutor(32) as threads:
            list(threads.map(work, range(32)))
        found = {summary.run_id for summary in store.query(TraceFilter())}
        assert found == {f"{name}-{n}" for name in range(32) for n in range(5)}


def _begun(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(call)


async def _let_others_run(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def _run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


async def _is_usable(caller: StoreCaller) -> None:
    await caller.save(make_trace("afterwards"))
    assert (await caller.load("afterwards")).run_id == "afterwards"
    assert (await caller.list(1))[0].run_id == "afterwards"
    assert await caller.delete("afterwards") is True
