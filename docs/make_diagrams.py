"""Draw the diagrams of docs/architecture.md: python docs/make_diagrams.py."""

from __future__ import annotations

from html import escape
from pathlib import Path

IMAGES = Path(__file__).resolve().parent / "images"
BLUE, GREEN, AMBER, GREY, RED = "#dbeafe", "#dcfce7", "#fef3c7", "#f1f5f9", "#fee2e2"
INK, SOFT = "#1e293b", "#64748b"
FONT = 'font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="13"'
LINE = 15  # between lines of text


class Drawing:
    """An SVG put together from boxes, lines of text and arrows."""

    def __init__(self, width: int, height: int, title: str) -> None:
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        tip = 'id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {FONT}>',
            f"<title>{escape(title)}</title>",
            f'<defs><marker {tip} orient="auto"><path d="M0 0 8 4 0 8z" fill="{SOFT}"/></marker>',
            f'</defs><rect width="{width}" height="{height}" rx="8" fill="#fff"/>',
        ]

    def box(self, x: int, y: int, w: int, h: int, text: str, fill: str = GREY) -> None:
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="5" fill="{fill}" '
            f'stroke="{SOFT}" stroke-width="1"/>'
        )
        lines = text.split("\n")
        top = y + h / 2 - (len(lines) - 1) * LINE / 2 + 4.5
        for number, line in enumerate(lines):
            heavy = ' font-weight="600"' if number == 0 and len(lines) > 1 else ""
            soft = SOFT if number else INK
            self._parts.append(
                f'<text x="{x + w / 2}" y="{top + number * LINE}" text-anchor="middle" '
                f'fill="{soft}"{heavy}>{escape(line)}</text>'
            )

    def text(self, x: int, y: int, text: str, *, anchor: str = "start", soft: bool = True) -> None:
        for number, line in enumerate(text.split("\n")):
            self._parts.append(
                f'<text x="{x}" y="{y + number * LINE}" text-anchor="{anchor}" '
                f'fill="{SOFT if soft else INK}">{escape(line)}</text>'
            )

    def arrow(self, *points: tuple[int, int], dashed: bool = False) -> None:
        path = " ".join(f"{x},{y}" for x, y in points)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{SOFT}" stroke-width="1.4"{dash} '
            'marker-end="url(#tip)"/>'
        )

    def save(self, name: str) -> None:
        (IMAGES / name).write_text("\n".join([*self._parts, "</svg>\n"]), encoding="utf-8")


def layers() -> None:
    """The packages, from the bottom up; a package imports only what is below it."""
    d = Drawing(740, 430, "The layers of the package; imports point downward only")
    rows = (
        ((("cli", "the command"), ("server", "HTTP API and page")), BLUE),
        ((("integrations", "selectools, LangChain, OpenAI Agents, OpenTelemetry"),), GREEN),
        ((("capture", "recorder, background saving, redaction, run journal"),), GREEN),
        ((("stores", "what users construct: blocking and async"),), AMBER),
        ((("backends", "memory, JSONL, SQLite, ..."), ("analytics", "statistics, compare")), AMBER),
        ((("protocols", "what a store promises: the normative docstrings"),), GREY),
        ((("model", "trace, filters, pages, codec"),), GREY),
        ((("runtime", "the only place that knows threads, loops and forks"),), GREY),
        ((("errors", "all that a store raises"), ("extras", "which brings what is missing")), GREY),
    )
    y = 14
    for boxes, fill in rows:
        width = (590 - 10 * (len(boxes) - 1)) // len(boxes)
        for number, (name, about) in enumerate(boxes):
            d.box(20 + number * (width + 10), y, width, 38, f"{name}\n{about}", fill)
        y += 45
    d.arrow((655, 20), (655, y - 12))
    d.text(668, 210, "imports")
    d.save("architecture-layers.svg")


def backends() -> None:
    """What the backends share, from the bottom up."""
    d = Drawing(740, 250, "Inside backends: imports point downward only")
    rows = (
        (
            (("sqlite", ""), ("postgres", ""), ("clickhouse", ""), ("jsonl", ""), ("memory", "")),
            BLUE,
        ),
        (
            (
                ("sql", "a filter as terms and ranges"),
                ("toolkit, derived", "all from five methods"),
            ),
            GREEN,
        ),
        ((("base, file_base, method_table", "the methods of a store, once"),), AMBER),
        (
            (
                ("queries", "pages, orders, sums, indexes in memory"),
                ("files", "locks, whole new files, journals"),
            ),
            GREY,
        ),
    )
    y = 14
    for boxes, fill in rows:
        width = (590 - 10 * (len(boxes) - 1)) // len(boxes)
        for number, (name, about) in enumerate(boxes):
            d.box(20 + number * (width + 10), y, width, 46, f"{name}\n{about}".strip(), fill)
        y += 57
    d.arrow((655, 20), (655, y - 12))
    d.text(668, 130, "imports")
    d.save("architecture-backends.svg")


def runtimes() -> None:
    """One core of coroutines under two runtimes."""
    d = Drawing(760, 330, "One core of coroutines, two runtimes")
    d.box(20, 15, 340, 44, "AsyncSQLiteTraceStore\nawait store.save(trace)", BLUE)
    d.box(400, 15, 340, 44, "SQLiteTraceStore\nstore.save(trace)", AMBER)
    d.box(190, 100, 380, 58, "the core: StoreCore, a backend\nwritten once, as coroutines", GREEN)
    d.arrow((190, 59), (300, 98))
    d.arrow((570, 59), (460, 98))
    d.text(90, 88, "awaits it")
    d.text(600, 80, "run_sync: never\nsuspends")
    d.box(
        20, 200, 340, 58, "AsyncioRuntime\nasyncio locks, worker threads, one state per loop", BLUE
    )
    d.box(400, 200, 340, 58, "BlockingRuntime\nthread locks, work in the calling thread", AMBER)
    d.arrow((300, 158), (200, 198))
    d.arrow((460, 158), (560, 198))
    d.box(190, 285, 380, 34, "the file: processes and loops meet here only")
    d.arrow((200, 258), (270, 283))
    d.arrow((560, 258), (490, 283))
    d.save("architecture-runtimes.svg")


def group_commit() -> None:
    """Saves at the same time, committed together."""
    d = Drawing(760, 300, "Group commit: saves at the same time share a commit")
    for number, (start, label) in enumerate(((60, "save A"), (90, "save B"), (150, "save C"))):
        y = 20 + number * 40
        d.text(12, y + 19, label, soft=False)
        d.box(start, y, 70, 28, "encode", GREY)
        d.arrow((start + 70, y + 14), (232 if number == 0 else 440, y + 14), dashed=True)
    d.box(235, 20, 190, 28, "commit 1: A", GREEN)
    d.box(445, 60, 190, 68, "commit 2\nB and C, one transaction", GREEN)
    d.text(640, 38, "A returns")
    d.text(642, 98, "B and C return")
    d.arrow((425, 34), (632, 34))
    d.text(12, 168, "time", soft=True)
    d.arrow((50, 164), (740, 164))
    d.box(20, 190, 220, 44, "A opens a batch\nand asks for the worker", BLUE)
    d.box(270, 190, 220, 44, "B and C join the open batch\nwhile the worker is busy", BLUE)
    d.box(520, 190, 220, 44, "the worker closes the batch\nand does all of it at once", BLUE)
    d.arrow((240, 212), (268, 212))
    d.arrow((490, 212), (518, 212))
    d.text(
        20, 262,
        "No background task: nothing to flush, nothing lost at exit. One bad trace never fails\n"
        "its neighbours: when a batch fails, its rows are tried one by one.",
    )  # fmt: skip
    d.save("architecture-group-commit.svg")


def index() -> None:
    """A query answered by the SQLite index."""
    d = Drawing(760, 340, "The index of a SQLite store: from a filter to the rows worth reading")
    d.box(
        20,
        20,
        250,
        62,
        "TraceFilter\ntool_name='refund', min_ms=500,\nmetadata_match={'user': 'ada'}",
        BLUE,
    )
    d.arrow((270, 40), (318, 40))
    d.arrow((270, 68), (318, 86))
    d.box(320, 20, 200, 40, "terms.py: terms\ntool:refund, user=ada", GREY)
    d.box(320, 70, 200, 40, "ranges.py: ranges\ntotal_ms >= 500", GREY)
    d.arrow((520, 40), (560, 52))
    d.arrow((520, 90), (560, 78))
    d.box(562, 40, 178, 50, "candidates.py\nSQL, narrowing only", GREY)
    d.text(
        20,
        142,
        "blocks of 256 rows, oldest first; the newest rows are not in a block yet",
        soft=True,
    )
    for number, hit in enumerate((False, True, False, False, True)):
        fill = GREEN if hit else GREY
        name = f"block {number}"
        d.box(20 + number * 96, 152, 88, 66, f"{name}\n{'bounds fit' if hit else 'skipped'}", fill)
    d.box(508, 152, 116, 66, "newer rows\nfacets, scanned", AMBER)
    d.box(632, 152, 108, 66, "pending\nread whole", RED)
    d.arrow((650, 90), (650, 130), (560, 150))
    d.box(20, 262, 220, 58, "trace_postings\nterm, block → places in the block")
    d.box(260, 262, 220, 58, "trace_blocks\nmin and max of each block")
    d.box(500, 262, 240, 58, "filters.matches(...)\ndecides; the index only narrows", BLUE)
    d.arrow((130, 262), (150, 220))
    d.arrow((370, 262), (350, 220))
    d.arrow((566, 218), (600, 260))
    d.arrow((686, 218), (660, 260))
    d.save("architecture-index.svg")


def main() -> None:
    for draw in (layers, backends, runtimes, group_commit, index):
        draw()


if __name__ == "__main__":
    main()
