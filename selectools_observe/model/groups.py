"""Runs grouped by what they have in common, and which keys and values there are."""

from __future__ import annotations

import base64
import binascii
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import nlargest, nsmallest
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

from .amounts import added
from .annotation_statistics import AnnotationCollector, AnnotationStatistics
from .clock import moment_of
from .group_sums import MOST_VALUES, GroupSums, RunColumns, chosen, limited
from .json_values import dumps, json_text, loads
from .page import Page
from .percentiles import PercentileBuilder, Percentiles, Sketch
from .trace import EPOCH, MICROSECOND, TraceFacts, TraceSummary

_FIELDS = {
    "session": "session_id", "session_id": "session_id", "user": "user_id", "user_id": "user_id",
    "agent": "agent", "name": "name", "outcome": "outcome", "tag": "tags", "tags": "tags",
}  # fmt: skip
GROUP_ORDERS = ("first", "last", "runs", "errors", "tokens", "cost_usd", "total_ms", "key")
"""What groups can be ordered by, besides ``score.NAME``: the mean score of that name."""

_SCORE = "score."
FIELD_KEYS = ("session", "user", "agent", "name", "tag", "outcome")
"""What runs are grouped by that is a field of theirs, each by one of its names."""

_LABEL = "label."
_MOST_DISTINCT = 100_000  # values of one key that are counted one by one


def field_values(summary: TraceSummary) -> tuple[object, ...]:
    """What a run has of each of `FIELD_KEYS`."""
    return (
        summary.session_id,
        summary.user_id,
        summary.agent,
        summary.name,
        summary.tags,
        summary.outcome,
    )


def stored_key(by: str) -> str | None:
    """One name of what runs are grouped by: of `FIELD_KEYS`, or ``metadata.KEY``; None of labels,
    which are not told by what was saved.
    """
    if by == "label" or by.startswith(_LABEL):
        return None
    if by in _FIELDS:
        return next(key for key in FIELD_KEYS if _FIELDS[key] == _FIELDS[by])
    return f"metadata.{_metadata_key(by)}"


def field_of(key: str) -> str | None:
    """The field of a summary that has one of `FIELD_KEYS`; None of a key of the metadata."""
    return _FIELDS.get(key)


def _metadata_key(by: str) -> str:
    if by.startswith("metadata."):
        return by.removeprefix("metadata.")
    return by.removeprefix("meta.")


def group_values(summary: TraceSummary, by: str) -> Iterator[str]:
    """The groups that a run is in: of an array, one for each of its values.

    Args:
        summary: The run.
        by: ``session``, ``user``, ``agent``, ``name``, ``outcome``, ``tag``, ``label`` or
            ``label.NAME`` (of annotations), or a metadata key; ``meta.KEY`` for a key that is one
            of those words.
    """
    if by == "label" or by.startswith(_LABEL):
        for one in summary.annotations.values():
            if one.label is not None and by in {"label", f"{_LABEL}{one.name}"}:
                yield one.label
        return
    if by in _FIELDS:
        value = getattr(summary, _FIELDS[by])
    else:
        value = summary.metadata.get(_metadata_key(by))
    yield from texts_of(value)


def texts_of(value: object) -> list[str]:
    """The groups that a value of a field or of the metadata puts a run into."""
    if value is None:
        return []
    if value.__class__ is str:
        return [value]
    return [
        one if isinstance(one, str) else json_text(one)
        for one in (value if isinstance(value, list) else [value])
        if one is not None
    ]


class TraceGroup(msgspec.Struct, frozen=True):
    """Runs that have something in common.

    Attributes:
        key: What it is; a value that is not a text, as JSON.
        runs: How many there are.
        errors: How many of them have an error.
        first_at: When the first began, aware.
        last_at: When the last began.
        prompt_tokens: Tokens sent to models.
        completion_tokens: Tokens that models wrote.
        cost_usd: What they cost, US dollars.
        total_ms: How the runs' durations are spread, milliseconds.
        first_input: What was asked of the first.
        last_output: What the last answered.
        annotations: By name, what the newest annotations of these runs say together.
    """

    key: str
    runs: int
    errors: int
    first_at: datetime
    last_at: datetime
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    total_ms: Percentiles
    first_input: str | None = None
    last_output: str | None = None
    annotations: dict[str, AnnotationStatistics] = {}


class GroupPage(Page[TraceGroup]):
    """Groups in order, and in ``next_cursor`` where the next page begins."""


Run: TypeAlias = TraceSummary | int
"""A run, or the id of one, by which its summary can be had."""


class _GroupBuilder:
    def __init__(self, key: str) -> None:
        self.key = key
        self.runs = self.errors = self.prompt_tokens = self.completion_tokens = 0
        self.cost_usd = 0.0
        self.total_ms = PercentileBuilder()
        # When it began, which of two that began at once was saved first, and the run.
        self.first: tuple[int, int, Run] | None = None
        self.last: tuple[int, int, Run] | None = None
        self.annotations = AnnotationCollector()

    def add(self, summary: TraceSummary, place: int) -> None:
        self.annotations.add(summary.annotations)
        self.runs += 1
        self.errors += summary.has_error
        self.prompt_tokens += summary.prompt_tokens
        self.completion_tokens += summary.completion_tokens
        self.cost_usd += summary.cost_usd or 0.0
        self.total_ms.add(summary.total_ms)
        self._note((moment_of(summary, "started_at"), place, summary))

    def add_run_at(
        self, runs: RunColumns, place: int, began_us: Sequence[int], ids: Sequence[int]
    ) -> None:
        self.runs += 1
        self.errors += runs.errors[place]
        self.prompt_tokens += runs.prompt_tokens[place]
        self.completion_tokens += runs.completion_tokens[place]
        cost = runs.costs[place]
        if cost == cost:  # noqa: PLR0124 - known
            self.cost_usd += cost
        self.total_ms.add(runs.total_ms[place])
        row_id = ids[place]
        self._note((began_us[place], row_id, row_id))

    def add_runs(self, runs: RunColumns, began_us: Sequence[int], ids: Sequence[int]) -> None:
        self.runs += len(ids)
        self.errors += sum(runs.errors)
        self.prompt_tokens += sum(runs.prompt_tokens)
        self.completion_tokens += sum(runs.completion_tokens)
        known = [cost for cost in runs.costs if cost == cost]  # noqa: PLR0124 - a number
        self.cost_usd += added(known)
        self.total_ms.extend(runs.total_ms)
        pairs = list(zip(began_us, ids, strict=True))
        for began, row_id in {min(pairs), max(pairs)}:
            self._note((began, row_id, row_id))

    def add_sums(self, sums: GroupSums, first: tuple[int, int], last: tuple[int, int]) -> None:
        self.runs += sums.runs
        self.errors += sums.errors
        self.prompt_tokens += sums.prompt_tokens
        self.completion_tokens += sums.completion_tokens
        self.cost_usd += sums.cost_usd.total
        self.total_ms.add_sketch(sums.duration_ms)
        for began, row_id in (first, last):
            self._note((began, row_id, row_id))

    def _note(self, run: tuple[int, int, Run]) -> None:
        if self.first is None or run[:2] < self.first[:2]:
            self.first = run
        if self.last is None or run[:2] > self.last[:2]:
            self.last = run

    @property
    def edges(self) -> tuple[tuple[int, int, Run], tuple[int, int, Run]]:
        """The first and the last run."""
        assert self.first is not None  # noqa: S101 - a group has runs
        assert self.last is not None  # noqa: S101
        return self.first, self.last

    def sums(self) -> GroupSums:
        return GroupSums(
            self.runs,
            0,
            self.errors,
            limited(self.prompt_tokens),
            limited(self.completion_tokens),
            Sketch(self.runs, self.cost_usd),
            self.total_ms.sketch(MOST_VALUES),
            Sketch(),
        )

    def built(self, summaries: Mapping[int, TraceSummary]) -> TraceGroup:
        first, last = self.edges
        first_run, last_run = _summary_of(first[2], summaries), _summary_of(last[2], summaries)
        return TraceGroup(
            self.key,
            self.runs,
            self.errors,
            EPOCH + first[0] * MICROSECOND,
            EPOCH + last[0] * MICROSECOND,
            limited(self.prompt_tokens),
            limited(self.completion_tokens),
            self.cost_usd,
            self.total_ms.spread(),
            None if first_run is None else first_run.input,
            None if last_run is None else last_run.output,
            self.annotations.result(),
        )


def _summary_of(run: Run, summaries: Mapping[int, TraceSummary]) -> TraceSummary | None:
    return summaries.get(run) if isinstance(run, int) else run


class GroupCollector:
    """Takes runs, newest first, and gives pages of their groups."""

    def __init__(self, by: str) -> None:
        self.by = check_by(by)
        self._groups: dict[str, _GroupBuilder] = {}
        self._taken = 0

    def add(self, summary: TraceSummary, place: int | None = None) -> None:
        """Count a run with each of its groups.

        Args:
            summary: The run.
            place: A number that grows in the order of saving, if runs come in another.
        """
        self._taken += 1
        for key in dict.fromkeys(group_values(summary, self.by)):
            self._group(key).add(summary, -self._taken if place is None else place)

    def add_runs(
        self,
        runs: RunColumns,
        began_us: Sequence[int],
        ids: Sequence[int],
        values: Mapping[str, Sequence[int]],
    ) -> None:
        """Count many runs, but what was said of them.

        Args:
            runs: What `add` takes of each.
            began_us: When each began, or was saved, in microseconds since 1970.
            ids: The id of each, which grows in the order of saving.
            values: At which places in these columns each value is.
        """
        for key, places in values.items():
            group = self._group(key)
            if len(places) == 1:
                group.add_run_at(runs, places[0], began_us, ids)
            else:
                group.add_runs(runs.at(places), chosen(began_us, places), chosen(ids, places))

    def add_sums(
        self, key: str, sums: GroupSums, first: tuple[int, int], last: tuple[int, int]
    ) -> None:
        """Count all runs of a group, but what was said of them.

        Args:
            key: The group's.
            sums: What they add up to.
            first: When the first began, in microseconds since 1970, and its id.
            last: The same of the last.
        """
        self._group(key).add_sums(sums, first, last)

    def sums(self) -> Iterator[tuple[str, GroupSums, tuple[int, int], tuple[int, int]]]:
        """What `add_sums` takes of each group."""
        for key, group in self._groups.items():
            first, last = group.edges
            yield key, group.sums(), first[:2], last[:2]

    def add_annotations(self, summary: TraceSummary) -> None:
        """Count what was said of a run, as far as its groups were counted among many."""
        for key in dict.fromkeys(group_values(summary, self.by)):
            if key in self._groups:
                self._groups[key].annotations.add(summary.annotations)

    def _group(self, key: str) -> _GroupBuilder:
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = _GroupBuilder(key)
        return found

    def __len__(self) -> int:
        return len(self._groups)

    @staticmethod
    def is_after_cursor(
        by: str, order_by: str, cursor: str | None
    ) -> Callable[[float | str, str], bool]:
        """Whether a group comes after the page that a cursor was given with.

        Raises:
            ValueError: It is not a cursor of these groups.
        """
        if cursor is None:
            return lambda _value, _key: True
        last = read_cursor(cursor, by, order_by)
        if order_by.startswith("-"):
            return lambda value, key: (value, key) < last
        return lambda value, key: (value, key) > last

    def page(
        self,
        order_by: str,
        limit: int,
        cursor: str | None,
        summaries_of: Callable[[list[int]], Mapping[int, TraceSummary]] | None = None,
    ) -> GroupPage:
        """So many groups in this order, after the cursor's.

        Args:
            order_by: The order.
            limit: How many groups.
            cursor: The end of the page before.
            summaries_of: Gives the summaries of ids that `add_runs` was given.
        """
        check_group_order(order_by)
        descending = order_by.startswith("-")
        keyed = [(_sort_key(group, order_by), group) for group in self._groups.values()]
        if cursor is not None:
            is_after = self.is_after_cursor(self.by, order_by, cursor)
            keyed = [pair for pair in keyed if is_after(*pair[0])]
        find = nlargest if descending else nsmallest
        page = find(limit, keyed, key=itemgetter(0))
        more = len(keyed) > limit and bool(page)
        edges = [run for _, group in page for *_, run in group.edges]
        ids = [run for run in edges if isinstance(run, int)]
        summaries = summaries_of(ids) if ids and summaries_of is not None else {}
        return GroupPage(
            [group.built(summaries) for _, group in page],
            _write_cursor(self.by, order_by, page[-1][0]) if more else None,
        )


def check_by(by: object) -> str:
    """Refuse what runs cannot be grouped by.

    Raises:
        TypeError: It is not a text.
        ValueError: It is empty.
    """
    if not isinstance(by, str):
        raise TypeError(f"by must be a string, not {type(by).__name__}: {by!r:.80}")
    if not by:
        raise ValueError(f"runs are grouped by {', '.join(_FIELDS)} or a metadata key, not by ''")
    return by


def check_group_order(order_by: str) -> None:
    """Refuse an order that there is not.

    Raises:
        ValueError: There is not.
    """
    name = order_by.removeprefix("-")
    is_score = name.startswith(_SCORE) and name != _SCORE
    if name not in GROUP_ORDERS and not is_score:
        raise ValueError(
            f"groups are ordered by {', '.join(GROUP_ORDERS)} or score.NAME, with - before it for "
            f"descending, not by {order_by!r:.80}"
        )


def _sort_key(group: _GroupBuilder, order_by: str) -> tuple[float | str, str]:
    name = order_by.removeprefix("-")
    if name.startswith(_SCORE):
        return _mean_score(group, name.removeprefix(_SCORE), order_by), group.key
    first, last = group.edges
    values: dict[str, float | str] = {
        "first": first[0] / 1e6,
        "last": last[0] / 1e6,
        "runs": group.runs,
        "errors": group.errors,
        "tokens": limited(group.prompt_tokens) + limited(group.completion_tokens),
        "cost_usd": group.cost_usd,
        "total_ms": group.total_ms.total,
        "key": group.key,
    }
    return values[name], group.key


def _mean_score(group: _GroupBuilder, name: str, order_by: str) -> float:
    """The mean of a group's scores; a group without one comes last either way."""
    told = group.annotations.result().get(name)
    if told is None or not told.score.count:
        return -sys.float_info.max if order_by.startswith("-") else sys.float_info.max
    return told.score.mean


def _write_cursor(by: str, order_by: str, key: tuple[float | str, str]) -> str:
    data = dumps([by, order_by, *key])
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def read_cursor(cursor: str, by: str, order_by: str) -> tuple[float | str, str]:
    """What the last group of a page was ordered by, and its key.

    Raises:
        ValueError: It is not a cursor of these groups.
    """
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        found_by, found_order, value, key = msgspec.convert(
            loads(data), tuple[str, str, float | str, str]
        )
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        found_by, found_order, value, key = "", "", 0.0, ""
    if (found_by, found_order) != (by, order_by):
        raise ValueError(
            f"not a cursor of these groups: {cursor!r:.80}. Pass a page's next_cursor as it is"
        )
    return value, key


class FacetValues(msgspec.Struct, frozen=True):
    """The values of a key.

    Attributes:
        runs: How many runs have it.
        values: Values and how many runs have each, most first; one that is not a text, as JSON.
        is_complete: Whether these are all.
    """

    runs: int
    values: list[tuple[str, int]] = []
    is_complete: bool = True


class TraceFacets(msgspec.Struct, frozen=True):
    """Which keys and values there are.

    Attributes:
        runs: How many runs were looked at.
        fields: The values of ``model``, ``tool``, ``type``, ``session``, ``user``, ``agent``,
            ``name``, ``tag``, ``outcome`` and ``label``.
        metadata: The values of each metadata key.
    """

    runs: int
    fields: dict[str, FacetValues] = {}
    metadata: dict[str, FacetValues] = {}


_FACET_FIELDS = (*FIELD_KEYS, "label")


class FacetCollector:
    """Takes runs and says which keys and values there are."""

    def __init__(self) -> None:
        self._runs = 0
        self._having: Counter[tuple[str, str]] = Counter()
        self._values: dict[tuple[str, str], Counter[str]] = {}
        self._is_capped: set[tuple[str, str]] = set()

    def add(self, summary: TraceSummary, facts: TraceFacts | None) -> None:
        """Count a run."""
        self._runs += 1
        for name in _FACET_FIELDS:
            self._count(("", name), group_values(summary, name))
        for key in summary.metadata:
            self._count(("metadata", key), group_values(summary, f"metadata.{key}"))
        if facts is not None:
            for name, found in (
                ("model", facts.models), ("tool", facts.tool_names), ("type", facts.step_types),
            ):  # fmt: skip
                self._count(("", name), found)

    def add_counts(self, runs: int, counts: Iterable[tuple[str, int, Mapping[str, int]]]) -> None:
        """Count many runs, but their labels.

        Args:
            runs: How many.
            counts: Of each field, and of each key of the metadata as ``metadata.KEY``: how many of
                the runs have it, and how many have each of its values.
        """
        self._runs += runs
        for name, having, values in counts:
            is_metadata = name.startswith("metadata.")
            key = ("metadata" if is_metadata else "", name.removeprefix("metadata."))
            self._having[key] += having
            kept = self._values.setdefault(key, Counter())
            if len(kept) >= _MOST_DISTINCT:
                self._is_capped.add(key)
                kept.update({text: count for text, count in values.items() if text in kept})
            else:
                kept.update(values)

    def counts(self) -> tuple[int, list[tuple[str, int, dict[str, int]]]]:
        """What `add_counts` takes of the runs that were counted here."""
        return self._runs, [
            (f"metadata.{name}" if kind else name, self._having[kind, name], dict(values))
            for (kind, name), values in self._values.items()
        ]

    def add_labels(self, summary: TraceSummary) -> None:
        """Count the labels of a run that was counted among many."""
        self._count(("", "label"), group_values(summary, "label"))

    def _count(self, key: tuple[str, str], found: Iterable[str]) -> None:
        texts = set(found)
        if not texts and key[0] == "":
            return
        self._having[key] += 1
        values = self._values.setdefault(key, Counter())
        if len(values) >= _MOST_DISTINCT:
            self._is_capped.add(key)
            texts = {text for text in texts if text in values}
        values.update(texts)

    def result(self, most: int) -> TraceFacets:
        """What was counted, this many values of each key."""
        fields: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        for key, counts in sorted(self._values.items()):
            ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            complete = len(ordered) <= most and key not in self._is_capped
            reported = FacetValues(self._having[key], ordered[:most], complete)
            (metadata if key[0] else fields)[key[1]] = reported
        return TraceFacets(self._runs, fields, metadata)
