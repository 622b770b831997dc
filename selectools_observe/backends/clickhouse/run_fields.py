"""The columns of `FIELD_KEYS` and ``fields``: what runs are grouped by and facets count, as texts.

Python makes the texts when a run is saved, so SQL groups by just what the other stores group by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias

from ...model.details import RunDetails
from ...model.group_sums import GroupSums
from ...model.groups import FIELD_KEYS, GroupCollector, texts_of
from ...model.percentiles import EXACT_UP_TO, Sketch
from ..sql.row import Row
from ..sql.terms import pack, terms_of_pair
from . import native, run_sums

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


Texts: TypeAlias = tuple[bytes, int, bytes]
"""A key of ``fields``, how many texts a run has of it, and these: packed."""
_Pair: TypeAlias = tuple[bytes, Texts]
"""The terms of an entry of the metadata, and its texts."""


def columns_of_fields(
    details: Sequence[RunDetails], texts: Sequence[Sequence[Texts]]
) -> Iterator[Sequence[bytes]]:
    """The columns of `FIELD_KEYS` and ``fields``, by the details and the texts of each run."""
    for name in ("session_id", "user_id", "agent", "name"):
        values = list(map(attrgetter(name), details))
        told = [_packed(value) for value in values if value is not None]
        yield native.sizes([value is not None for value in values]), b"".join(told)
    tags = [one.tags for one in details]
    yield native.sizes(map(len, tags)), b"".join(map(_packed, chain.from_iterable(tags)))
    yield native.sizes([1] * len(details)), b"".join([_packed(one.outcome) for one in details])
    found = list(chain.from_iterable(texts))
    yield (
        native.sizes(map(len, texts)),
        b"".join([each[0] for each in found]),
        native.sizes([each[1] for each in found]),
        b"".join([each[2] for each in found]),
    )


def pairs_of(metadata: Mapping[str, Any]) -> tuple[bytes, list[Texts]]:
    """The terms of metadata, and its texts by key."""
    found = list(map(_pair, metadata, metadata.values()))
    return b"".join([terms for terms, _ in found]), [texts for _, texts in found]


def _pair(key: str, value: Any) -> _Pair:
    kind = value.__class__
    if len(key) >= _LONG:
        return _packed_pair(key, value)
    if kind is float:
        return _remembered_number(key, repr(value))
    if kind in _SCALARS and (kind is not str or len(value) < _LONG):
        return _remembered_pair(key, value)
    return _packed_pair(key, value)


@lru_cache(maxsize=4096)  # most runs of an agent have the same
def names_of(
    models: frozenset[str], tools: frozenset[str], kinds: frozenset[str]
) -> Sequence[Texts]:
    """The texts of a run's steps by key, those that there are."""
    names = (("model", models), ("tool", tools), ("type", kinds))
    return tuple(_packed_texts(key, list(found)) for key, found in names if found)


def _packed_pair(key: str, value: object) -> _Pair:
    return pack(terms_of_pair(key, value)), _packed_texts(f"metadata.{key}", texts_of(value))


_remembered_pair = lru_cache(maxsize=16384, typed=True)(_packed_pair)


@lru_cache(maxsize=4096)
def _remembered_number(key: str, text: str) -> _Pair:
    return _packed_pair(key, float(text))


def _packed_texts(key: str, texts: list[str]) -> Texts:
    distinct = dict.fromkeys(texts)
    return _packed(key), len(distinct), b"".join(map(_packed, distinct))


def _packed(text: str) -> bytes:
    return native.text(text.encode("utf-8", "surrogatepass"))


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
