"""What is asked of many runs, beside what it is held against, in turns in one process.

    python -m benchmarks.ask_ratios FOLDER       # stores are built there at first: ten minutes
    python -m benchmarks.ask_ratios FOLDER text  # some of: text, growth, orders, groups, lists
    python -m benchmarks.ask_ratios FOLDER windows conversations  # the first four, of other runs

A line for each ratio: of a processor's time and by the clock, medians of rounds. Full sizes:
100,000 windows of the airline of 6 KB; generated runs of 550 bytes, 100,000 and 1,000,000. The
first four of windows are of 10,000 and 100,000, of whole conversations of 2,000 and 20,000.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from benchmarks.data import fresh, ten_step_6kb
from benchmarks.peers import PEERS, adapter
from benchmarks.probes.ask import COMMON, PHRASE, built_in, without_upkeep
from selectools_observe import SQLiteTraceStore, TraceFilter

FIRST = 50
ORDERS = ("-cost_usd", "-total_ms", "-started_at", "-tokens")
Work: TypeAlias = Callable[[], object]


class Stores(NamedTuple):
    """Which stores are asked: what runs are in them, and how many."""

    folder: Path
    kind: str
    few: int
    many: int

    def path(self, size: int, state: str = "indexed") -> Path:
        """A store; it is built if it is not there yet."""
        return built_in(self.folder, self.kind, size, state)


class Ratio(NamedTuple):
    """How a case is held against another: by its speed, or by how much longer it takes."""

    said: str
    case: str
    other: str = ""
    is_speed: bool = False


def _phrase(store: SQLiteTraceStore) -> Work:
    return lambda: store.query(TraceFilter(text=f'"{PHRASE}"'))


def _common(store: SQLiteTraceStore, kind: str) -> Work:
    return lambda: store.query(TraceFilter(text=COMMON[kind], limit=FIRST))


@contextmanager
def _open(path: Path) -> Iterator[SQLiteTraceStore]:
    with SQLiteTraceStore(path) as store:
        without_upkeep(store)
        yield store


def text(stores: Stores, stack: ExitStack) -> Iterator[str]:
    """A phrase, against `LIKE` over the same rows."""
    paths = {state: stores.path(stores.many, state) for state in ("plain", "indexed")}
    opened = {state: stack.enter_context(_open(path)) for state, path in paths.items()}
    db = stack.enter_context(closing(sqlite3.connect(paths["plain"])))
    db.execute("PRAGMA cache_size = -16384")  # as ours has
    like = "SELECT run_id FROM traces WHERE trace_json LIKE ?"
    cases: dict[str, Work] = {state: _phrase(store) for state, store in opened.items()}
    cases["like"] = lambda: db.execute(like, (f"%{PHRASE}%",)).fetchall()
    cases["common"] = _common(opened["indexed"], stores.kind)
    yield from _lines(
        cases,
        9,
        Ratio(
            "13.1 a phrase, indexed, its speed against LIKE (20)", "indexed", "like", is_speed=True
        ),
        Ratio(
            "13.1 a phrase, not indexed, its speed against LIKE (1)", "plain", "like", is_speed=True
        ),
        Ratio("13.1 a common word's first 50 (50 ms)", "common"),
    )


def growth(stores: Stores, stack: ExitStack) -> Iterator[str]:
    """A phrase, a common word and statistics, of many runs against fewer."""
    few, all_ = (
        stack.enter_context(_open(stores.path(size))) for size in (stores.few, stores.many)
    )
    cases: dict[str, Work] = {}
    for name, store in (("few", few), ("all", all_)):
        cases |= {f"phrase {name}": _phrase(store), f"common {name}": _common(store, stores.kind)}
    sizes = f"{stores.many:,} against {stores.few:,}"
    yield from _lines(
        cases,
        41,
        Ratio(f"13.1 a phrase of {sizes} (4)", "phrase all", "phrase few"),
        Ratio(f"13.1 a common word of {sizes} (2)", "common all", "common few"),
    )
    by = ("day", "model", "tool")
    yield from _lines(
        {"all": lambda: all_.statistics(by=by), "few": lambda: few.statistics(by=by)},
        9,
        Ratio(f"13.6 statistics of {sizes} (10; 2 s)", "all", "few"),
    )


def orders(stores: Stores, stack: ExitStack) -> Iterator[str]:
    """The first fifty in other orders than that of saving."""
    store = stack.enter_context(_open(stores.path(stores.many)))

    def first(order_by: str) -> Work:
        return lambda: store.query(TraceFilter(order_by=order_by, limit=FIRST))

    cases = {order: first(order) for order in ORDERS} | {"list": lambda: store.list(FIRST)}
    ratios = [Ratio(f"13.2 the first 50 by {order} against list(50) (50)", order, "list")
              for order in ORDERS]  # fmt: skip
    yield from _lines(cases, 21, *ratios)


def groups(stores: Stores, stack: ExitStack) -> Iterator[str]:
    """A page of groups: the runs of users are found as those of sessions are."""
    store = stack.enter_context(_open(stores.path(stores.many)))
    yield from _lines(
        {"page": lambda: store.groups("user", limit=FIRST)},
        9,
        Ratio(f"13.5 a page of 50 groups of {stores.many:,} by user (100 ms)", "page"),
    )


def lists(_: Stores, stack: ExitStack) -> Iterator[str]:
    """Fifty summaries, against selectools."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    for kind, target in (("sqlite", 1.5), ("jsonl", 1.5), ("memory", 1.0)):
        stores: dict[str, Any] = {}
        for peer in ("ours", "selectools"):
            store: Any = adapter(PEERS[peer]).blocking(kind, Path(folder, peer + kind))
            stack.callback(store.close)
            for run in fresh(ten_step_6kb(), 300, 1):
                store.save(store.native(run))
            stores[peer] = store
        cases: dict[str, Work] = {
            "list": lambda: stores["ours"].newest(FIRST),  # noqa: B023 - measured before the next
            "query": lambda: stores["ours"].newest_with_steps(FIRST),  # noqa: B023
            "selectools": lambda: stores["selectools"].newest(FIRST),  # noqa: B023
        }
        yield from _lines(
            cases,
            31,
            Ratio(f"13.7 list(50), {kind}, its speed against selectools ({target})",
                  "list", "selectools", is_speed=True),
            Ratio(f"13.7 a query of 50, {kind}, against its list(50) ({target})",
                  "query", "selectools", is_speed=True),
        )  # fmt: skip


def _lines(cases: Mapping[str, Work], rounds: int, *ratios: Ratio) -> Iterator[str]:
    """A line for each ratio, of medians; one that has no other says the time alone."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, work in cases.items():
            processor, clock = time.process_time(), time.perf_counter()
            work()
            spent = time.process_time() - processor, time.perf_counter() - clock
            if turn:  # the first one warms up
                taken[name].append(spent)
    medians = {
        name: [statistics.median(each) for each in zip(*spent, strict=True)]
        for name, spent in taken.items()
    }
    for said, case, other, is_speed in ratios:
        times = " ".join(f"{took * 1e3:.2f}" for took in medians[case])
        over, under = (other, case) if is_speed else (case, other)
        pairs = zip(medians[over], medians[under], strict=True) if other else ()
        found = " ".join(f"{one / another:.2f}" for one, another in pairs)
        yield f"| {said} | {found or '-'} | {times} |"


PARTS = {each.__name__: each for each in (text, growth, orders, groups, lists)}
KINDS = {
    "windows": (10_000, 100_000), "conversations": (2_000, 20_000), "small": (100_000, 1_000_000),
}  # fmt: skip


def main() -> None:
    """Measure and print a table."""
    folder, *names = sys.argv[1:]
    print("| case (target) | ratio: processor, clock | ours, ms: processor, clock |\n|---|---|---|")
    for name in names or PARTS:
        kind = name if name in KINDS else "windows" if name == "text" else "small"
        stores = Stores(Path(folder), kind, *KINDS[kind])
        parts = ("text", "growth", "orders", "groups") if name in KINDS else (name,)
        for part in parts:
            with ExitStack() as stack:
                for line in PARTS[part](stores, stack):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
