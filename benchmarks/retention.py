"""A store that takes many runs under ``keep_bytes`` while it is read: its size, and what it costs.

python -m benchmarks.retention [RUNS] [KEEP_BYTES]

Runs are saved 64 at a time, in turns of 4,096, into a store with a rule and into one without, so
that both meet the same noise. Writes the picture of docs/retention.md.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from selectools_observe import AgentTrace, Retention, SQLiteTraceStore, TraceFilter, TraceStep

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "retention.svg"
AT_ONCE = 64
TURN = 4096


def run(number: int) -> AgentTrace:
    steps = [
        TraceStep("llm_call", 1.7e9, 800.0, model="gpt-4o", prompt_tokens=900, cost_usd=0.01),
        TraceStep(
            "tool_execution", 1.7e9, 20.0, tool_name="find_order", tool_result="shipped " * 9
        ),
    ]
    metadata = {"user_id": f"user-{number % 997}", "trial": number % 5}
    return AgentTrace(steps, 1.7e9, f"run-{number:08}", metadata=metadata)


def size_of(path: str) -> int:
    return sum(os.path.getsize(path + p) for p in ("", "-wal") if os.path.exists(path + p))


def turn(store: SQLiteTraceStore, first: int) -> tuple[float, int, int]:
    """Save a turn's runs: the seconds it took, the largest file, and with its log."""
    spent, file, both = 0.0, 0, 0
    for start in range(first, first + TURN, AT_ONCE):
        runs = [run(number) for number in range(start, start + AT_ONCE)]
        began = time.perf_counter()
        store.save_many(runs)
        spent += time.perf_counter() - began
        path = str(store.path)
        file, both = max(file, os.path.getsize(path)), max(both, size_of(path))
    return spent, file, both


def read(path: str, done: threading.Event, times: list[float]) -> None:
    with SQLiteTraceStore(path) as store:
        while not done.wait(0.05):
            began = time.perf_counter()
            store.list(50)
            store.query(TraceFilter(metadata_match={"trial": 3}, limit=20))
            times.append(time.perf_counter() - began)


def main(runs: int = 200_000, keep_bytes: int = 20_000_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept, plain = f"{folder}/kept.db", f"{folder}/plain.db"
        sizes: list[tuple[int, int, int]] = []
        spent: list[tuple[float, float]] = []
        done, reads = threading.Event(), list[float]()
        rule = Retention(keep_bytes=keep_bytes)
        with (
            SQLiteTraceStore(kept, durability="normal", retention=rule) as one,
            SQLiteTraceStore(plain, durability="normal") as other,
        ):
            reader = threading.Thread(target=read, args=(kept, done, reads))
            reader.start()
            for first in range(0, runs, TURN):
                seconds, file, both = turn(one, first)
                spent.append((seconds, turn(other, first)[0]))
                sizes.append((first + TURN, file, both))
            done.set()
            reader.join()
            left, is_whole = one.count(), one.verify().ok
        ratios = [b / a for a, b in spent]
        full = [ratio for ratio, (_, size, _) in zip(ratios, sizes, strict=True)
                if size > 0.95 * keep_bytes]  # fmt: skip
        print(f"{sizes[-1][0]:,} runs under {keep_bytes:,} bytes, {left:,} left, whole: {is_whole}")
        print(f"largest: {max(s for _, s, _ in sizes):,} bytes, "
              f"with the log {max(s for *_, s in sizes):,}")  # fmt: skip
        print(f"throughput against no rule: median {statistics.median(full or ratios):.2f}, "
              f"all {sum(b for _, b in spent) / sum(a for a, _ in spent):.2f}; "
              f"{sizes[-1][0] / sum(a for a, _ in spent):,.0f} runs/s")  # fmt: skip
        print(f"reads beside: {len(reads):,}, median {statistics.median(reads) * 1000:.1f} ms, "
              f"largest {max(reads) * 1000:.0f} ms")  # fmt: skip
        draw(sizes, keep_bytes)


def draw(sizes: list[tuple[int, int, int]], bound: int) -> None:
    width, height, left, bottom = 640, 240, 60, 200
    most = 1.4 * bound

    def at(runs: float, size: float) -> str:
        x = left + (width - left - 20) * runs / sizes[-1][0]
        return f"{x:.1f},{bottom - (bottom - 20) * size / most:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        '<g font-family="system-ui,sans-serif" font-size="12" fill="#1e293b">',
        f"<title>Size of a database under keep_bytes of {bound / 1e6:.0f} MB</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#fff"/>',
    ]
    for share, words in ((1.0, f"{bound / 1e6:.0f} MB"), (1.3, "1.3 times"), (0.0, "0")):
        begin, end = at(0, share * bound), at(sizes[-1][0], share * bound)
        parts.append(f'<polyline points="{begin} {end}" stroke="#cbd5e1" fill="none"/>')
        parts.append(f'<text x="{left - 6}" y="{float(begin.split(",")[1]) + 4}" '
                     f'text-anchor="end">{words}</text>')  # fmt: skip
    for column, colour, words, place in (
        (2, "#94a3b8", "with its write-ahead log", 300), (1, "#2563eb", "the database", 180),
    ):  # fmt: skip
        points = " ".join([at(0, 0), *(at(entry[0], entry[column]) for entry in sizes)])
        parts.append(
            f'<polyline points="{points}" stroke="{colour}" stroke-width="2" fill="none"/>'
        )
        parts.append(f'<text x="{place}" y="228" fill="{colour}">{words}</text>')
    parts.append(f'<text x="{width - 20}" y="216" text-anchor="end">{sizes[-1][0]:,} runs</text>')
    PICTURE.write_text("\n".join([*parts, "</g></svg>\n"]), encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
