"""Processes that update the same runs at once, and are killed: no acknowledged update is lost."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from selectools_observe import JSONLTraceStore, SQLiteTraceStore

CHILD = """
import sys
from selectools_observe import AgentTrace, JSONLTraceStore, SQLiteTraceStore, TraceStep

kind, path, name, many = sys.argv[1:]
store = {"sqlite": SQLiteTraceStore, "jsonl": JSONLTraceStore}[kind](path, durability="normal")
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(many)):
    run_id, step = f"run-{n % 3}", f"{name}-{n}"
    def change(trace):
        trace = trace or AgentTrace(run_id=run_id)
        trace.add(TraceStep("tool_execution", tool_name=step))
        return trace
    store.update(run_id, change)
    print(run_id, step, flush=True)
store.close()
"""


def start(kind, path, name, many):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, kind, str(path), name, str(many)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    return child


def go(child) -> None:
    child.stdin.write("go\n")
    child.stdin.flush()


def stored_steps(kind, path) -> list[str]:
    make = SQLiteTraceStore if kind == "sqlite" else JSONLTraceStore
    with make(path) as store:
        return [
            f"{summary.run_id} {step.tool_name}"
            for summary in store.list(10)
            for step in store.load(summary.run_id)
        ]


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_processes_that_update_the_same_runs(kind, tmp_path):
    path = tmp_path / "traces"
    children = [start(kind, path, f"p{n}", 40) for n in range(4)]
    for child in children:
        go(child)
    told = [line for child in children for line in child.communicate(timeout=90)[0].splitlines()]
    assert [child.returncode for child in children] == [0] * 4
    assert sorted(stored_steps(kind, path)) == sorted(told)
    assert len(told) == 160


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_processes_that_are_killed_while_they_update(kind, tmp_path):
    path = tmp_path / "traces"
    chance = random.Random(7)
    children = [start(kind, path, f"p{n}", 100_000) for n in range(3)]
    told: list[str] = []
    for child in children:
        go(child)
    for child in children:
        told += [child.stdout.readline().strip() for _ in range(chance.randint(5, 40))]
        child.kill()
        child.wait(60)
        rest = child.stdout.read()
        child.stdout.close()
        child.stdin.close()
        # The last line may have been cut short by the kill: then it was not acknowledged.
        told += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    told = [line.strip() for line in told]
    found = stored_steps(kind, path)
    assert len(found) == len(set(found))
    assert set(told) <= set(found)
    assert len(set(found) - set(told)) <= len(children)  # saved, and killed before it could say so
