"""Checks of pruning, of deleting many, and of deleting with child runs."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ..errors import StorageError, StoreClosedError, TraceNotFoundError
from ..model.filters import TraceFilter
from ..model.retention import PruneReport
from .backend import Backend
from .callers import StoreCaller
from .cases import all_cases
from .samples import make_trace, make_traces, same

UNFIT: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (ValueError, "give older_than", {}),
    (ValueError, "give older_than", {"keep": "has:error", "dry_run": True}),
    (ValueError, "keep_runs", {"keep_runs": -1}),
    (ValueError, "keep_bytes", {"keep_bytes": -1}),
    (TypeError, "keep_runs", {"keep_runs": True}),
    (ValueError, "timezone", {"older_than": datetime(2026, 1, 1)}),  # noqa: DTZ001
    (ValueError, "older_than", {"older_than": timedelta(days=-1)}),
    (TypeError, "older_than", {"older_than": 5}),
    (ValueError, "limit", {"where": TraceFilter(limit=5)}),
    (ValueError, "filter", {"where": "tool:("}),
    (TypeError, "where", {"where": 5}),
]


class RetentionChecks(Backend):
    """Checks of what removes many runs."""

    async def test_many_are_deleted_at_once(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(600))
        gone = [f"run-{n:03}" for n in range(0, 600, 2)]
        assert await caller.delete_many([*gone, "absent", gone[0]]) == 300
        assert await caller.ids() == [f"run-{n:03}" for n in range(599, 0, -2)]
        assert await caller.delete_many(gone) == 0
        assert await caller.delete_many([]) == 0
        with pytest.raises(TraceNotFoundError):
            await caller.load("run-000")
        await caller.save(make_trace("run-000", metadata={"n": 0}))
        assert (await caller.ids(TraceFilter(metadata_match={"n": 0}))) == ["run-000"]

    async def test_child_runs_are_deleted_too(self, caller: StoreCaller) -> None:
        parents = {"a": None, "b": "a", "c": "b", "d": "a", "e": None, "f": "e", "g": "absent"}
        for run_id, parent in parents.items():
            await caller.save(make_trace(run_id, parent_run_id=parent))
        assert await caller.delete("a", descendants=True) is True
        assert await caller.ids() == ["g", "f", "e"]
        assert await caller.delete("e") is True
        assert await caller.ids() == ["g", "f"]
        assert await caller.delete("e", descendants=True) is True
        assert await caller.delete("e", descendants=True) is False
        assert await caller.ids() == ["g"]

    async def test_runs_that_started_each_other_are_deleted_once(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("a", parent_run_id="b"))
        await caller.save(make_trace("b", parent_run_id="a"))
        assert await caller.delete("a", descendants=True) is True
        assert await caller.ids() == []

    async def test_the_newest_are_kept(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(600))
        report = await caller.prune(keep_runs=550)
        assert isinstance(report, PruneReport)
        assert (report.runs, report.spared, report.dry_run) == (50, 0, False)
        assert list(report.run_ids) == [f"run-{n:03}" for n in range(50)]
        assert await caller.ids() == [f"run-{n:03}" for n in range(599, 49, -1)]
        assert (await caller.prune(keep_runs=550)).runs == 0
        assert (await caller.prune(keep_runs=0)).runs == 550
        assert await caller.count() == 0
        assert (await caller.prune(keep_runs=0)).runs == 0

    async def test_old_ones_go(self, caller: StoreCaller) -> None:
        if not getattr(self, "keeps_created_at", True):
            pytest.skip("this store cannot keep a stated time")
        now = datetime.now(UTC)
        moments = [now - timedelta(days=n * 5 % 7) for n in range(7)]
        await caller.save_many(make_traces(7), created_at=moments)
        report = await caller.prune(older_than=timedelta(days=3, hours=1))
        assert report.runs == 3
        left = {summary.created_at for summary in await caller.list()}
        assert left == {moment for moment in moments if moment > now - timedelta(days=3, hours=1)}
        assert (await caller.prune(older_than=now - timedelta(days=2))).runs == 1
        assert await caller.count() == 3

    async def test_a_number_of_bytes_is_kept_to(self, caller: StoreCaller) -> None:
        traces = [make_trace(f"run-{n:03}", metadata={"text": f"{n}" * 1000}) for n in range(300)]
        await caller.save_many(traces)
        whole = await caller.prune(keep_runs=300)
        assert whole.runs == 0
        if whole.size_before is None:
            with pytest.raises(StorageError, match="cannot tell its size"):
                await caller.prune(keep_bytes=1)
            return
        assert (await caller.prune(keep_bytes=1 << 50)).runs == 0
        bound = whole.size_before // 2
        reported = await caller.prune(keep_bytes=bound, dry_run=True)
        assert await caller.count() == 300
        report = await caller.prune(keep_bytes=bound)
        assert report.size_after is not None
        assert report.size_after <= bound
        left = await caller.count()
        assert 90 <= left <= 210
        assert abs(reported.runs - report.runs) <= 60
        assert await caller.ids() == [f"run-{n:03}" for n in range(299, 299 - left, -1)]
        assert same((await caller.load("run-299")).to_dict(), traces[299].to_dict())

    async def test_what_matches_goes(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(20))
        assert (await caller.prune(where="n>=15")).runs == 5
        some = TraceFilter(metadata_match={"n": 3})
        assert (await caller.prune(where=some)).runs == 1
        assert await caller.count() == 14
        report = await caller.prune(where="n<10", keep_runs=4)
        assert report.runs == 5
        assert [run_id[-2:] for run_id in await caller.ids()] == [
            "14", "13", "12", "11", "10", "09", "08", "07", "06",
        ]  # fmt: skip

    async def test_what_is_to_stay_stays(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(20))
        report = await caller.prune(keep_runs=5, keep="n<3")
        assert (report.runs, report.spared) == (12, 3)
        assert [run_id[-2:] for run_id in await caller.ids()] == [
            "19", "18", "17", "16", "15", "02", "01", "00",
        ]  # fmt: skip
        chosen = TraceFilter(run_ids=["run-001", "run-018"])
        assert (await caller.prune(keep_runs=0, keep=chosen)).runs == 6
        assert [run_id[-2:] for run_id in await caller.ids()] == ["18", "01"]

    async def test_what_was_annotated_stays_if_asked(self, caller: StoreCaller) -> None:
        if not self.annotates:
            pytest.skip("this store keeps no annotations")
        await caller.save_many(make_traces(10))
        kept = await caller.annotate("run-002", "a", note="keep me")
        report = await caller.prune(keep_runs=3, keep_annotated=True)
        assert (report.runs, report.spared) == (6, 1)
        assert [run_id[-1] for run_id in await caller.ids()] == list("9872")
        assert await caller.annotations("run-002") == [kept]
        assert (await caller.prune(keep_runs=3)).runs == 1
        with pytest.raises(TraceNotFoundError):
            await caller.annotations("run-002")

    async def test_bounds_add_up(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(10))
        report = await caller.prune(keep_runs=8, older_than=timedelta(days=1))
        assert report.runs == 2
        reported = await caller.prune(
            keep_runs=5, older_than=datetime.now(UTC) + timedelta(days=1), dry_run=True
        )
        assert (reported.runs, reported.dry_run) == (8, True)
        assert await caller.count() == 8
        assert (await caller.prune(older_than=timedelta(days=1))).runs == 0

    async def test_progress_is_told(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(50))
        reported: list[tuple[int, int]] = []
        await caller.prune(keep_runs=10, progress=lambda *numbers: reported.append(numbers))
        assert reported[-1] == (40, 40)

    async def test_what_cannot_be_meant_is_refused(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        with all_cases() as case:
            for kind, words, options in UNFIT:
                with case(options), pytest.raises(kind, match=words):
                    await caller.prune(**options)
        assert await caller.ids() == ["run"]

    async def test_pruning_while_others_save(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(300))
        saves = [lambda n=n: caller.save(make_trace(f"run-{n:03}", 3)) for n in range(32)]
        outcomes = await caller.together([*saves, lambda: caller.prune(keep_runs=100), *saves[:8]])
        assert [o for o in outcomes if isinstance(o, BaseException)] == []
        # What was saved again is newer than all else: it stays, whole.
        found = {summary.run_id: summary.steps for summary in await caller.list(1000)}
        assert {f"run-{n:03}": 3 for n in range(32)}.items() <= found.items()

    async def test_closed_stores_refuse_to_prune(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        await caller.close()
        for call in (
            lambda: caller.prune(keep_runs=0),
            lambda: caller.delete_many(["run"]),
            caller.health,
            lambda: caller.delete("run", descendants=True),
        ):
            with pytest.raises(StoreClosedError):
                await call()
