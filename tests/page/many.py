"""A store of very many generated runs, to look at: `python tests/page/many.py 1000000 many.db`."""

from __future__ import annotations

import sys
from pathlib import Path

from selectools_observe import AgentTrace, SQLiteTraceStore

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 1_000
TEMPLATES = 500


def make_store(path: Path, count: int) -> None:
    """So many runs of 2 to 6 steps each, with ids and metadata of their own."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.data.generate import SeededRuns

    seeded = SeededRuns()
    templates = [seeded.run(number, 2 + number % 5) for number in range(TEMPLATES)]
    with SQLiteTraceStore(path) as store:
        for start in range(0, count, AT_ONCE):
            numbers = range(start, min(count, start + AT_ONCE))
            store.save_many([_run(templates[number % TEMPLATES], number) for number in numbers])


def _run(template: dict, number: int) -> AgentTrace:
    metadata = {
        **template["metadata"],
        "task_id": number % 1_000,
        "user_id": f"user-{number % 20_000}",
    }
    return AgentTrace.from_dict({**template, "run_id": f"run-{number:07}", "metadata": metadata})


if __name__ == "__main__":
    make_store(Path(sys.argv[2]), int(sys.argv[1]))
