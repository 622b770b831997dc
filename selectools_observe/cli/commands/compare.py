"""The command ``compare``: two runs side by side."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import click
from rich.text import Text

from ...analytics import Comparison, StepPair
from ...analytics import compare as compare_traces
from ...model.text import one_line, printable_lines
from ...model.trace import AgentTrace
from .. import formatting
from ..completers import complete_run_ids
from ..exit_codes import NOTHING, OK
from ..json_output import as_json
from ..options import store_option, with_session
from ..run_lookup import find_run
from ..run_table import value_text
from ..session import Session
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


@click.command(short_help="Show how two runs differ.")
@click.argument("run", shell_complete=complete_run_ids)
@click.argument("other", shell_complete=complete_run_ids)
@store_option
@click.option(
    "--other-store", metavar="STORE", help="Store of the second run, if it is another one."
)
@click.option("--all", "everything", is_flag=True, help="Show all steps, also equal ones.")
@click.option("--json", "as_data", is_flag=True, help="The comparison, one JSON object.")
@with_session
def compare(
    session: Session,
    run: str,
    other: str,
    other_store: str | None,
    *,
    everything: bool,
    as_data: bool,
) -> int:
    """Show two runs side by side and where they differ.

    Steps that did the same, done differently, are paired. When a step ran, how long it took and
    what it cost do not count as differences. Exits with 1 if the runs differ, as diff does.
    """
    left = _load(session, run, None)
    right = _load(session, other, other_store)
    found = compare_traces(left, right)
    if as_data:
        fields = {"left": left.run_id, "right": right.run_id, "comparison": found}
        session.terminal.json(as_json(fields))
    else:
        session.terminal.lines(
            _lines(left, right, found, session.terminal.width, everything=everything)
        )
    return OK if found.first_difference is None else NOTHING


def _load(session: Session, name: str, elsewhere: str | None) -> AgentTrace:
    with session.store(elsewhere) as store:
        return store.load(find_run(store, name, elsewhere or session.name).run_id)


def _lines(
    left: AgentTrace, right: AgentTrace, found: Comparison, width: int, *, everything: bool
) -> Iterator[Text]:
    half = (width - 4) // 2
    yield _beside(one_line(left.run_id), one_line(right.run_id), half, "  ", "bold cyan")
    for word in _totals(found):
        yield _beside(*word, half, "  ", "")
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
            yield styled(f"    … {skipped:,} equal steps", "dim")
            skipped = 0
        yield _pair(left, right, pair, half)
        if place == found.first_difference:
            yield from _difference(left, right, pair)
    if skipped:
        yield styled(f"    … {skipped:,} equal steps", "dim")
    if found.first_difference is None:
        yield styled("The runs are the same.", "green")


def _totals(found: Comparison) -> Iterator[tuple[str, str]]:
    def words(name: str) -> str:
        totals = getattr(found, name)
        failed = f" · {totals.errors} failed" if totals.errors else ""
        return f"{totals.steps} steps · {formatting.duration(totals.duration_ms)}{failed}"

    def usage(name: str) -> str:
        totals = getattr(found, name)
        tokens = formatting.count(totals.prompt_tokens + totals.completion_tokens)
        return f"{tokens} tokens · {formatting.dollars(totals.cost_usd)}"

    yield words("left"), words("right")
    yield usage("left"), usage("right")


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
    for name in pair.fields:
        one = field_text(getattr(left.steps[pair.left], name))
        other = field_text(getattr(right.steps[pair.right], name))
        yield styled(f"    {name}", "bold")
        yield from _diff(one, other)


def _diff(one: str, other: str) -> Iterator[Text]:
    before, after = (printable_lines(text[:_LONGEST_TEXT]) for text in (one, other))
    lines = (
        list(difflib.ndiff(before, after))
        if len(before) + len(after) < 400
        else [*(f"- {line}" for line in before), *(f"+ {line}" for line in after)]
    )
    lines = [line for line in lines if line[0] in "+-"]
    for line in lines[:_MOST_LINES]:
        yield styled(f"      {line}", "red" if line[0] == "-" else "green")
    if len(lines) > _MOST_LINES:
        yield styled(f"      and {len(lines) - _MOST_LINES:,} more lines", "dim")
