"""The command ``compare``: runs side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import click
from msgspec import UNSET
from rich.text import Text

from ...analytics import Comparison, Delta, Difference, StepPair, differences, tabulate, word_diff
from ...analytics import compare as compare_traces
from ...analytics.similar_runs import candidate_queries
from ...model import figures
from ...model.text import counted, one_line, printable_lines
from ...model.trace import AgentTrace, TraceSummary
from ..command_session import Session
from ..completers import complete_run_ids
from ..exit_codes import NOTHING, OK
from ..options import store_option, with_session
from ..run_columns import value_text
from ..run_lookup import find_run
from ..run_table import Column, RunTable, lines_of_table
from ..step_details import field_text
from ..terminal import fit, styled
from ..waterfall import step_text

_MARKS = {
    "same": ("  ", "dim"),
    "changed": ("≠ ", "yellow"),
    "removed": ("- ", "red"),
    "added": ("+ ", "green"),
}
_AROUND = 2  # equal steps that are shown on both sides of a difference
_LONGEST_TEXT = 20_000  # characters that are looked through for the first difference
_MOST_LINES = 12  # of a field
_MOST_CANDIDATES = 10  # of a kind


@click.command(short_help="Show how runs differ.")
@click.argument("run", shell_complete=complete_run_ids)
@click.argument("others", nargs=-1, metavar="[OTHER]...", shell_complete=complete_run_ids)
@store_option
@click.option("--other-store", metavar="STORE", help="Store of the other runs, if not the same.")
@click.option("--all", "everything", is_flag=True, help="Show all steps, also equal ones.")
@click.option("--json", "as_data", is_flag=True, help="The comparison, one JSON object.")
@with_session
def compare(
    session: Session,
    run: str,
    others: Sequence[str],
    other_store: str | None,
    *,
    everything: bool,
    as_data: bool,
) -> int:
    """Show two runs side by side and where they differ; more than two as a table.

    Without another run, those worth comparing with are listed: of the same task, the same input,
    the same session or user.

    Steps that did the same, done differently, are paired. Of what a model is given only what is new
    counts. When a step ran, how long it took and what it cost do not count as differences; the
    ids that providers give do not either. Exits with 1 if the runs differ, as diff does.
    """
    if not others:
        return _candidates(session, run, as_data=as_data)
    judged, left = _load(session, run, None)
    rest = [_load(session, other, other_store) for other in others]
    if len(rest) > 1:
        return _table(session, [(judged, left), *rest], as_data=as_data)
    right = rest[0][1]
    found = compare_traces(left, right, scores=(judged.scores, rest[0][0].scores))
    if as_data:
        fields = {"left": left.run_id, "right": right.run_id, "comparison": found}
        session.terminal.json(fields)
    else:
        session.terminal.lines(
            _lines(left, right, found, session.terminal.width, everything=everything)
        )
    return OK if found.is_same else NOTHING


def _candidates(session: Session, name: str, *, as_data: bool) -> int:
    """The runs worth comparing with, the most telling reason first."""
    with session.store(None) as store:
        run = find_run(store, name, session.name)
        groups = []
        for query in candidate_queries(run):
            filters = dataclasses.replace(query.filters, limit=_MOST_CANDIDATES + 1)
            found = [one for one in store.query(filters) if query.accepts(one)][:_MOST_CANDIDATES]
            if found:
                groups.append((query, found))
    if as_data:
        reported = [
            {"reason": query.reason, "key": query.key, "value": query.value,
             "runs": [one.to_dict() for one in found]}
            for query, found in groups
        ]  # fmt: skip
        session.terminal.json({"run": run.run_id, "candidates": reported})
    else:
        table = RunTable(session.terminal.width, [one for _, found in groups for one in found])
        for query, found in groups:
            what = query.key or query.reason
            session.terminal.line(styled(f"same {one_line(what)}: ", "bold").append(
                value_text(query.value), "bold"))  # fmt: skip
            session.terminal.lines(table.line(one) for one in found)
    if not groups:
        session.terminal.note("no other run has its task, input, session or user")
    return OK if groups else NOTHING


def _table(
    session: Session, runs: Sequence[tuple[TraceSummary, AgentTrace]], *, as_data: bool
) -> int:
    """A row a number, a column a run; the first is what the others are held against."""
    traces = [trace for _, trace in runs]
    table = tabulate(traces, scores=[summary.scores for summary, _ in runs])
    differ = any(row.differing_steps for row in table.rows)
    if as_data:
        session.terminal.json({"table": table})
        return NOTHING if differ else OK
    width = max(9, min(26, (session.terminal.width - 20) // len(table.rows) - 1))
    columns = [Column("", 18, "dim", right=False), *[
        Column(one_line(row.run_id), width, "") for row in table.rows
    ]]  # fmt: skip
    rows: list[list[str | Text]] = [["outcome", *[one_line(row.outcome) for row in table.rows]]]
    rows += [
        [_label(name), *[_amount(name, row.metrics.get(name)) for row in table.rows]]
        for name in table.metrics
    ]
    rows.append(["differing steps", *[f"{row.differing_steps:,}" for row in table.rows]])
    rows += [
        [one_line(key), *[
            value_text(trace.metadata[key]) if key in trace.metadata else "-" for trace in traces
        ]]
        for key in table.metadata
    ]  # fmt: skip
    rows.append(["output", *[one_line(row.output or "-") for row in table.rows]])
    session.terminal.lines(lines_of_table(columns, rows))
    return NOTHING if differ else OK


def _load(session: Session, name: str, elsewhere: str | None) -> tuple[TraceSummary, AgentTrace]:
    with session.store(elsewhere) as store:
        summary = find_run(store, name, elsewhere or session.name)
        return summary, store.load(summary.run_id)


def _lines(
    left: AgentTrace, right: AgentTrace, found: Comparison, width: int, *, everything: bool
) -> Iterator[Text]:
    half = (width - 4) // 2
    yield _beside(one_line(left.run_id), one_line(right.run_id), half, "  ", "bold cyan")
    yield from _deltas(found.deltas)
    for key in found.metadata:
        values = [
            f"{one_line(key)}: {value_text(trace.metadata[key])}" if key in trace.metadata else ""
            for trace in (left, right)
        ]
        yield _beside(values[0], values[1], half, *_MARKS["changed"])
    yield Text()
    shown = _shown(found, everything=everything)
    skipped = 0
    for place, pair in enumerate(found.pairs):
        if place not in shown:
            skipped += 1
            continue
        if skipped:
            yield _equal(skipped)
            skipped = 0
        yield _pair(left, right, pair, half)
        if place == found.first_difference:
            yield from _difference(left, right, pair)
    if skipped:
        yield _equal(skipped)
    if found.is_same:
        yield styled("The runs are the same.", "green")
    elif found.first_difference is None:
        yield styled(f"The steps are the same; not {' and '.join(found.run_fields)}.", "yellow")


def _equal(steps: int) -> Text:
    return styled(f"    … {counted(steps, 'equal step')}", "dim")


_ALWAYS = frozenset({"steps", "cost_usd", "duration_ms"})


def _deltas(deltas: Sequence[Delta]) -> Iterator[Text]:
    """The numbers that tell the runs apart, and those that people always want."""
    for delta in deltas:
        if not delta.change and delta.name not in _ALWAYS:
            continue
        line = styled(f"  {_label(delta.name):<18}", "dim")
        line.append(f"{_amount(delta.name, delta.left):>12}{_amount(delta.name, delta.right):>12}")
        yield line.append(f"  {_change(delta)}", "yellow" if delta.change else "dim")


def _label(name: str) -> str:
    names = {"cost_usd": "cost", "duration_ms": "active time", "wall_ms": "duration"}
    return names.get(name) or one_line(name.replace("_", " "), 18)


def _amount(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name == "cost_usd":
        return figures.dollars(value)
    if name.endswith("_ms"):
        return figures.duration(value)
    return f"{value:.4g}" if name.startswith("score.") else figures.count(value)


def _change(delta: Delta) -> str:
    if delta.change is None:
        return ""
    if not delta.change:
        return "="
    sign = "+" if delta.change > 0 else "-"
    words = f"{sign}{_amount(delta.name, abs(delta.change))}"
    return words if delta.ratio is None else f"{words} ({delta.ratio:+.0%})"


def _shown(found: Comparison, *, everything: bool) -> set[int]:
    if everything:
        return set(range(len(found.pairs)))
    different = [at for at, pair in enumerate(found.pairs) if pair.change != "same"]
    return {near for at in different for near in range(at - _AROUND, at + _AROUND + 1)}


def _pair(left: AgentTrace, right: AgentTrace, pair: StepPair, half: int) -> Text:
    one = "" if pair.left is None else step_text(left.steps[pair.left], pair.left)
    other = "" if pair.right is None else step_text(right.steps[pair.right], pair.right)
    return _beside(one, other, half, *_MARKS[pair.change])


def _beside(one: str, other: str, half: int, mark: str, style: str) -> Text:
    text = styled(mark, style)
    return text.append(f"{fit(one, half)}  {fit(other, half)}", style)


def _difference(left: AgentTrace, right: AgentTrace, pair: StepPair) -> Iterator[Text]:
    """The first difference, in words."""
    yield styled("    first difference", "bold yellow")
    if pair.left is None or pair.right is None:
        side = "left" if pair.right is None else "right"
        yield styled(f"    only in the {side} run", _MARKS[pair.change][1])
        return
    for one in differences(left, right, pair):
        yield styled(f"    {_place_of(one)}", "bold")
        yield from _sides(one)


def _place_of(found: Difference) -> str:
    if not found.path:
        return one_line(found.field)
    return one_line(f"{found.field}{'' if found.path.startswith('[') else '.'}{found.path}")


def _sides(found: Difference) -> Iterator[Text]:
    """The texts of both sides, or what only one of them has."""
    if isinstance(found.left, str) and isinstance(found.right, str):
        yield from _words(found.left[:_LONGEST_TEXT], found.right[:_LONGEST_TEXT])
        return
    for value, mark, style in ((found.left, "-", "red"), (found.right, "+", "green")):
        if value is UNSET:
            continue
        lines = printable_lines(field_text(value)[:_LONGEST_TEXT])
        yield from (styled(f"      {mark} {line}", style) for line in lines[:_MOST_LINES])
        if len(lines) > _MOST_LINES:
            yield styled(f"      and {len(lines) - _MOST_LINES:,} more lines", "dim")


def _words(left: str, right: str) -> Iterator[Text]:
    """Both texts, line by line; the words that differ are marked."""
    parts = word_diff(left, right)
    for side, mark, style in ((-1, "-", "red"), (1, "+", "green")):
        lines = [Text()]
        for of, words in parts:
            if of in {0, side}:
                first, *rest = printable_lines(words)
                shown = f"bold {style}" if of else style
                lines[-1].append(first, shown)
                lines += [styled(line, shown) for line in rest]
        for line in lines[:_MOST_LINES]:
            yield styled(f"      {mark} ", style).append_text(line)
        if len(lines) > _MOST_LINES:
            yield styled(f"      and {len(lines) - _MOST_LINES:,} more lines", "dim")
