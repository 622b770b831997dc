"""The columns of `FIELD_KEYS` and ``fields``: what runs are grouped by and facets count, as texts.

Python makes the texts when a run is saved, so SQL groups by just what the other stores group by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...model.codec import EncodedTrace
from ...model.group_sums import GroupSums
from ...model.groups import FIELD_KEYS, GroupCollector, texts_of
from ...model.percentiles import EXACT_UP_TO, Sketch
from ..sql.row import Row
from ..sql.terms import pack, terms_of_pair
from . import row_binary, run_sums

_SCALARS = frozenset({str, int, bool, type(None)})
# Other numbers are remembered by their texts: 0.0 and -0.0 are one key of a dictionary.
_LONG = 200  # characters; what is longer is not remembered
MOST_VALUES = 100_000
"""So many values of one key are counted."""

_BEGAN = "coalesce(started_us, created_us)"
# Orders in which SQL puts groups: in others all groups are read, and put in order here.
_VALUES = {
    "first": f"min({_BEGAN}) / 1e6",
    "last": f"max({_BEGAN}) / 1e6",
    "runs": "count()",
    "errors": "countIf(has_error = 1)",
    "tokens": "sum(toInt128(prompt_tokens) + completion_tokens)",
    "key": "text",
}
# Fractions are added up in an order of their own, so that a sum is the same each time.
_SUMS = (
    f"count(), min(({_BEGAN}, place)), max(({_BEGAN}, place)), countIf(has_error = 1), "
    "sum(toInt128(steps)), sum(toInt128(prompt_tokens)), sum(toInt128(completion_tokens)), "
    "arraySum(arraySort(groupArrayIf(cost_usd, knows_cost = 1))), "
    "arraySort(groupArray(value)) AS sorted, arraySum(sorted), "
    f"if(count() > {EXACT_UP_TO}, [sorted[1], sorted[-1]], sorted)"
)
_DURATION = run_sums.clamped("total_ms")


def packed_fields(encoded: EncodedTrace, pairs: bytes, size: int) -> bytes:
    """The texts of a run, as ``RowBinary``: those of each of `FIELD_KEYS`, and by key those of its
    models, tools and types, and of all its metadata, as `packed_metadata` gives so many.
    """
    details, facts = encoded.details, encoded.facts
    of_steps, packed = _packed_names(facts.models, facts.tool_names, facts.step_types)
    return b"".join(
        (
            *map(
                _packed_text,
                (details.session_id, details.user_id, details.agent, details.name),
            ),
            _packed_texts(list(details.tags)),
            _packed_text(details.outcome),
            row_binary.size_of(of_steps + size),
            packed,
            pairs,
        )
    )


def packed_metadata(metadata: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The terms of metadata, and its texts by key as ``RowBinary``."""
    found = [_pair(key, value) for key, value in metadata.items()]
    return b"".join([terms for terms, _ in found]), b"".join([texts for _, texts in found])


def _pair(key: str, value: Any) -> tuple[bytes, bytes]:
    kind = value.__class__
    if len(key) >= _LONG:
        return _packed_pair(key, value)
    if kind is float:
        return _remembered_number(key, repr(value))
    if kind in _SCALARS and (kind is not str or len(value) < _LONG):
        return _remembered_pair(key, value)
    return _packed_pair(key, value)


@lru_cache(maxsize=4096)  # most runs of an agent have the same
def _packed_names(
    models: frozenset[str], tools: frozenset[str], kinds: frozenset[str]
) -> tuple[int, bytes]:
    """The texts of a run's steps by key, those that there are, and how many keys they have."""
    found = [pair for pair in (("model", models), ("tool", tools), ("type", kinds)) if pair[1]]
    parts = [_packed(key) + _packed_texts(list(names)) for key, names in found]
    return len(parts), b"".join(parts)


def _packed_pair(key: str, value: object) -> tuple[bytes, bytes]:
    texts = _packed(f"metadata.{key}") + _packed_texts(texts_of(value))
    return pack(terms_of_pair(key, value)), texts


_remembered_pair = lru_cache(maxsize=16384, typed=True)(_packed_pair)


@lru_cache(maxsize=4096)
def _remembered_number(key: str, text: str) -> tuple[bytes, bytes]:
    return _packed_pair(key, float(text))


def _packed_text(text: str | None) -> bytes:
    return b"\0" if text is None else b"\1" + _packed(text)


def _packed_texts(texts: list[str]) -> bytes:
    if not texts:
        return b"\0"
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


def group_keys(rows: str, order_by: str, last: tuple[float | str, str] | None, *, most: int) -> str:
    """SQL for the first so many groups of `rows_of`, in an order, after the last of a page."""
    value = _VALUES[order_by.removeprefix("-")]
    sign, direction = ("<", "DESC") if order_by.startswith("-") else (">", "ASC")
    having = ""
    if last is not None:
        number = literal(last[0]) if isinstance(last[0], str) else f"toFloat64('{last[0]!r}')"
        having = (
            f" HAVING {value} {sign} {number} OR ({value} = {number} AND "
            f"text {sign} {literal(last[1])})"
        )
    return (
        f"SELECT text FROM ({rows}) GROUP BY text{having} "
        f"ORDER BY {value} {direction}, text {direction} LIMIT {most}"
    )


def rows_of(database: str, where: str, key: str, keys: Sequence[str] | None = None) -> str:
    """SQL for the runs that a condition names, once for each group, of those groups or of all."""
    groups = key if key in FIELD_KEYS else f"fields[{literal(key)}]"
    if keys is not None:
        wanted = f"[{', '.join(map(literal, keys))}]"
        groups = f"arrayIntersect({groups}, {wanted})" if keys else "emptyArrayString()"
    return (
        "SELECT text, place, started_us, created_us, has_error, steps, prompt_tokens, "
        f"completion_tokens, knows_cost, cost_usd, {_DURATION} "
        f"FROM {database}.traces ARRAY JOIN {groups} AS text WHERE {where}"
    )


def sums(rows: str) -> str:
    """SQL for what `add_sums` takes of the groups of `rows_of`."""
    return f"SELECT text, {_SUMS} FROM ({rows}) GROUP BY text"


def spreads(rows: str) -> str:
    """SQL for how the durations of the groups of `rows_of` are spread: the rows of `sums`, too."""
    return f"SELECT text, {run_sums.BUCKET} AS bucket, count() FROM ({rows}) GROUP BY text, bucket"


def many_of(rows: Iterable[Row]) -> list[str]:
    """The groups, of the rows of `sums`, of which it is asked how they are spread."""
    return [text_of(row[0]) for row in rows if row[1] > EXACT_UP_TO]


def add_sums(collector: GroupCollector, rows: Iterable[Row], spread: Iterable[Row]) -> None:
    """Hand the rows of `sums`, and of `spreads` for those with many runs, to a collector."""
    buckets: dict[bytes, dict[int, int]] = {}
    for text, bucket, count in spread:
        buckets.setdefault(text, {})[bucket] = count
    for text, runs, first, last, errors, *counts, cost, _, total, values in rows:
        is_many = runs > EXACT_UP_TO
        kept = None if is_many else list(values)
        spread_ms = Sketch(runs, total, values[0], values[-1], kept, buckets.get(text))
        steps, prompt, completion = counts
        of_group = GroupSums(
            runs, steps, errors, prompt, completion, Sketch(runs, cost), spread_ms, Sketch()
        )
        collector.add_sums(text_of(text), of_group, first, last)


def having(database: str, where: str) -> str:
    """SQL for how many runs have each key."""
    rows = f"FROM {database}.traces"
    keys = f"{rows} ARRAY JOIN mapKeys(fields) AS key"
    parts = [f"SELECT key, count() {keys} WHERE {where} GROUP BY key"]
    parts += [
        f"SELECT '{key}', count() {rows} WHERE {where} AND notEmpty({key}) HAVING count() > 0"
        for key in FIELD_KEYS
    ]
    return " UNION ALL ".join(parts)


def values(database: str, where: str) -> str:
    """SQL for how many runs have each value of each key."""
    rows = f"FROM {database}.traces"
    most = f"ORDER BY runs DESC, text LIMIT {MOST_VALUES + 1}"
    pairs = "mapKeys(fields) AS key, mapValues(fields) AS texts ARRAY JOIN texts AS text"
    of_fields = f"(SELECT fields {rows} WHERE {where}) ARRAY JOIN {pairs}"
    parts = [
        f"SELECT key, text, count() AS runs FROM {of_fields} GROUP BY key, text {most} BY key",
    ]
    parts += [
        f"SELECT '{key}' AS key, text, count() AS runs {rows} ARRAY JOIN {key} AS text "
        f"WHERE {where} GROUP BY text {most}"
        for key in FIELD_KEYS
    ]
    return " UNION ALL ".join(f"({part})" for part in parts)
