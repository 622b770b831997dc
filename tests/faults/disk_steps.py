"""A program that does one thing after another, as a test asks: see `turns`."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import disks
from journal import ABSENT, Expected, Journal
from samples import make
from store_kinds import Handle

from selectools_observe import TraceStoreError
from selectools_observe.runtime.asyncio_ import load_file_work


class Steps:
    """Does one thing after another as a test asks through files: it says when, and reads what came.

    The test and the child take turns over two pipes, one line a turn.
    """

    def __init__(
        self, store_kind: str, path: str, journal: str, asked: str, told: str, options: dict
    ) -> None:
        self.store_kind, self.path, self.options = store_kind, path, options
        self.journal = Journal(journal)
        self.asked, self.told = asked, told
        self.number = 0

    def run(self) -> None:
        with open(self.asked) as asked, open(self.told, "w") as told:
            store = None
            for line in asked:
                what, *words = line.split()
                try:
                    if what == "open":
                        store = Handle(self.store_kind, Path(self.path).parent, **self.options)
                        answer = ["ok"]
                    elif what == "close":
                        store.close()
                        answer = ["ok"]
                    else:
                        answer = ["ok", *getattr(self, what)(store, *words)]
                except TraceStoreError as error:
                    answer = [type(error).__name__, str(error)]
                print(json.dumps(answer), file=told, flush=True)

    def save(self, store, many: str):
        """Save so many, one by one; how many were acknowledged."""
        for _ in range(int(many)):
            self.number += 1
            run_id = f"s{os.getpid()}-{self.number}"
            self.journal.begin(1, run_id)
            store.save(make(run_id))
            self.journal.done(1, run_id)
        return [self.number]

    def save_many(self, store, many: str):
        self.number += 1
        run_ids = [f"s{os.getpid()}-{self.number}.{n}" for n in range(int(many))]
        self.journal.begin(1, *run_ids)
        store.save_many([make(run_id) for run_id in run_ids])
        self.journal.done(1, *run_ids)
        return [many]

    def save_named(self, store, many: str):
        """Save so many, one by one; their run ids."""
        first = self.number + 1
        self.save(store, many)
        return [f"s{os.getpid()}-{n}" for n in range(first, self.number + 1)]

    def order(self, store, size: str):
        """All run ids, newest first, page by page."""
        page = store.list(int(size))
        seen = list(page)
        while page.next_cursor:
            page = store.list(int(size), cursor=page.next_cursor)
            seen += page
        return [summary.run_id for summary in seen]

    def check(self, store):
        """Load all that must be there, from this very store."""
        expected = Expected([Path(self.journal.path)])
        for run_id in expected.certain:
            assert store.load(run_id) == make(run_id), run_id
        listed = {summary.run_id for summary in store.list(1_000_000)}
        assert expected.certain <= listed
        return [len(expected.certain)]

    def count(self, store):
        return [store.count()]

    def delete_one(self, store):
        run_id = min(Expected([Path(self.journal.path)]).certain)
        self.journal.begin(ABSENT, run_id)
        assert store.delete(run_id)
        self.journal.done(ABSENT, run_id)
        return [run_id]


def steps(
    become: str = "",
    size_limit: int = 0,
    threads: int = 1,
    options: dict | None = None,
    **arguments,
) -> None:
    """Take turns with the test; as a user without rights, or with a limit to the size of files."""
    load_file_work()  # before the folders of the standard library may be out of reach
    if become == "nobody":
        disks.become_nobody()
    if size_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))
    if not threads:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    Steps(options=options or {}, **arguments).run()
