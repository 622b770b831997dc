"""The command ``stats``: totals and percentiles of many runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

import click
from rich.text import Text

from ...analytics import Group, Statistics, collect
from ...model import figures
from ...model.annotation_statistics import AnnotationStatistics
from ...model.clock import Clock
from ...model.filters import TraceFilter
from ...model.text import one_line
from ..command_session import Session
from ..exit_codes import NOTHING, OK
from ..options import (
    filter_options,
    no_runs_match,
    store_argument,
    store_option,
    with_session,
    zone_option,
)
from ..run_lookup import with_whole_ids
from ..run_table import Column, lines_of_table
from ..terminal import styled

_FIGURES = (
    Column("calls", 7),
    Column("errors", 7),
    Column("p50", 8),
    Column("p90", 8),
    Column("p99", 8),
    Column("tokens", 7),
    Column("cost", 9),
)
_MOST_MODELS = 4  # that have a column
_MOST = 40  # rows of one table
_LABELS = 26  # characters


def _dimension(text: str) -> str:
    if not text:
        raise click.BadParameter("it is empty")
    return text


@click.command(short_help="Show totals and percentiles of runs.")
@store_argument
@store_option
@click.option(
    "--by", multiple=True, type=_dimension, metavar="KEY", default=("day", "model", "tool"),
    help="Tables to show: hour, day, model, tool, session, user, agent, name, outcome, tag or a "
    "metadata key; may be repeated [default: day, model and tool].",
)  # fmt: skip
@click.option(
    "--time", type=click.Choice(("started_at", "created_at")), default="started_at",
    help="Time of a run that counts: its start, or its save.",
)  # fmt: skip
@zone_option
@click.option("--json", "as_data", is_flag=True, help="Print all figures as one JSON object.")
@filter_options()
@with_session
def stats(
    session: Session,
    filters: TraceFilter,
    by: Sequence[str],
    time: Clock,
    zone: tzinfo,
    *,
    as_data: bool,
) -> int:
    """Show totals and percentiles of the runs that match, by day, model and tool.

    Durations are percentiles over runs, or over the calls of a model or tool. Days and hours are
    those in which runs began, by the local clock or that of --tz; with --time created_at, those
    of the save.
    """
    with session.store() as store:
        found = collect(store, with_whole_ids(store, filters), by=by, zone=zone, time=time)
        nothing = "" if found.total.runs else no_runs_match(store, filters)
    if as_data:
        session.terminal.json(found)
    elif found.total.runs:
        session.terminal.lines(_lines(found, by, session.terminal.width))
    else:
        session.terminal.note(nothing)
    return OK if found.total.runs else NOTHING


def _lines(found: Statistics, by: Sequence[str], width: int) -> Iterator[Text]:
    yield from _total(found.total)
    own = {"hour": found.hours, "day": found.days, "model": found.models, "tool": found.tools}
    for dimension in dict.fromkeys([*own, *by]):
        groups = own.get(dimension, found.groups.get(dimension, ()))
        if dimension in by and groups:
            yield Text()
            is_time, counts_runs = dimension in {"hour", "day"}, dimension not in {"model", "tool"}
            shown = groups[-_MOST:] if is_time else groups[:_MOST]
            yield from _table(dimension, shown, width, counts_runs=counts_runs)
            if is_time and len(shown) > 1:
                yield from _models_over(dimension, shown)
            if len(groups) > len(shown):
                yield styled(f"and {len(groups) - len(shown):,} more: --json has them all", "dim")
    if found.annotations:
        yield Text()
        yield from _annotations(found.annotations)


def _annotations(said: Mapping[str, AnnotationStatistics]) -> Iterator[Text]:
    columns = (
        Column("annotation", 16, "cyan", right=False),
        *(Column(name, 8) for name in ("runs", "mean", "p50", "p90")),
        Column("labels", _LABELS, right=False),
    )
    rows = []
    for name, one in [*said.items()][:_MOST]:
        score = one.score
        scores = [f"{v:.3g}" if score.count else "-" for v in (score.mean, score.p50, score.p90)]
        labels = ", ".join(f"{label} {runs:,}" for label, runs in one.labels.items())
        rows.append([one_line(name, 16), f"{one.runs:,}", *scores, one_line(labels, _LABELS)])
    yield from lines_of_table(columns, rows)


def _total(total: Group) -> Iterator[Text]:
    line = styled(f"{total.runs:,} runs", "bold")
    if total.errors:
        line.append(
            f" · {total.errors:,} with errors ({total.errors / total.runs:.0%})", "bold red"
        )
    line.append(
        f" · {total.calls:,} steps"
        f" · {total.prompt_tokens:,} in / {total.completion_tokens:,} out tokens"
        f" · {figures.dollars(total.cost_usd.total)}",
        "",
    )
    yield line
    columns = (
        Column("a run", 10, "dim", right=False),
        *(Column(name, 9) for name in ("p50", "p90", "p95", "p99", "max", "mean")),
    )
    rows = []
    for name, spread, words in (
        ("time", total.duration_ms, figures.duration),
        ("tokens", total.tokens, figures.count),
        ("cost", total.cost_usd, figures.dollars),
    ):
        values = (spread.p50, spread.p90, spread.p95, spread.p99, spread.max, spread.mean)
        rows.append([name, *map(words, values)])
    yield Text()
    yield from lines_of_table(columns, rows)


def _table(
    heading: str, shown: Sequence[Group], width: int, *, counts_runs: bool
) -> Iterator[Text]:
    costs = any(group.prompt_tokens or group.cost_usd.total for group in shown)
    columns = _FIGURES if costs else _FIGURES[:-2]
    room = width - sum(column.width + 1 for column in columns) - 1
    longest = max(len(one_line(group.key, 80)) for group in shown)
    first = Column(one_line(heading, 40), max(12, min(longest, room)), "cyan", right=False)
    calls = Column("runs" if counts_runs else "calls", 7)
    yield from lines_of_table(
        (first, calls, *columns[1:]),
        [_row(group, counts_runs=counts_runs)[: len(columns) + 1] for group in shown],
    )


def _models_over(dimension: str, shown: Sequence[Group]) -> Iterator[Text]:
    """What each model cost over time; nothing where there is but one, or no cost."""
    spent: Counter[str] = Counter()
    for group in shown:
        spent.update({name: use.cost_usd or 0.0 for name, use in group.models.items()})
    if len(spent) < 2 or not any(spent.values()):
        return
    names = [name for name, _ in spent.most_common(_MOST_MODELS)]
    heads = [*names, f"{len(spent) - len(names)} others"] if len(spent) > len(names) else names
    first = Column(f"cost by {dimension}", 16, "cyan", right=False)
    columns = [Column(one_line(name, 14), max(9, min(len(name), 14))) for name in heads]
    rows = []
    for group in shown:
        costs = [group.models[name].cost_usd if name in group.models else None for name in names]
        known = [use.cost_usd for use in group.models.values() if use.cost_usd is not None]
        told = [figures.dollars(cost) for cost in costs]
        if len(heads) > len(names):
            told.append(figures.dollars(sum(known) - sum(cost or 0.0 for cost in costs)))
        rows.append([one_line(group.key, 16), *told])
    yield Text()
    yield from lines_of_table((first, *columns), rows)


def _row(group: Group, *, counts_runs: bool) -> list[str | Text]:
    spread = group.duration_ms
    return [
        one_line(group.key, 80),
        f"{group.runs if counts_runs else group.calls:,}",
        Text(f"{group.errors:,}", "red") if group.errors else Text("-", "dim"),
        figures.duration(spread.p50),
        figures.duration(spread.p90),
        figures.duration(spread.p99),
        figures.count(group.prompt_tokens + group.completion_tokens),
        figures.dollars(group.cost_usd.total),
    ]
