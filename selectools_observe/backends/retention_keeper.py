"""Pruning: finding what a `Retention` is against and deleting it, oldest first, in small steps."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple, Protocol

from ..errors import StorageError, StoreClosedError, TraceStoreError
from ..model import timestamps
from ..model.filters import TraceFilter
from ..model.reports import Progress
from ..model.retention import PruneReport, Retention
from .queries.paging import PageRequest, PageRow

log = logging.getLogger(__name__)

_EVERYTHING = TraceFilter()
_ROWS_AT_ONCE = 256
_ROWS_IN_A_STEP = 64
_IDS_REPORTED = 1000
_MOST_ROUNDS = 20  # of measuring again: a run's share of the bytes is not known exactly
_STEPS_A_BOUND = 64  # while a whole bound's worth is saved
_FEWEST_RUNS_A_STEP = 64  # of a bound of runs: the step costs about as much for one
_SECONDS_BETWEEN_STEPS = 60.0
_RUNS_IN_A_STEP = 512


class Delete(Protocol):
    """Deletes those of the rows that are as they were when they were read; gives their run ids."""

    def __call__(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Awaitable[Sequence[str]]: ...


class GiveBack(Protocol):
    """Gives back space that is free now."""

    def __call__(self, *, all_of_it: bool) -> Awaitable[None]: ...


class PrunedStore(NamedTuple):
    """What pruning needs of a backend.

    Attributes:
        rows_oldest_first: All rows that match, so many at a time.
        rows_of: The rows of a page.
        count_of: How many match.
        size: The bytes in use; None if nothing tells.
        sizes_of: About how many bytes each row has.
        delete_rows: See `Delete`.
        give_back: See `GiveBack`.
        delete_oldest: Deletes so many of the oldest runs, without a look at them; how many.
        deletes_at_once: Runs that are deleted together.
        prune_slack: The share by which a bound is overstepped before a step is taken, and
            understepped then.
        saves_between_steps: At most, however large the bound is.
    """

    rows_oldest_first: Callable[[TraceFilter, int], AsyncIterator[Sequence[PageRow]]]
    rows_of: Callable[[PageRequest], Awaitable[Sequence[PageRow]]]
    count_of: Callable[[TraceFilter], Awaitable[int]]
    size: Callable[[], Awaitable[int | None]]
    sizes_of: Callable[[Sequence[PageRow]], Awaitable[Sequence[int]]]
    delete_rows: Delete
    give_back: GiveBack
    delete_oldest: Callable[[int], Awaitable[int]] | None
    deletes_at_once: int
    prune_slack: float
    saves_between_steps: int


class Pruning:
    """One look at all that a rule is against, or one step of it."""

    def __init__(
        self,
        store: PrunedStore,
        where: str,
        rule: Retention,
        *,
        dry_run: bool = False,
        most: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._store = store
        self._where = where
        self._rule = rule
        self._dry_run = dry_run
        self._most = most
        self._progress = progress
        self._looked_at = rule.where if isinstance(rule.where, TraceFilter) else _EVERYTHING
        self._waiting: list[PageRow] = []
        self._found: set[str] = set()
        self._ids: list[str] = []
        self._deleted = 0
        self._bytes = 0
        self._spared: set[str] = set()
        self.size: int | None = None  # of a step, when it began
        self.bytes_a_run: int | None = None  # once there are too many

    async def run(self) -> PruneReport:
        """Delete all that the rule is against."""
        is_step = self._most is not None
        before = None if is_step else await self._store.size()
        slack = 0.0 if self._most is None else self._store.prune_slack
        if not self._rule.has_bound:
            await self._delete_of(self._looked_at)
        await self._too_old(slack)
        await self._too_many(slack)
        is_within = await self._too_large(slack)
        after = None if is_step else await self._size_after()
        if is_within and self._grew_over(after):  # an index was written meanwhile
            await self._too_large(0.0)
            after = await self._size_after()
        elif is_step:
            await self._give_back()
        deleted = len(self._found) if self._dry_run else self._deleted
        return PruneReport(
            self._where, deleted, len(self._spared), before, after, self._dry_run, tuple(self._ids)
        )

    async def _size_after(self) -> int | None:
        await self._give_back()
        after = await self._store.size()
        return max(0, after - self._bytes) if self._dry_run and after is not None else after

    async def _give_back(self) -> None:
        if self._deleted and not self._dry_run:
            await self._store.give_back(all_of_it=self._most is None)

    def _grew_over(self, size: int | None) -> bool:
        keep = self._rule.keep_bytes
        return not self._dry_run and size is not None and keep is not None and size > keep

    async def _too_old(self, slack: float) -> None:
        cutoff = self._rule.cutoff(timestamps.now())
        if cutoff is None:
            return
        until = cutoff - timedelta(microseconds=1)
        given = self._looked_at.until
        old = replace(self._looked_at, until=until if given is None else min(until, given))
        if slack and await self._store.count_of(old) < slack * await self._store.count_of(
            self._looked_at
        ):
            return
        await self._delete_of(old)

    async def _too_many(self, slack: float) -> None:
        keep = self._rule.keep_runs
        if keep is None:
            return
        surplus = await self._store.count_of(self._looked_at) - keep
        if surplus <= slack * keep:
            return
        if await self._took_oldest(surplus):
            return

        def first(rows: Sequence[PageRow]) -> Sequence[PageRow]:
            nonlocal surplus
            some = rows[: max(0, surplus)]
            surplus -= len(rows)
            return some

        await self._delete_of(self._looked_at, first)

    async def _too_large(self, slack: float) -> bool:
        """Delete until the bytes are few enough; whether they are."""
        keep = self._rule.keep_bytes
        if keep is None:
            return True
        for _ in range(_MOST_ROUNDS):
            size = self.size = await self._store.size()
            if size is None:
                problem = "keep_bytes: this store cannot tell its size"
                raise StorageError(self._where, problem, "Use keep_runs or older_than")
            if size - self._bytes_gone() <= keep * (1 + slack):
                return True
            slack_taken = int(keep * slack)
            excess = size - self._bytes_gone() - keep + slack_taken
            runs = await self._store.count_of(_EVERYTHING)
            self.bytes_a_run = size // max(1, runs)
            if await self._took_oldest(1 + excess * runs // max(1, size)):
                return False
            before = len(self._found)
            await self._delete_of(self._looked_at, until_bytes=excess)
            if self._dry_run or len(self._found) == before or self._is_enough:
                return False
            slack = 0.0
        return False

    async def _took_oldest(self, number: int) -> bool:
        """In a step, delete so many of the oldest without a look, if nothing is to be spared."""
        rule, delete = self._rule, self._store.delete_oldest
        if self._most is None or delete is None:
            return False
        if rule.keep_annotated or rule.where is not None or rule.keep is not None:
            return False
        self._deleted += await delete(min(number, self._most))
        return True

    def _bytes_gone(self) -> int:
        return self._bytes if self._dry_run else 0

    @property
    def _is_enough(self) -> bool:
        return self._most is not None and len(self._found) >= self._most

    async def _delete_of(
        self,
        filters: TraceFilter,
        choose: Callable[[Sequence[PageRow]], Sequence[PageRow]] | None = None,
        *,
        until_bytes: int | None = None,
    ) -> None:
        """Delete those of the runs that match, oldest first, as long as some are chosen."""
        left = until_bytes
        at_once = _ROWS_AT_ONCE if self._most is None else _ROWS_IN_A_STEP
        async for rows in self._store.rows_oldest_first(filters, at_once):
            chosen = rows if choose is None else choose(rows)
            going = await self._unprotected(chosen)
            sizes = await self._store.sizes_of(going) if going else ()
            for row, size in zip(going, sizes, strict=True):
                if (left is not None and left <= 0) or self._is_enough:
                    break
                self._note(row, size)
                left = None if left is None else left - size
            if len(self._waiting) >= self._store.deletes_at_once:
                await self._flush()
            is_done = (choose is not None and len(chosen) < len(rows)) or self._is_enough
            if is_done or (left is not None and left <= 0):
                break
        await self._flush()

    async def _unprotected(self, rows: Sequence[PageRow]) -> list[PageRow]:
        going = [row for row in rows if row.summary.run_id not in self._found]
        kept: set[str] = set()
        if self._rule.keep_annotated:
            kept.update(row.summary.run_id for row in going if row.summary.annotations)
        keep = self._rule.keep
        if isinstance(keep, TraceFilter) and going:
            ids = {row.summary.run_id for row in going}
            asked = ids if keep.run_ids is None else ids.intersection(keep.run_ids)
            found = await self._store.rows_of(PageRequest(replace(keep, run_ids=asked)))
            kept.update(row.summary.run_id for row in found)
        self._spared |= kept
        return [row for row in going if row.summary.run_id not in kept]

    def _note(self, row: PageRow, size: int) -> None:
        self._found.add(row.summary.run_id)
        self._bytes += size
        self._waiting.append(row)
        if len(self._ids) < _IDS_REPORTED:
            self._ids.append(row.summary.run_id)

    async def _flush(self) -> None:
        rows, self._waiting = self._waiting, []
        if not self._dry_run:
            for start in range(0, len(rows), self._store.deletes_at_once):
                some = rows[start : start + self._store.deletes_at_once]
                gone = await self._store.delete_rows(
                    some, spare_annotated=self._rule.keep_annotated
                )
                self._deleted += len(gone)
        if rows and self._progress is not None:
            self._progress(len(self._found), len(self._found))


class RetentionKeeper:
    """Keeps a store to a rule: a small step after every so many saves.

    After how many, the rule says: a bound is overstepped by a small part of itself meanwhile. So
    small runs cost few steps, and of large ones not too many come before the next.
    """

    def __init__(self, rule: Retention) -> None:
        self._rule = rule
        self._saved = 0
        self._last = time.monotonic()
        self._is_busy = False
        self._between = 1
        self._size: int | None = None

    def saved(self, number: int) -> bool:
        """So many runs were saved; whether it is time for a step."""
        self._saved += number
        waited = time.monotonic() - self._last > _SECONDS_BETWEEN_STEPS
        return not self._is_busy and (self._saved >= self._between or waited)

    async def step(self, store: PrunedStore, where: str) -> None:
        """Take a step. What goes wrong is logged: the save before it went well."""
        most = max(_RUNS_IN_A_STEP, 4 * self._saved)
        if store.prune_slack:
            most = 1 << 62  # a step costs the same for any number
        saved = self._saved
        self._is_busy, self._saved, self._last = True, 0, time.monotonic()
        pruning = Pruning(store, where, self._rule, most=most)
        try:
            await pruning.run()
        except StoreClosedError:
            pass
        except TraceStoreError as error:
            log.warning("%s: retention could not be applied: %s", where, error)
        finally:
            self._is_busy = False
            self._look_ahead(saved, pruning, store.saves_between_steps)

    def _look_ahead(self, saved: int, pruning: Pruning, most: int) -> None:
        """After how many saves the next step is due, by what those before it brought."""
        rule, bounds = self._rule, [2 * self._between, most]
        if rule.keep_runs is not None:
            bounds.append(max(rule.keep_runs // _STEPS_A_BOUND, _FEWEST_RUNS_A_STEP))
        if rule.keep_bytes is not None and pruning.size is not None:
            a_run = pruning.bytes_a_run
            if a_run is None and self._size is not None:
                a_run = (pruning.size - self._size) // max(1, saved)
            self._size = pruning.size
            bounds.append(rule.keep_bytes // _STEPS_A_BOUND // max(1, a_run or 0))
        self._between = max(1, min(bounds))
