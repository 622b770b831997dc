"""How long a long conversation takes to open: `python -m benchmarks.page.conversations`.

Timed in Chromium, from the click on the run in the list until its first messages are drawn, five
times each; beside it the processor time that the service spent on one opening, which noise
touches less.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.page.browser import longest_task_ms, opened, until_ms

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "page"))

from pageserver import serving  # noqa: E402

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceStep  # noqa: E402

ROUNDS = 5
MANY = 10_000  # characters: then a call gets its last message only
FIRST = "article .said := question 0"


def talk(run_id: str, turns: int, characters: int) -> AgentTrace:
    """Questions and answers; each call has all that was said before it as its input."""
    history: list[dict[str, str]] = []
    trace = AgentTrace(run_id=run_id, start_time=1.0, name=run_id)
    for number in range(turns):
        question = f"question {number} {'so it is. ' * (characters // 10)}"
        answer = {
            "role": "assistant",
            "content": f"answer {number}{' and so on' * (characters // 10)}",
        }
        history = [*history, {"role": "user", "content": question}]
        given = {"input": history if characters < MANY else history[-1:], "output": answer}
        trace.add(TraceStep("llm_call", float(number + 1), 900.0, model="m", **given))
        history = [*history, answer]
    return trace


def calls(run_id: str, count: int) -> AgentTrace:
    """So many calls of a tool, behind one question."""
    trace = AgentTrace(run_id=run_id, start_time=1.0, name=run_id)
    asked = [{"role": "user", "content": "question 0"}]
    trace.add(TraceStep("llm_call", 1.0, 900.0, model="m", input=asked, output="I look."))
    for number in range(count):
        result = {"tool_args": {"n": number}, "tool_result": f"row {number} " * 20}
        trace.add(TraceStep("tool_execution", number + 2.0, 9.0, tool_name="look", **result))
    return trace


def processor_ms(process: int) -> float:
    """What a process has spent of the processor, milliseconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print a line for each run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        with SQLiteTraceStore(path) as store:
            store.save_many(
                [
                    talk("2,000 messages", 1_000, 100),
                    talk("30 MB in 2,000 messages", 1_000, 15_000),
                    calls("10,000 tool calls", 10_000),
                ]
            )
            names = [summary.run_id for summary in store.list(10)]
        for name in names:
            print(line(path, name), flush=True)


def line(path: Path, name: str) -> str:
    """What the opening of a run took; the service knows nothing of the run before."""
    walls, spent, longest = [], [], []
    for _ in range(ROUNDS):
        with serving(path) as served, opened(".runs .vrow .row:not(.blank)", 1) as page:
            page.goto(served.url)
            row = page.locator(".runs .vrow .row").filter(has_text=name).first
            row.wait_for()
            page.wait_for_timeout(1_500)
            longest_task_ms(page)
            before = processor_ms(served.process.pid)
            walls.append(until_ms(page, row.click, FIRST, begins="pointerdown"))
            spent.append(processor_ms(served.process.pid) - before)
            longest.append(longest_task_ms(page))
    shown = ", ".join(f"{wall:.0f}" for wall in sorted(walls))
    return (
        f"{name:26} {median(walls):6.0f} ms ({shown}); service {median(spent):5.0f} ms of "
        f"processor, page's longest task {median(longest):.0f} ms; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
