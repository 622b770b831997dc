"""The filter language: ``reward<1 -tool:think status:error latency>5s (user:ada OR user:ben)``.

Words side by side must all hold; ``OR`` stands between alternatives, ``-`` or ``NOT`` before what
must not hold, parentheses around what belongs together. ``docs/filters.md`` is its manual.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, tzinfo
from difflib import get_close_matches
from typing import Any, NamedTuple, cast

from .amounts import Number
from .conditions import (
    FIELDS_TO_HAVE,
    AllOf,
    AnnotationField,
    AnyOf,
    Bound,
    Condition,
    Contains,
    HasError,
    HasField,
    HasKey,
    IsAnnotated,
    LabelIs,
    MetadataBound,
    MetadataIs,
    Moment,
    Not,
    NumberField,
    Operator,
    RunField,
    RunIs,
    ScoreBound,
    StepField,
    StepHas,
    TimeField,
    leaves,
)
from .text_query import parse_text
from .time_expressions import FORMS, parse_time

_DEEPEST = 50  # parentheses
_LONGEST = 10_000  # characters

_TOKEN = re.compile(
    r"""
    (?P<space>\s+) | (?P<open>\() | (?P<close>\)) | (?P<minus>-(?=[^\s-]))
    | (?P<key>[^\W\d][\w.\-/]*|"[^"]+"(?=[:<>=]))(?P<sign>:?(?:>=|<=|<|>)|:=?|!=|=)
      (?P<value>"(?:[^"\\]|\\.)*(?:"|$)|[^\s()"]*)(?P<failed>!\w+)?
    | (?P<phrase>"[^"]*(?:"|$))
    | (?P<word>[^\s()"]+)
    """,
    re.VERBOSE,
)
# What is meant as "!error" ends a value; misspelt, it is no part of a tool's name either.
_FAILED_MARK = re.compile(r"(.*)(!(?:er+o*r\w*|fail\w*))", re.DOTALL | re.IGNORECASE)
_MILLISECONDS = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_COUNTS = {"": 1, "k": 1000, "m": 1_000_000}
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([a-z]*)", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|today|yesterday")

_STEP_KEYS: dict[str, StepField] = {
    "tool": "tool", "tool_name": "tool", "model": "model", "type": "type", "step_type": "type",
}  # fmt: skip
_RUN_KEYS: dict[str, RunField] = {
    "run": "run_id", "run_id": "run_id", "id": "run_id", "parent": "parent_run_id",
    "parent_run_id": "parent_run_id", "name": "name", "session": "session_id",
    "session_id": "session_id", "user": "user_id", "user_id": "user_id", "agent": "agent",
    "tag": "tags", "tags": "tags", "outcome": "outcome",
}  # fmt: skip
_NUMBER_KEYS: dict[str, NumberField] = {
    "steps": "steps", "latency": "total_ms", "duration": "total_ms", "ms": "total_ms",
    "total_ms": "total_ms", "wall": "wall_ms", "wall_ms": "wall_ms", "cost": "cost_usd",
    "cost_usd": "cost_usd", "tokens": "tokens", "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
}  # fmt: skip
_TIME_KEYS: dict[str, TimeField] = {
    "saved": "created_at", "created": "created_at", "created_at": "created_at",
    "started": "started_at", "started_at": "started_at",
}  # fmt: skip
_OTHER_KEYS = ("status", "error", "has", "since", "until", "text", "label")
_ANNOTATION_FIELDS: dict[str, AnnotationField | None] = {
    "label": "label", "score": "score", "note": "note", "annotation": None, "annotations": None,
}  # fmt: skip
_OF_ANNOTATION = re.compile(r"(score|label|note|annotation)\.(.+)", re.DOTALL)
_METADATA = re.compile(r"(?:meta|metadata)\.(.+)", re.DOTALL)

KEYS = tuple(dict.fromkeys((*_STEP_KEYS, *_RUN_KEYS, *_NUMBER_KEYS, *_TIME_KEYS, *_OTHER_KEYS)))
"""The words with a meaning of their own before a colon or a comparison; others are metadata."""

_STATUS = {
    "error": True, "failed": True, "failure": True, "yes": True, "true": True, "y": True, "1": True,
    "ok": False, "success": False, "no": False, "false": False, "n": False, "0": False,
}  # fmt: skip


class FilterSyntaxError(ValueError):
    """A filter that cannot be read: what is wrong, where, and what may have been meant.

    Attributes:
        problem: What is wrong, without the place.
        position: The index of the character at which the trouble begins.
    """

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"{problem} (at character {position + 1} of the filter)")
        self.problem = problem
        self.position = position


class _Token(NamedTuple):
    kind: str
    text: str
    position: int
    key: str = ""
    sign: str = ""
    value: str = ""
    is_quoted: bool = False
    failed: bool = False


def parse_condition(
    text: str,
    *,
    keys: Collection[str] | None = None,
    now: datetime | None = None,
    zone: tzinfo | None = None,
) -> Condition | None:
    """The condition that a filter's text means; None if it asks nothing.

    Args:
        text: The filter.
        keys: The metadata keys that runs have: another is refused. None takes any.
        now: What ``2h`` is counted from.
        zone: The zone of times that name none; else local time.

    Raises:
        FilterSyntaxError: It cannot be read, or names a key that is not known.
        TypeError: It is not a text.
    """
    if not isinstance(text, str):
        raise TypeError(f"a filter must be a text, not {type(text).__name__}")
    if len(text) > _LONGEST:
        raise FilterSyntaxError(f"a filter has at most {_LONGEST:,} characters", _LONGEST)
    parser = _Parser(text, now, zone)
    condition = parser.parse()
    if condition is not None and keys is not None:
        check_keys(condition, keys, text)
    return condition


def metadata_keys(condition: Condition | None) -> list[str]:
    """The metadata keys that a condition names, each once."""
    named = (MetadataBound, MetadataIs, HasKey)
    return list(dict.fromkeys(leaf.key for leaf in leaves(condition) if isinstance(leaf, named)))


def check_keys(condition: Condition | None, keys: Collection[str], text: str = "") -> None:
    """Refuse metadata keys that no run has.

    Raises:
        FilterSyntaxError: There is such a key; the nearest one is named.
    """
    for key in metadata_keys(condition):
        if key not in keys:
            problem = f"no run has the metadata key {key!r:.80}, and it is not a word of the filter"
            raise FilterSyntaxError(problem + _nearest(key, (*keys, *KEYS)), max(0, text.find(key)))


def lower_case_operator(condition: Condition | None) -> str | None:
    """What to say of ``a:1 or b:2``, which looks for the word ``or``; None if nothing is."""
    found = list(leaves(condition))
    if all(isinstance(leaf, Contains) for leaf in found):
        return None
    for leaf in found:
        if isinstance(leaf, Contains) and leaf.text in {"or", "and", "not"}:
            return f"{leaf.text!r} is a word to look for here: did you mean {leaf.text.upper()!r}?"
    return None


class _Parser:
    def __init__(self, text: str, now: datetime | None, zone: tzinfo | None) -> None:
        self._tokens = list(_tokens_of(text))
        self._end = len(text)
        self._at = 0
        self._depth = 0
        self._now = now
        self._zone = zone

    def parse(self) -> Condition | None:
        if not self._tokens:
            return None
        condition = self._alternatives()
        if self._at < len(self._tokens):
            raise FilterSyntaxError("a ')' without its '('", self._tokens[self._at].position)
        return condition

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _position(self) -> int:
        token = self._peek()
        return self._end if token is None else token.position

    def _alternatives(self) -> Condition:
        parts = [self._row()]
        while self._is_word("OR"):
            self._at += 1
            parts.append(self._row())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _row(self) -> Condition:
        parts: list[Condition] = []
        while (token := self._peek()) is not None and token.kind != "close":
            if self._is_word("OR"):
                break
            if self._is_word("AND") and parts:
                self._at += 1
                continue
            parts.append(self._negatable())
        if not parts:
            raise FilterSyntaxError("a condition is missing here", self._position())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _is_word(self, word: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "word" and token.text == word

    def _negatable(self) -> Condition:
        is_negated = False
        while (token := self._peek()) and (token.kind == "minus" or self._is_word("NOT")):
            is_negated = not is_negated
            self._at += 1
        part = self._one()
        return Not(part) if is_negated else part

    def _one(self) -> Condition:
        token = self._peek()
        if token is None or token.kind == "close":
            raise FilterSyntaxError("a condition is missing here", self._position())
        self._at += 1
        if token.kind == "open":
            return self._in_parentheses(token)
        try:
            return self._condition_of(token)
        except FilterSyntaxError:
            raise
        except ValueError as error:
            raise FilterSyntaxError(str(error), token.position) from error

    def _in_parentheses(self, token: _Token) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise FilterSyntaxError(f"more than {_DEEPEST} parentheses", token.position)
        inside = self._alternatives()
        if self._peek() is None:
            raise FilterSyntaxError("this '(' is never closed", token.position)
        self._at += 1
        self._depth -= 1
        return inside

    def _condition_of(self, token: _Token) -> Condition:
        if token.kind in {"word", "phrase"}:
            text = token.text if token.kind == "phrase" else token.text.rstrip("*")
            parse_text(text)
            return Contains(text)
        if token.sign == "!=":
            return Not(self._compared(token._replace(sign="=")))
        return self._compared(token)

    def _compared(self, token: _Token) -> Condition:
        key = token.key.lower()
        _check_value(key, token)
        if key in _NUMBER_KEYS:
            return _bound(_NUMBER_KEYS[key], token)
        if key in _TIME_KEYS or key in {"since", "until"}:
            return self._moment(key, token)
        if token.key.startswith("score.") and token.key != "score.":
            return _score_bound(token)
        if _is_comparison(token.sign):
            return _metadata_bound(token)
        if key in _STEP_KEYS:
            return StepHas(_STEP_KEYS[key], token.value, token.failed)
        return _of_the_run(key, token)

    def _moment(self, key: str, token: _Token) -> Condition:
        sign, field = token.sign.lstrip(":") or "=", _TIME_KEYS.get(key, "created_at")
        if key in {"since", "until"}:
            if _is_comparison(token.sign):
                raise ValueError(f"{key} takes a time: {key}:2h")
            sign = ">=" if key == "since" else "<="
        begin, end = (
            parse_time(token.value, end_of_day=at_end, now=self._now, zone=self._zone)
            for at_end in (False, True)
        )
        if sign == "=":
            if not _DAY.fullmatch(token.value.lower()):
                raise ValueError(
                    f"{token.key} takes a day, or a comparison with one of {FORMS}: {token.key}>2h"
                )
            return AllOf((Moment(field, ">=", begin), Moment(field, "<=", end)))
        return Moment(field, cast("Operator", sign), begin if sign in {">=", "<"} else end)


def _tokens_of(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:  # a quote in the midst of a word
            raise FilterSyntaxError("unexpected text", at)
        at = found.end()
        kind = found.lastgroup or ""
        if found["key"] is not None:
            yield _keyed(found)
        elif kind != "space":
            yield _Token(kind, found[0], found.start())


def _keyed(found: re.Match[str]) -> _Token:
    value, failed = found["value"], found["failed"]
    is_quoted = value.startswith('"')
    if not is_quoted and failed is None and (marked := _FAILED_MARK.fullmatch(value)):
        value, failed = marked.groups()
    if failed is not None and failed not in {"!error", "!failed"}:
        known = f"{failed} is not known here: write !error"
        raise FilterSyntaxError(f"{known}, or quote the whole value", found.start())
    key = found["key"].strip('"')
    value = _unquoted(value) if is_quoted else value
    return _Token(
        "key", found[0], found.start(), key, found["sign"], value, is_quoted, failed is not None
    )


def _unquoted(value: str) -> str:
    closed = len(value) > 1 and value.endswith('"') and not re.search(r'(?<!\\)(\\\\)*\\"$', value)
    try:
        return str(json.loads(value if closed else f'{value}"', strict=False))
    except ValueError:
        return value.strip('"')


def _check_value(key: str, token: _Token) -> None:
    if not token.value and not token.is_quoted:
        raise ValueError(f"a value is missing after {token.key}{token.sign}")
    if token.failed and key not in _STEP_KEYS:
        raise ValueError("only tool, model and type can be followed by !error")


def _of_the_run(key: str, token: _Token) -> Condition:
    if key in _RUN_KEYS:
        return RunIs(_RUN_KEYS[key], token.value)
    if key == "text":
        parse_text(token.value)
        return Contains(f'"{token.value}"' if token.is_quoted else token.value)
    if key in {"status", "error"}:
        failed = _one_of(token.key, token.value.lower(), _STATUS)
        return HasError() if _STATUS[failed] else Not(HasError())
    if key == "label":
        return LabelIs(token.value)
    named = _OF_ANNOTATION.fullmatch(token.key)
    if named is not None and named[1] == "label":
        return LabelIs(token.value, named[2])
    return _has(token.value) if key == "has" else _metadata_is(token)


def _is_comparison(sign: str) -> bool:
    return "<" in sign or ">" in sign


def _bound(field: NumberField, token: _Token) -> Condition:
    read = _READ_NUMBER.get(field, _count)
    sign = token.sign.lstrip(":") or "="
    return Bound(field, cast("Operator", sign), read(token.value))


def _milliseconds(text: str) -> Number:
    return _with_unit(text, _MILLISECONDS, "a time such as 500ms, 5s or 2m")


def _count(text: str) -> Number:
    return _with_unit(text, _COUNTS, "a number such as 12, 10k or 1.5M")


def _dollars(text: str) -> Number:
    return _with_unit(text.strip("$"), {"": 1, "usd": 1}, "US dollars such as 0.05")


_READ_NUMBER: dict[NumberField, Callable[[str], Number]] = {
    "total_ms": _milliseconds,
    "wall_ms": _milliseconds,
    "cost_usd": _dollars,
}


def _with_unit(text: str, units: dict[str, int], wanted: str) -> Number:
    found = _NUMBER.fullmatch(text)
    if found is None or found[2].lower() not in units:
        raise ValueError(f"{text!r:.80} is not {wanted}")
    return _number(found[1]) * units[found[2].lower()]


def _number(text: str) -> Number:
    return int(text) if re.fullmatch(r"[+-]?\d{1,300}", text) else float(text)


def _score_bound(token: _Token) -> Condition:
    name, sign = token.key.removeprefix("score."), token.sign.lstrip(":") or "="
    if token.value == "*" and sign == "=":
        return IsAnnotated("score", name)
    found = _NUMBER.fullmatch(token.value)
    if found is None or found[2]:
        raise ValueError(f"{token.key} is compared with a number, not with {token.value!r:.80}")
    return ScoreBound(name, cast("Operator", sign), _number(found[1]))


def _metadata_key(token: _Token) -> str:
    named = _METADATA.fullmatch(token.key)
    return token.key if named is None else named[1]


def _metadata_bound(token: _Token) -> Condition:
    key = _metadata_key(token)
    if key.lower() in KEYS and key == token.key:
        raise ValueError(f"{key} cannot be compared: write {key}:value")
    found = _NUMBER.fullmatch(token.value)
    if found is None or found[2]:
        problem = f"{key} is compared with a number, not with {token.value!r:.80}"
        raise ValueError(problem + _nearest(key, (*_NUMBER_KEYS, *_TIME_KEYS)))
    return MetadataBound(key, cast("Operator", token.sign.lstrip(":")), _number(found[1]))


def _metadata_is(token: _Token) -> Condition:
    key, value = _metadata_key(token), token.value
    if token.is_quoted:
        return MetadataIs(key, (value,))
    if value == "*":
        return HasKey(key)
    if "*" in value:
        return MetadataIs(key, pattern=value)
    return MetadataIs(key, tuple(_readings(value)))


def _readings(value: str) -> Iterable[Any]:
    """A text that is not quoted, and the JSON value that it may be meant as."""
    yield value
    if re.fullmatch(r"true|false|null|-?\d{1,300}(\.\d+)?([eE][+-]?\d+)?", value):
        yield json.loads(value)


def _has(name: str) -> Condition:
    named = _METADATA.fullmatch(name)
    if named is not None:
        return HasKey(named[1])
    if name in _ANNOTATION_FIELDS:
        return IsAnnotated(_ANNOTATION_FIELDS[name])
    annotated = _OF_ANNOTATION.fullmatch(name)
    if annotated is not None:
        return IsAnnotated(_ANNOTATION_FIELDS[annotated[1]], annotated[2])
    field = name.removesuffix("_usd").removesuffix("_id") if name != "tag" else "tags"
    return HasField(field) if field in FIELDS_TO_HAVE else HasKey(name)


def _one_of(key: str, value: str, known: Collection[str]) -> str:
    if value not in known:
        raise ValueError(f"{key} is error or ok, not {value!r:.80}" + _nearest(value, known))
    return value


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), 1, 0.6)
    return f": did you mean {near[0]!r}?" if near else ""
