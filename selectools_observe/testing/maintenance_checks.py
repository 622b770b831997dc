"""Checks of `verify`, `backup`, `repair` and `compact`."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ..errors import StorageError, StoreClosedError
from .backend import Backend, Damage
from .callers import StoreCaller
from .samples import VALUES, full_trace, make_trace, make_traces, newer_trace, same

OpenAt: TypeAlias = Callable[[Path], Any]


class TrustChecks(Backend):
    """Checks of `verify`, `backup`, `repair` and `compact`; with ``open_at`` and ``damage``."""

    @pytest.fixture
    def open_at(self) -> OpenAt | None:
        """A callable that gives a store on the file with this path; or None (the default)."""
        return None

    async def test_verify_finds_nothing_in_a_good_store(self, caller: StoreCaller) -> None:
        assert (await caller.verify()).checked == 0
        await caller.save_many([*make_traces(300), full_trace(), newer_trace()])
        for kind, kept in VALUES.items():
            await caller.save(make_trace(f"value {kind}", metadata={"value": kept.value}))
        await caller.save_many(make_traces(20))
        await caller.delete("run-030")
        report = await caller.verify()
        assert report.ok, str(report)
        assert report.checked == await caller.count()
        assert not report.index_only

    async def test_verify_tells_its_progress(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(600))
        reported: list[tuple[int, int]] = []
        await caller.verify(progress=lambda done, total: reported.append((done, total)))
        assert reported == sorted(reported)
        assert all(done <= total for done, total in reported)

    async def test_verify_names_what_is_damaged(
        self, caller: StoreCaller, damage: Damage | None
    ) -> None:
        self._skip_without(damage)
        assert damage is not None
        await caller.save_many(make_traces(5))
        damage("run-003")
        report = await caller.verify()
        assert [problem.run_id for problem in report.problems] == ["run-003"]
        assert (report.ok, report.checked, report.index_only) == (False, 4, False)
        assert "run-003" in str(report)

    async def test_a_backup_is_a_whole_store(
        self, caller: StoreCaller, open_at: OpenAt | None, tmp_path: Path
    ) -> None:
        await caller.save_many([*make_traces(300), full_trace()])
        await caller.save(make_trace("run-005"))
        path = tmp_path / "folder" / "copy"
        report = await caller.backup(path)
        assert (report.ok, report.verified.checked) == (True, 301)
        assert report.size == path.stat().st_size
        await caller.save(make_trace("later"))
        await self._holds_the_same(caller, open_at, path, without="later")

    async def test_a_backup_while_others_save(
        self, caller: StoreCaller, open_at: OpenAt | None, tmp_path: Path
    ) -> None:
        await caller.save_many(make_traces(300))
        batches = [make_traces(20, f"batch-{n}") for n in range(8)]
        saves = [lambda batch=batch: caller.save_many(batch) for batch in batches]
        outcomes = await caller.together([*saves, lambda: caller.backup(tmp_path / "copy")])
        assert outcomes[-1].ok, outcomes
        self._skip_without(open_at)
        assert open_at is not None
        copy = self.caller_type(open_at(tmp_path / "copy"))
        found = await copy.ids()
        assert {f"run-{n:03}" for n in range(300)} <= set(found)
        for batch in batches:  # each whole or absent
            assert len({trace.run_id for trace in batch} & set(found)) in (0, 20)
        await copy.close()

    async def test_a_backup_takes_no_place_that_is_taken(
        self, caller: StoreCaller, tmp_path: Path
    ) -> None:
        await caller.save(make_trace("a"))
        await caller.backup(tmp_path / "copy")
        before = (tmp_path / "copy").read_bytes()
        await caller.save(make_trace("b"))
        with pytest.raises(StorageError, match="already exists"):
            await caller.backup(tmp_path / "copy")
        with pytest.raises(StorageError, match="already exists"):
            await caller.repair(tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == before
        assert (await caller.backup(tmp_path / "copy", overwrite=True)).verified.checked == 2

    async def test_repair_saves_everything_of_a_good_store(
        self, caller: StoreCaller, open_at: OpenAt | None, tmp_path: Path
    ) -> None:
        await caller.save_many([*make_traces(300), full_trace(), newer_trace()])
        await caller.save_many(make_traces(3))
        await caller.delete("run-050")
        report = await caller.repair(tmp_path / "repaired")
        assert (report.ok, report.saved) == (True, 301), str(report)
        await self._holds_the_same(caller, open_at, tmp_path / "repaired")

    async def test_repair_leaves_out_what_is_lost(
        self, caller: StoreCaller, damage: Damage | None, open_at: OpenAt | None, tmp_path: Path
    ) -> None:
        self._skip_without(damage)
        assert damage is not None
        await caller.save_many(make_traces(6))
        damage("run-002")
        report = await caller.repair(tmp_path / "repaired")
        assert report.saved == 5
        assert [problem.run_id for problem in report.lost] == ["run-002"]
        assert (await caller.verify()).checked == 5  # the store itself is as it was
        await self._holds_the_same(caller, open_at, tmp_path / "repaired", without="run-002")

    async def test_compact_keeps_everything(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(600))
        await caller.save_many(make_traces(50))
        for n in range(100, 400):
            await caller.delete(f"run-{n:03}")
        before = list(await caller.list(1000))
        page = await caller.list(10)
        report = await caller.compact()
        assert report.size_after < report.size_before
        assert list(await caller.list(1000)) == before
        assert list(await caller.list(10, cursor=page.next_cursor)) == before[10:20]
        assert same((await caller.load("run-500")).to_dict(), make_traces(600)[500].to_dict())
        assert (await caller.verify()).ok
        await caller.save(make_trace("new"))
        assert (await caller.ids())[:2] == ["new", before[0].run_id]

    async def test_compact_while_others_save(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(200))
        saves = [lambda n=n: caller.save(make_trace(f"new-{n}")) for n in range(32)]
        outcomes = await caller.together([*saves[:16], caller.compact, *saves[16:], caller.compact])
        assert [o for o in outcomes if isinstance(o, BaseException)] == []
        assert await caller.count() == 232
        assert (await caller.verify()).ok

    async def test_closed_stores_refuse_the_maintenance_methods(
        self, caller: StoreCaller, tmp_path: Path
    ) -> None:
        await caller.save(make_trace("a"))
        await caller.close()
        for call in (
            caller.verify,
            lambda: caller.backup(tmp_path / "copy"),
            lambda: caller.repair(tmp_path / "repaired"),
            caller.compact,
        ):
            with pytest.raises(StoreClosedError):
                await call()
        assert not (tmp_path / "copy").exists()

    async def _holds_the_same(
        self, caller: StoreCaller, open_at: OpenAt | None, path: Path, without: str = ""
    ) -> None:
        """The file has the same runs, saved in the same order at the same times."""
        if open_at is None:
            return
        copy = self.caller_type(open_at(path))
        expected = [summary for summary in await caller.list(1000) if summary.run_id != without]
        assert list(await copy.list(1000)) == expected
        for summary in expected[::50]:
            loaded, kept = await copy.load(summary.run_id), await caller.load(summary.run_id)
            assert same(loaded.to_dict(), kept.to_dict())
        assert (await copy.verify()).ok
        await copy.close()

    def _skip_without(self, fixture: object) -> None:
        if fixture is None:
            pytest.skip("no fixture `damage` or `open_at`")
