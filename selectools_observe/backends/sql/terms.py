"""The words of the index: a 64-bit number for each thing that a filter can ask for.

A trace has one term for each metadata pair, step type, tool, model and tag, and for its parent,
name, session, user, agent and outcome. 64 bits of BLAKE2b: among a million traces of twenty terms,
the chance that one query meets a false match is about one in 10**12. Metadata is compared literally
as well.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from itertools import starmap
from operator import attrgetter
from typing import Any

from ...model.conditions import (
    AllOf,
    AnyOf,
    Condition,
    MetadataIs,
    RunIs,
    StepHas,
    conjuncts,
)
from ...model.details import RunDetails
from ...model.filters import TraceFilter, condition_of
from ...model.json_values import SCALARS, canonical, loads
from ...model.trace import TraceFacts

_WIDTH = 8
_LONG = 200  # characters; what is longer is not remembered
_LONG_METADATA = 512  # bytes
_METADATA, _PARENT, _TYPE, _TOOL, _MODEL = "mpyto"
_NAME, _SESSION, _USER, _AGENT, _TAG, _OUTCOME = "nsuagr"
_ARRAY = "l"  # the metadata has an array under this key
_MOST_ALTERNATIVES = 64


def terms_of(metadata: bytes, facts: TraceFacts, details: RunDetails) -> bytes:
    """All terms of a trace, packed: what the index keeps for it.

    Args:
        metadata: Its metadata, the JSON of an object.
        facts: What filters ask of its steps.
        details: What a summary says of it.
    """
    terms = _terms_of_metadata(metadata)
    for kind, name in zip(_NAMED_KINDS, _names_of(details), strict=True):
        if name is not None:
            terms.append(_term(kind, name))
    if facts.parent_run_id is not None:
        terms.append(_term(_PARENT, facts.parent_run_id))
    if details.tags:
        terms += [_term(_TAG, tag) for tag in details.tags]
    of_steps = _terms_of_steps(facts.step_types, facts.tool_names, facts.models)
    return pack(terms) + of_steps


_NAMED_KINDS = (_NAME, _SESSION, _USER, _AGENT, _OUTCOME)
_names_of = attrgetter("name", "session_id", "user_id", "agent", "outcome")


def _terms_of_metadata(metadata: bytes) -> list[int]:
    pairs: dict[str, Any] = loads(metadata)
    values = pairs.values()
    if len(metadata) < _LONG_METADATA and SCALARS.issuperset(map(type, values)):  # as most is
        return list(map(_remembered_pair, pairs, values))
    return [term for pair in pairs.items() for term in terms_of_pair(*pair)]


def terms_of_pair(key: str, value: Any) -> list[int]:
    """The terms of an entry of the metadata."""
    terms = [_pair(key, value)]
    return [*terms, _term(_ARRAY, key)] if value.__class__ is list else terms


@lru_cache(maxsize=4096)  # most runs of an agent have the same
def _terms_of_steps(
    step_types: frozenset[str], tool_names: frozenset[str], models: frozenset[str]
) -> bytes:
    terms = [_term(_TYPE, name) for name in step_types]
    terms += [_term(_TOOL, name) for name in tool_names]
    terms += [_term(_MODEL, name) for name in models]
    return pack(terms)


def wanted_terms(filters: TraceFilter) -> list[int]:
    """The terms that a trace must have to match the filter."""
    terms = list(starmap(_pair, (filters.metadata_match or {}).items()))
    for kind, name in (
        (_PARENT, filters.parent_run_id),
        (_TYPE, filters.step_type),
        (_TOOL, filters.tool_name),
        (_MODEL, filters.model),
        (_NAME, filters.name),
        (_SESSION, filters.session_id),
        (_USER, filters.user_id),
        (_AGENT, filters.agent),
        (_OUTCOME, filters.outcome),
    ):
        if name is not None:
            terms.append(_term(kind, name))
    if filters.tags is not None:
        terms += [_term(_TAG, tag) for tag in filters.tags]
    return terms


_RUN_KINDS = {
    "parent_run_id": _PARENT, "name": _NAME, "session_id": _SESSION, "user_id": _USER,
    "agent": _AGENT, "tags": _TAG, "outcome": _OUTCOME,
}  # fmt: skip
_STEP_KINDS = {"type": _TYPE, "tool": _TOOL, "model": _MODEL}


def terms_of_condition(filters: TraceFilter) -> list[int]:
    """The terms that a trace must have for the filter's ``where`` to hold; it may ask more."""
    found = map(_alternatives, conjuncts(condition_of(filters)))
    return [terms[0] for terms in found if len(terms) == 1]


def alternatives_of_condition(filters: TraceFilter) -> list[list[int]]:
    """Lists of terms of which a trace must have one each for the filter's ``where`` to hold."""
    found = map(_alternatives, conjuncts(condition_of(filters)))
    return [terms for terms in found if len(terms) > 1]


def _alternatives(part: Condition) -> list[int]:
    """Terms of which a trace must have one for a condition to hold; none if that is not known."""
    terms, _ = terms_of_leaf(part)
    match part:
        case AllOf(parts):
            terms = min(filter(None, map(_alternatives, parts)), key=len, default=[])
        case AnyOf(parts):
            every = list(map(_alternatives, parts))
            terms = [term for some in every for term in some] if all(every) else []
    return terms if len(terms) <= _MOST_ALTERNATIVES else []


def terms_of_leaf(part: Condition) -> tuple[list[int], list[int]]:
    """Terms of which a trace must have one for a condition to hold, and those that tell it does.

    None of conditions that have parts, or that terms tell nothing of.
    """
    match part:
        case StepHas(field, name, failed) if "*" not in name:
            terms = [_term(_STEP_KINDS[field], name)]
            return terms, [] if failed else terms
        case RunIs(field, name) if "*" not in name and field in _RUN_KINDS:
            terms = [_term(_RUN_KINDS[field], name)]
            return terms, terms
        case MetadataIs(key, values, None):  # the value, or an array of it
            terms = [_pair(key, value) for value in values]
            return [*terms, _term(_ARRAY, key)], terms
    return [], []


def pack(terms: Iterable[int]) -> bytes:
    """Terms one after another, eight bytes each, little-endian on every machine."""
    packed = array("q", terms)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(packed: bytes) -> array[int]:
    """The terms of a packed sequence."""
    terms = array("q")
    terms.frombytes(packed)
    if sys.byteorder == "big":
        terms.byteswap()
    return terms


def holds_all(packed: bytes, wanted: Iterable[int]) -> bool:
    """Whether a packed sequence has every wanted term."""
    return all(map(unpack(packed).__contains__, wanted))


def _pair(key: str, value: Any) -> int:
    if isinstance(value, list | dict) or (isinstance(value, str) and len(value) >= _LONG):
        return _hash(_METADATA, f"{len(key)}:{key}{canonical(value)}")
    return _remembered_pair(key, value)


@lru_cache(maxsize=16384, typed=True)
def _remembered_pair(key: str, value: float | str | None) -> int:
    return _hash(_METADATA, f"{len(key)}:{key}{canonical(value)}")


@lru_cache(maxsize=16384)
def _remembered(kind: str, text: str) -> int:
    return _hash(kind, text)


def _term(kind: str, text: str) -> int:
    # Long texts are seldom seen twice, and would fill the memory.
    return _remembered(kind, text) if len(text) < _LONG else _hash(kind, text)


def _hash(kind: str, text: str) -> int:
    # A lone surrogate has no UTF-8 form but is a value like any other.
    data = text.encode("utf-8", "surrogatepass")
    digest = blake2b(data, digest_size=_WIDTH, person=kind.encode()).digest()
    return int.from_bytes(digest, "big", signed=True)
