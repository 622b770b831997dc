"""Which spans report a call that another span of the run reports too.

Two instrumentations at work, a client and its server, a wrapper around a call: the call is one
step, made of all its spans, and counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from .semconv import FIELDS, REQUEST_MODELS, Kind
from .span_names import tool_name_of
from .spans import SpanRecord
from .usage_attributes import reported

_PROMPT, _COMPLETION = "prompt_tokens", "completion_tokens"
_CACHED = "cache_read_tokens", "cache_write_tokens"
_MODELS = (*FIELDS[Kind.MODEL]["model"], *REQUEST_MODELS)
_RESPONSE_IDS = ("gen_ai.response.id", "llm.response.id", "ai.response.id")
_CALL_IDS = FIELDS[Kind.TOOL]["tool_call_id"]


class Reports:
    """The spans of a run that report calls, by call.

    Attributes:
        call_of: Of each span that is not a step because another reports its call: that other's id.
        wrappers: Spans around several calls, which each report themselves.
    """

    def __init__(self, records: Iterable[SpanRecord], kinds: Mapping[str, Kind]) -> None:
        self.call_of: dict[str, str] = {}
        self.wrappers: set[str] = set()
        self._records = {record.span_id: record for record in records}
        self._kinds = kinds
        self._find_nested_models()
        self._find_nested_tools()
        self._find_siblings()

    def also(self) -> dict[str, list[SpanRecord]]:
        """The further spans of each call that has some, by the id of its step's span."""
        found: dict[str, list[SpanRecord]] = defaultdict(list)
        for span_id in self.call_of:
            found[self.step_of(span_id)].append(self._records[span_id])
        return found

    def step_of(self, span_id: str) -> str:
        """The span that is the step of this one's call."""
        while span_id in self.call_of:
            span_id = self.call_of[span_id]
        return span_id

    def around(self, record: SpanRecord, *through: Kind) -> SpanRecord | None:
        """The nearest span around this one that is not of these kinds."""
        at = self._records.get(record.parent_span_id or "")
        left = len(self._records)  # spans of a mistaken sender may be inside of each other
        while at is not None and self._kinds[at.span_id] in through and left:
            at = self._records.get(at.parent_span_id or "")
            left -= 1
        return at if left else None

    def _find_nested_models(self) -> None:
        inner: dict[str, list[SpanRecord]] = defaultdict(list)
        models = [r for r in self._records.values() if self._kinds[r.span_id] is Kind.MODEL]
        for record in models:
            outer = self.around(record, Kind.OTHER)
            if outer is None or outer is record:
                continue
            if self._kinds[outer.span_id] is Kind.MODEL:
                inner[outer.span_id].append(record)
        if not inner:
            return
        for outer in reversed(models):  # what is inside comes before what is around it
            calls = self._calls(inner.pop(outer.span_id, []), inner)
            if calls and outer.span_id not in self.call_of:
                self._tell_apart(outer, calls, inner)

    def _tell_apart(
        self, outer: SpanRecord, calls: list[SpanRecord], inner: dict[str, list[SpanRecord]]
    ) -> None:
        """Whether a span around model calls is one of them, or only around them."""
        tells = reported(outer.attributes, _PROMPT) is not None
        inner_tell = any(reported(call.attributes, _PROMPT) is not None for call in calls)
        if tells or (len(calls) == 1 and not inner_tell):
            self.call_of |= dict.fromkeys((call.span_id for call in calls), outer.span_id)
            return
        inner[outer.span_id] = calls  # what is around it is around them
        if len(calls) == 1:
            self.call_of[outer.span_id] = calls[0].span_id
        else:
            self.wrappers.add(outer.span_id)

    def _calls(
        self, spans: list[SpanRecord], inner: Mapping[str, list[SpanRecord]]
    ) -> list[SpanRecord]:
        """The spans, and for those that are only around calls these."""
        found: list[SpanRecord] = []
        for span in spans:
            wraps = span.span_id in self.wrappers or span.span_id in self.call_of
            found += inner.get(span.span_id, []) if wraps else [span]
        return found

    def _find_nested_tools(self) -> None:
        for record in self._records.values():  # parents come first
            if self._kinds[record.span_id] is not Kind.TOOL:
                continue
            outer = self.around(record, Kind.OTHER)
            if outer is None or outer is record or self._kinds[outer.span_id] is not Kind.TOOL:
                continue
            name = tool_name_of(record)
            first = self._records[self.step_of(outer.span_id)]
            if first is not record and (name is None or name == tool_name_of(first)):
                self.call_of[record.span_id] = first.span_id

    def _find_siblings(self) -> None:
        families: dict[tuple[str | None, Kind], list[SpanRecord]] = defaultdict(list)
        for record in self._records.values():
            kind = self._kinds[record.span_id]
            if kind in {Kind.MODEL, Kind.TOOL} and not self._is_part(record.span_id):
                around = self.around(record, Kind.OTHER)
                families[around.span_id if around else None, kind].append(record)
        for (_, kind), family in families.items():
            if len({_reporter(record) for record in family}) > 1:
                self._join(family, kind)

    def _is_part(self, span_id: str) -> bool:
        return span_id in self.call_of or span_id in self.wrappers

    def _join(self, family: list[SpanRecord], kind: Kind) -> None:
        """Of spans side by side, those of one call are put together."""
        calls: list[list[SpanRecord]] = []
        for record in sorted(family, key=lambda record: (record.start_ns, record.span_id)):
            fitting = [call for call in calls if _is_same_call(call, record, kind)]
            if fitting:
                nearest = min(fitting, key=lambda call: _distance(call[0], record))
                nearest.append(record)
            else:
                calls.append([record])
        for call in calls:
            # The first that reports tokens has the most to say.
            first = next((r for r in call if reported(r.attributes, _PROMPT) is not None), call[0])
            self.call_of |= {r.span_id: first.span_id for r in call if r is not first}


def _is_same_call(call: list[SpanRecord], record: SpanRecord, kind: Kind) -> bool:
    if any(_reporter(each) == _reporter(record) for each in call):
        return False
    same = _same_model_call if kind is Kind.MODEL else _same_tool_call
    return all(_overlap(each, record) > 0 and same(each, record) for each in call)


def _reporter(record: SpanRecord) -> tuple[str, bool]:
    """Who made the span: one instrumentation reports a call once."""
    return record.scope, "openinference.span.kind" in record.attributes


def _overlap(one: SpanRecord, other: SpanRecord) -> int:
    return min(one.end_ns, other.end_ns) - max(one.start_ns, other.start_ns)


def _mostly_overlap(one: SpanRecord, other: SpanRecord) -> bool:
    shorter = min(one.end_ns - one.start_ns, other.end_ns - other.start_ns)
    return _overlap(one, other) * 2 >= shorter


def _distance(one: SpanRecord, other: SpanRecord) -> tuple[bool, int]:
    differ = _differ(reported(one.attributes, _COMPLETION), reported(other.attributes, _COMPLETION))
    apart = abs(one.start_ns - other.start_ns) + abs(one.end_ns - other.end_ns)
    return differ, apart


def _same_model_call(one: SpanRecord, other: SpanRecord) -> bool:
    ids = _first(one, _RESPONSE_IDS), _first(other, _RESPONSE_IDS)
    if None not in ids:
        return bool(ids[0] == ids[1])
    if not _fit(_models(one), _models(other)):
        return False
    prompts = _prompts(one), _prompts(other)
    if all(prompts):
        return not prompts[0].isdisjoint(prompts[1])
    return _mostly_overlap(one, other)


def _same_tool_call(one: SpanRecord, other: SpanRecord) -> bool:
    if tool_name_of(one) != tool_name_of(other):
        return False
    ids = _first(one, _CALL_IDS), _first(other, _CALL_IDS)
    return bool(ids[0] == ids[1]) if None not in ids else _mostly_overlap(one, other)


def _prompts(record: SpanRecord) -> set[int]:
    """How many tokens the prompt had, with and without what was cached: that differs."""
    prompt = reported(record.attributes, _PROMPT)
    if prompt is None:
        return set()
    read, written = (reported(record.attributes, name) or 0 for name in _CACHED)
    return {prompt, prompt + read, prompt + written, prompt + read + written}


def _models(record: SpanRecord) -> set[str]:
    found = (record.attributes.get(name) for name in _MODELS)
    return {value.rpartition("/")[2] for value in found if isinstance(value, str) and value}


def _fit(some: set[str], others: set[str]) -> bool:
    """Whether they can be names of one model: ``gpt-4o`` and ``gpt-4o-2024-08-06``."""
    return (
        not some
        or not others
        or any(a.startswith(b) or b.startswith(a) for a in some for b in others)
    )


def _first(record: SpanRecord, names: tuple[str, ...]) -> Any:
    return next((record.attributes[name] for name in names if record.attributes.get(name)), None)


def _differ(one: Any, other: Any) -> bool:
    return one is not None and other is not None and one != other
