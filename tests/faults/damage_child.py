"""A child that opens damaged files and says what it found; see `test_damage`.

It tells each damage before it looks, so that a crash or a hang can be laid at its door.
"""

from __future__ import annotations

import collections
import faulthandler
import json
import logging
import pickle
import sys
import traceback
from pathlib import Path

from selectools_observe import (
    CorruptTraceError,
    JSONLTraceStore,
    SQLiteTraceStore,
    StorageError,
    TraceFilter,
    TraceNotFoundError,
)
from selectools_observe.stores import maintenance as trust

DEADLINE = 60
FILTERS = [
    TraceFilter(metadata_match={"even": True}),
    TraceFilter(min_steps=2),
    TraceFilter(tool_name="search", has_error=False),
    TraceFilter(min_cost_usd=0.5),
]


class WrongError(Exception):
    """The store gave something that nobody saved."""


class Look:
    """One look at one damaged file."""

    def __init__(self, path: Path, kind: str, truth: dict, *, exact: bool) -> None:
        self.path = path
        self.kind = kind
        self.truth = truth
        self.exact = exact
        self.outcomes = collections.Counter()

    def all(self) -> None:
        report = self.attempt("verify", self.verify)
        self.attempt("repair", lambda: self.repair(report))
        self.attempt("open", lambda: self.through_the_store(report))

    def attempt(self, what: str, work, *allowed):
        try:
            result = work()
        except (StorageError, *allowed) as error:
            self.outcomes[f"{what}: {type(error).__name__}"] += 1
            return None
        self.outcomes[f"{what}: done"] += 1
        return result

    def through_the_store(self, report) -> None:
        store_type = SQLiteTraceStore if self.kind == "sqlite" else JSONLTraceStore
        with store_type(self.path) as store:
            if report is not None and report.ok and self.exact:
                self.is_complete(store)
            self.attempt("list", lambda: self.listed(store.list(10_000)))
            self.attempt("pages", lambda: self.pages(store))
            for filters in FILTERS:
                self.attempt("query", lambda f=filters: self.listed(store.query(f), f))
            self.attempt("count", store.count)
            for run_id in self.truth["runs"]:
                self.attempt(
                    "load",
                    lambda r=run_id: self.same(r, store.load(r)),
                    CorruptTraceError,
                    TraceNotFoundError,
                )
            self.attempt("iter_traces", lambda: self.streamed(store))
            self.attempt("save", lambda: self.save_one(store))
            self.attempt("delete", lambda: store.delete("run-007"))
            self.attempt("list", lambda: self.listed(store.list(10_000)))

    def is_complete(self, store) -> None:
        """What `verify` finds nothing wrong with has everything."""
        if [s.run_id for s in store.list(10_000)] != self.truth["order"]:
            raise WrongError("verify found nothing, and the list is another")
        for filters in FILTERS:
            expected = [r for r in self.truth["order"] if filters in self.versions(r)[0][2]]
            if [s.run_id for s in store.query(filters)] != expected:
                raise WrongError(f"verify found nothing, and {filters} finds others")
        for run_id in self.truth["order"]:
            self.same(run_id, store.load(run_id))

    def versions(self, run_id: str) -> list:
        versions = self.truth["runs"].get(run_id, [])
        return versions[-1:] if self.exact else versions

    def same(self, run_id: str, trace) -> None:
        if trace.to_dict() not in [version[0] for version in self.versions(run_id)]:
            raise WrongError(f"load gave another {run_id}")

    def listed(self, summaries, filters: TraceFilter | None = None) -> None:
        ids = [summary.run_id for summary in summaries]
        if len(set(ids)) < len(ids):
            raise WrongError("a run is listed twice")
        for summary in summaries:
            if summary.run_id == "new":
                continue
            found = [v for v in self.versions(summary.run_id) if v[1] == summary]
            if not found:
                raise WrongError(f"a summary of {summary.run_id} that nobody saved: {summary}")
            if filters is not None and not any(filters in version[2] for version in found):
                raise WrongError(f"{summary.run_id} does not match {filters}")
        if self.exact:
            order = [run_id for run_id in self.truth["order"] if run_id in set(ids)]
            if order != [run_id for run_id in ids if run_id != "new"]:
                raise WrongError("the order is another")
        self.outcomes["left out of lists"] += len(self.truth["order"]) - len(ids)

    def pages(self, store) -> None:
        page = store.list(50)
        seen = list(page)
        while page.next_cursor:
            if len(seen) > 2 * len(self.truth["runs"]):
                raise WrongError("pages without end")
            page = store.list(50, cursor=page.next_cursor)
            seen += page
        self.listed(seen)

    def streamed(self, store) -> None:
        for trace in store.iter_traces():
            self.same(trace.run_id, trace)

    def save_one(self, store) -> None:
        trace = self.truth["new"]
        store.save(trace)
        try:
            if store.load("new").to_dict() != trace.to_dict():
                raise WrongError("what was saved is another")
        except (CorruptTraceError, TraceNotFoundError) as error:
            self.outcomes[f"load of what was just saved: {type(error).__name__}"] += 1

    def verify(self):
        report = trust.verify(self.path, kind=self.kind)
        str(report)
        if report.ok:
            self.outcomes["verify: nothing found"] += 1
        elif report.index_only:
            self.outcomes["verify: the index alone"] += 1
        return report

    def repair(self, verified) -> None:
        target = self.path.with_name("repaired" + self.path.suffix)
        try:
            report = trust.repair(self.path, target, kind=self.kind)
            str(report)
            self.repaired(target, report, verified)
        finally:
            for left in self.path.parent.glob("repaired*"):
                left.unlink()

    def repaired(self, target: Path, report, verified) -> None:
        """What was saved beyond doubt is what was saved; the new file is whole."""
        suspect = {problem.run_id for problem in report.suspect} | {"new"}
        store_type = SQLiteTraceStore if self.kind == "sqlite" else JSONLTraceStore
        if not trust.verify(target, kind=self.kind).ok:
            raise WrongError(f"the repaired file is not whole: {trust.verify(target)}")
        with store_type(target) as store:
            for trace in store.iter_traces():
                if trace.run_id not in suspect:
                    self.same(trace.run_id, trace)
            found = [s for s in store.list(10_000) if s.run_id not in suspect]
            self.listed(found)
        is_whole = verified is not None and (verified.ok or verified.index_only)
        if self.exact and is_whole and [s.run_id for s in found] != self.truth["order"]:
            raise WrongError("no run is damaged, and repair does not save them all")
        # Of two lines that became one, verify and repair may each know the other's name.
        saved = report.saved + (0 if self.exact else len(report.suspect))
        if verified is not None and saved < verified.checked:
            raise WrongError(f"{verified.checked} are whole, and repair saves {report.saved}")
        named = {problem.run_id for problem in report.lost}
        self.outcomes["repair: saved"] += report.saved
        self.outcomes["repair: doubtful"] += len(report.suspect)
        self.outcomes["repair: lost"] += len(report.lost)
        gone = set(self.truth["order"]) - {s.run_id for s in found} - suspect - {"run-007"}
        self.outcomes["repair: gone without a word"] += len(gone - named)


def main() -> None:
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    truth = pickle.loads((folder / "truth").read_bytes())
    warnings = collections.Counter()
    handler = logging.Handler()
    handler.emit = lambda record: warnings.update([record.levelname])
    logging.getLogger("selectools_observe").addHandler(handler)
    logging.getLogger("selectools_observe").propagate = False
    base = {file.name: file.read_bytes() for file in folder.glob("base*")}
    suffix = ".db" if kind == "sqlite" else ".jsonl"
    for line in sys.stdin:
        damage = pickle.loads(bytes.fromhex(line))
        work = folder / "work"
        work.mkdir(exist_ok=True)
        path = work / f"traces{suffix}"
        for name, content in base.items():
            added = name.removeprefix("base")
            changed = damage.apply(content) if added == damage.file else content
            Path(f"{path}{added}").write_bytes(changed)
        faulthandler.dump_traceback_later(DEADLINE, exit=True)
        look = Look(path, kind, truth, exact=kind == "sqlite" and not damage.file)
        answer = {"wrong": None}
        warnings.clear()
        try:
            look.all()
        except WrongError as error:
            answer["wrong"] = str(error)
        except BaseException:
            answer["wrong"] = traceback.format_exc()
        faulthandler.cancel_dump_traceback_later()
        answer["outcomes"] = dict(look.outcomes)
        answer["warnings"] = sum(warnings.values())
        for left in work.iterdir():
            left.unlink()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
