"""Run an agent of selectools, keep what it did, and look at it.

    python examples/first_run.py [FOLDER]

The traces stay in FOLDER (``first-run`` unless given), so that you can go on from here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from support_desk import CONVERSATION, make_agent

from selectools_observe import (
    AgentTrace,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceFilter,
    TraceSummary,
)


def main(folder: Path) -> None:
    database, archive = folder / "traces.db", folder / "traces.jsonl"
    with SQLiteTraceStore(database) as store:
        run_agent(store)
        runs = store.list(limit=len(CONVERSATION))
        show(f"The newest {len(runs)} of {store.count()} runs in {database.as_posix()}")
        show_runs(runs)

        failed = store.query(TraceFilter(has_error=True, metadata_match={"user": "ada"}))
        show("In which runs of ada's did something fail?")
        show_runs(failed[:1])

        trace = store.load(failed[0].run_id)
        show(f"What happened in {trace.run_id[:8]}")
        print(trace.timeline())
        show_errors(trace)

        export(store, archive)
        show(f"The same runs, from {archive.as_posix()}")
        with JSONLTraceStore(archive) as copy:
            show_runs(copy.list(limit=len(CONVERSATION)))
            same = all(copy.load(run.run_id) == store.load(run.run_id) for run in runs)
        print(f"\n  Equal to the database's, step for step: {'yes' if same else 'NO'}")


def run_agent(store: SQLiteTraceStore) -> None:
    for user, question in CONVERSATION:
        result = make_agent(user).run(question)
        result.trace.metadata["question"] = question
        store.save(result.trace)


def export(store: SQLiteTraceStore, path: Path) -> None:
    with JSONLTraceStore(path) as archive:
        archive.save_many(store.iter_traces(oldest_first=True))


def show(title: str) -> None:
    print(f"\n{title}\n")


def show_runs(runs: Iterable[TraceSummary]) -> None:
    print(f"  {'run':<8}  {'user':<4}  {'steps':>5}  {'total':>8}  question")
    for run in runs:
        user, question = run.metadata["user"], run.metadata["question"]
        print(f"  {run.run_id[:8]}  {user:<4}  {run.steps:>5}  {run.total_ms:>5.0f} ms  {question}")


def show_errors(trace: AgentTrace) -> None:
    """The line that matters in the block of text that selectools makes of an exception."""
    for step in trace:
        for line in (step.error or "").splitlines():
            if line.startswith("Error: "):
                print(f"\n  {step.tool_name} said: {line.removeprefix('Error: ')}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "first-run"))
