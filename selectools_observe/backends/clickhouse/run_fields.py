"""The column ``fields``: what runs are grouped by and what facets count, as texts by key.

Python makes the texts when a run is saved, so SQL groups by just what the other stores group by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...model.codec import EncodedTrace
from ...model.group_sums import RunColumns
from ...model.groups import FIELD_KEYS, GroupCollector, texts_of
from . import row_binary
from .driver import Row

MOST_VALUES = 100_000
"""So many values of one key are counted."""

_BEGAN = "coalesce(started_us, created_us)"
# Orders in which SQL puts groups: sums of fractions differ by the order in which they are added.
_VALUES = {
    "first": f"min({_BEGAN}) / 1e6",
    "last": f"max({_BEGAN}) / 1e6",
    "runs": "count()",
    "errors": "countIf(has_error = 1)",
    "tokens": "sum(toInt128(prompt_tokens) + completion_tokens)",
    "key": "value",
}
_COLUMNS = (
    f"place, {_BEGAN} AS began_us, steps, has_error, prompt_tokens, completion_tokens, total_ms, "
    "if(knows_cost = 1, cost_usd, nan)"
)


def packed_fields(encoded: EncodedTrace, metadata: Mapping[str, Any]) -> bytes:
    """The texts of a run by key, as ``RowBinary``: of `FIELD_KEYS`, ``model``, ``tool`` and
    ``type`` those that it has, and of the metadata all.
    """
    details, facts = encoded.details, encoded.facts
    of_run = (
        details.session_id, details.user_id, details.agent, details.name, list(details.tags),
        details.outcome,
    )  # fmt: skip
    found = [
        (key, texts_of(value))
        for key, value in zip(FIELD_KEYS, of_run, strict=True)
        if value is not None and value != []
    ]
    of_steps = (("model", facts.models), ("tool", facts.tool_names), ("type", facts.step_types))
    found += [(key, list(names)) for key, names in of_steps if names]
    found += [(f"metadata.{key}", texts_of(value)) for key, value in metadata.items()]
    packed = [row_binary.size_of(len(found))]
    for key, texts in found:
        packed += (_packed(key), _packed_texts(texts))
    return b"".join(packed)


def _packed_texts(texts: list[str]) -> bytes:
    if len(texts) == 1:
        return b"\1" + _packed(texts[0])
    distinct = dict.fromkeys(texts)
    return row_binary.size_of(len(distinct)) + b"".join(map(_packed, distinct))


def _packed(text: str) -> bytes:
    return row_binary.text(text.encode("utf-8", "surrogatepass"))


def text_of(kept: bytes) -> str:
    """A text as it was before it was packed."""
    return kept.decode("utf-8", "surrogatepass")


def literal(text: str) -> str:
    """A text as SQL, whatever is in it."""
    return f"unhex('{text.encode('utf-8', 'surrogatepass').hex()}')"


def can_order(order_by: str) -> bool:
    """Whether SQL puts groups in that order."""
    return order_by.removeprefix("-") in _VALUES


def group_keys(
    database: str,
    where: str,
    key: str,
    order_by: str,
    last: tuple[float | str, str] | None,
    *,
    most: int,
) -> str:
    """SQL for the first so many groups, in an order, after the last of the page before."""
    value = _VALUES[order_by.removeprefix("-")]
    sign, direction = ("<", "DESC") if order_by.startswith("-") else (">", "ASC")
    having = ""
    if last is not None:
        number = literal(last[0]) if isinstance(last[0], str) else f"toFloat64('{last[0]!r}')"
        having = (
            f" HAVING {value} {sign} {number} OR ({value} = {number} AND "
            f"value {sign} {literal(last[1])})"
        )
    return (
        f"SELECT value FROM {database}.traces ARRAY JOIN fields[{literal(key)}] AS value "
        f"WHERE {where} GROUP BY value{having} ORDER BY {value} {direction}, value {direction} "
        f"LIMIT {most}"
    )


def group_runs(database: str, where: str, key: str, keys: Iterable[str] | None) -> str:
    """SQL for what `add_runs` takes of the runs of those groups, or of all, newest first."""
    values = f"fields[{literal(key)}]"
    only = ""
    if keys is not None:
        wanted = ", ".join(map(literal, keys))
        only = f" AND hasAny({values}, [{wanted}])"
        values = f"arrayIntersect({values}, [{wanted}])"
    return (
        f"SELECT {_COLUMNS}, {values} AS groups FROM {database}.traces "
        f"WHERE {where}{only} AND notEmpty(groups) ORDER BY place DESC"
    )


def add_runs(collector: GroupCollector, rows: Sequence[Row]) -> None:
    """Hand the rows of `group_runs` to a collector."""
    if not rows:
        return
    places, began_us, *columns, groups = zip(*rows, strict=True)
    values: dict[bytes, list[int]] = {}
    for number, keys in enumerate(groups):
        for key in keys:
            values.setdefault(key, []).append(number)
    runs = RunColumns(*columns)
    collector.add_runs(runs, began_us, places, {text_of(key): v for key, v in values.items()})


def having(database: str, where: str) -> str:
    """SQL for how many runs have each key."""
    return (
        f"SELECT key, count() FROM {database}.traces ARRAY JOIN mapKeys(fields) AS key "
        f"WHERE {where} GROUP BY key"
    )


def values(database: str, where: str) -> str:
    """SQL for how many runs have each value of each key."""
    return (
        "SELECT key, value, count() AS runs FROM (SELECT fields FROM "
        f"{database}.traces WHERE {where}) ARRAY JOIN mapKeys(fields) AS key, "
        "mapValues(fields) AS texts ARRAY JOIN texts AS value GROUP BY key, value "
        f"ORDER BY runs DESC, value LIMIT {MOST_VALUES + 1} BY key"
    )
