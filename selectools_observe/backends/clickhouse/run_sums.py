"""What many runs add up to, in SQL: statistics without reading a run.

A cell is what runs, or calls, have in common: their quarter of an hour, model or tool, and the
bucket of one of their quantities. Sums, and how values are spread, are made of cells.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from ...model.clock import Clock
from ...model.group_sums import CallSums, GroupBuilder, GroupSums
from ...model.percentiles import LOG_FACTOR, SMALLEST, ZERO_BUCKET, Sketch
from ...model.statistics import QUARTER_US, RunSums
from ..sql.row import Row
from ..sql.zone_offsets import Offset
from .cell_columns import CELL_NAMES
from .step_columns import name_of

_LARGEST = sys.float_info.max
TIMES, MODELS, TOOLS = _KINDS = range(3)
MODELS_AT = 3  # of models by the quarter of an hour in which their runs began: sums alone
_DURATIONS, _TOKENS, _COSTS, _RUNS = range(4)
_NO_SUMS = "0 AS calls, 0 AS errors, 0 AS prompt_tokens, 0 AS completion_tokens"
BUCKET = f"if(value < {SMALLEST}, {ZERO_BUCKET}, toInt32(ceil(log(value) / {LOG_FACTOR!r})))"
"""The bucket of a value, as `PercentileBuilder` has them."""

_CALLS_OF = {
    MODELS: ("step.model", "name != ''"),
    TOOLS: ("step.tool", "name != '' AND kind_of_step != 'tool_selection'"),
}


def cells(database: str, where: str, time: Clock, *, times: bool, models: bool, tools: bool) -> str:
    """SQL for the cells of the runs that a condition names.

    Args:
        database: The store's.
        where: The condition.
        time: Which time of a run counts.
        times: Whether the quarter of an hour is told apart.
        models: Whether cells of models are wanted.
        tools: Whether cells of tools are.
    """
    quarter = _quarter(time)
    rows = f"FROM {database}.traces WHERE {where}"
    parts = _cells_of_runs(quarter if times else "toInt64(0)", rows)
    for kind, is_wanted in ((MODELS, models), (TOOLS, tools)):
        if is_wanted:
            parts += _cells_of_calls(kind, rows)
    if times and models:
        parts.append(_models_at(quarter, rows))
    return " UNION ALL ".join(f"SELECT {CELL_NAMES} FROM ({part})" for part in parts)


def span(database: str, where: str, time: Clock) -> str:
    """SQL for the first and the last quarter of an hour of the runs that a condition names."""
    quarter = _quarter(time)
    return f"SELECT min({quarter}), max({quarter}) FROM {database}.traces WHERE {where}"


def _quarter(time: Clock) -> str:
    moment = "coalesce(started_us, created_us)" if time == "started_at" else "created_us"
    return f"intDiv({moment} - positiveModulo({moment}, {QUARTER_US}), {QUARTER_US})"


def _cells_of_runs(quarter: str, rows: str) -> list[str]:
    sums = (
        "sum(toInt128(steps)) AS calls, sum(has_error) AS errors, "
        "sum(toInt128(prompt)) AS prompt_tokens, sum(toInt128(completion)) AS completion_tokens"
    )
    columns = (
        f"{quarter} AS quarter, steps, has_error, prompt_tokens AS prompt, "
        "completion_tokens AS completion"
    )
    both = "toFloat64(prompt_tokens) + toFloat64(completion_tokens)"
    return [
        _spread(TIMES, quantity, f"SELECT '' AS name, {value}, {columns} {rows}{only}", each)
        for quantity, value, only, each in (
            (_DURATIONS, clamped("total_ms"), "", sums),
            (_TOKENS, clamped(both), "", _NO_SUMS),
            (_COSTS, clamped("cost_usd"), " AND knows_cost = 1", _NO_SUMS),
        )
    ]


def _models_at(quarter: str, rows: str) -> str:
    steps = rows.replace(
        " WHERE ",
        " ARRAY JOIN step.model AS name, step.prompt_tokens AS prompt, "
        "step.completion_tokens AS completion, step.cost_usd AS cost WHERE ",
        1,
    )
    return (
        f"SELECT toUInt8({MODELS_AT}) AS kind, name, {quarter} AS quarter, "
        f"toUInt8({_COSTS}) AS quantity, toInt32(0) AS bucket, countIf(isNotNull(cost)) AS n, "
        "toInt128(count()) AS calls, toUInt64(0) AS errors, "
        "sum(toInt128(prompt)) AS prompt_tokens, sum(toInt128(completion)) AS completion_tokens, "
        f"sum(if(cost > 0 AND cost <= {_LARGEST}, assumeNotNull(cost), 0)) AS total, "
        f"0. AS least, 0. AS most {steps} AND name != '' GROUP BY name, quarter"
    )


def _cells_of_calls(kind: int, rows: str) -> list[str]:
    column, condition = _CALLS_OF[kind]
    steps = rows.replace(
        " WHERE ",
        f" ARRAY JOIN {column} AS name, step.type AS kind_of_step, step.ms AS ms, "
        "step.prompt_tokens AS prompt, step.completion_tokens AS completion, "
        "step.cost_usd AS cost, step.failed AS failed WHERE ",
        1,
    )
    sums = (
        "toInt128(count()) AS calls, sum(failed) AS errors, "
        "sum(toInt128(prompt)) AS prompt_tokens, sum(toInt128(completion)) AS completion_tokens"
    )
    columns = "toInt64(0) AS quarter, failed, prompt, completion"
    spreads = [
        _spread(
            kind, quantity, f"SELECT name, {value}, {columns} {steps} AND {condition}{only}", each
        )
        for quantity, value, only, each in (
            (_DURATIONS, clamped("ms"), "", sums),
            (
                _TOKENS,
                clamped("toFloat64(prompt) + toFloat64(completion)"),
                " AND (prompt != 0 OR completion != 0)",
                _NO_SUMS,
            ),
            (_COSTS, clamped("assumeNotNull(cost)"), " AND cost IS NOT NULL", _NO_SUMS),
        )
    ]
    named = f"arrayFilter((name, kind_of_step) -> {condition}, {column}, step.type)"
    runs = (
        f"SELECT toUInt8({kind}) AS kind, name, toInt64(0) AS quarter, "
        f"toUInt8({_RUNS}) AS quantity, toInt32(0) AS bucket, count() AS n, {_NO_SUMS}, "
        f"0. AS total, 0. AS least, 0. AS most "
        f"FROM (SELECT arrayJoin(arrayDistinct({named})) AS name {rows}) GROUP BY name"
    )
    return [*spreads, runs]


def clamped(value: str) -> str:
    """A quantity as `PercentileBuilder` takes it."""
    return f"if({value} > 0 AND {value} <= {_LARGEST}, {value}, 0) AS value"


def _spread(kind: int, quantity: int, values: str, sums: str) -> str:
    return (
        f"SELECT toUInt8({kind}) AS kind, name, quarter, toUInt8({quantity}) AS quantity, "
        f"toInt32({BUCKET}) AS bucket, count() AS n, {sums}, "
        "sum(value) AS total, min(value) AS least, max(value) AS most "
        f"FROM ({values}) GROUP BY name, quarter, bucket"
    )


def sums(cells: str, offsets: Sequence[Offset], *, by_hour: bool) -> str:
    """SQL for `run_sums`, of the cells that other SQL gives.

    Args:
        cells: The SQL for the cells.
        offsets: What `offsets_of` says of the zone whose hours or days are told apart.
        by_hour: Whether hours are; or else days.
    """
    return (
        "SELECT kind, name, quantity, min(first), sum(n), sum(calls), sum(errors), "
        "sum(prompt_tokens), sum(completion_tokens), sum(total), min(least), max(most), "
        "groupArray(bucket), groupArray(n) FROM ("
        f"SELECT kind, name, quantity, {_time(offsets, by_hour=by_hour)} AS time, bucket, "
        "min(quarter) AS first, sum(n) AS n, sum(calls) AS calls, sum(errors) AS errors, "
        "sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens, "
        "sum(total) AS total, min(least) AS least, max(most) AS most "
        f"FROM ({cells}) GROUP BY kind, name, quantity, time, bucket"
        ") GROUP BY kind, name, quantity, time"
    )


def _time(offsets: Sequence[Offset], *, by_hour: bool) -> str:
    """SQL that numbers the local hours, or days, of quarters."""
    size = 4 if by_hour else 96
    cases: list[str] = []
    for number, offset in enumerate(offsets):
        local = f"(quarter + {offset.quarters})"
        unit = f"intDiv({local} - positiveModulo({local}, {size}), {size})"
        # An hour that comes twice, as clocks go back, is two.
        which = f"({number if by_hour else 0}, {unit})"
        cases += [f"quarter < {offset.until}", which]
    return f"multiIf({', '.join([*cases[:-2], cases[-1]])})" if len(offsets) > 1 else cases[-1]


def run_sums(rows: Iterable[Row]) -> RunSums:
    """The sums of what `sums` gives."""
    found: dict[tuple[int, int | str], GroupSums] = {}
    models_at: dict[int, dict[str, CallSums]] = {}
    for kind, name, quantity, first, n, *counts, total, least, most, buckets, counted in rows:
        if kind == MODELS_AT:
            sent_and_written = counts[2], counts[3]
            models_at.setdefault(int(first), {})[name_of(name)] = CallSums(
                counts[0], *sent_and_written, min(total, _LARGEST), n
            )
            continue
        key = (kind, int(first) if kind == TIMES else name_of(name))
        if key not in found:
            found[key] = GroupSums(0, 0, 0, 0, 0, Sketch(), Sketch(), Sketch())
        sums = found[key]
        if quantity == _RUNS:
            sums.runs = n
            continue
        spread = dict(zip(buckets, counted, strict=True))
        sketch = Sketch(n, min(total, _LARGEST), least, most, None, spread)
        if quantity == _DURATIONS:
            sums.runs = n if kind == TIMES else sums.runs
            sums.calls, sums.errors, sums.prompt_tokens, sums.completion_tokens = counts
            sums.duration_ms = sketch
        elif quantity == _TOKENS:
            sums.tokens = sketch
        else:
            sums.cost_usd = sketch
    of_kind = {kind: {k: v for (its, k), v in found.items() if its == kind} for kind in _KINDS}
    total = GroupBuilder("")
    for each in of_kind[TIMES].values():
        total.take_sums(each)
    return RunSums(total.sums(), *of_kind.values(), models_at)  # type: ignore[call-arg, arg-type]
