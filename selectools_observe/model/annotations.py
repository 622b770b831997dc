"""Annotations: what people, programs and models say of a run or of one of its steps."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, TypeAlias

import msgspec

from .json_values import dumps, loads
from .text import shortened

Source: TypeAlias = Literal["human", "code", "llm"]
SOURCES: tuple[Source, ...] = ("human", "code", "llm")
"""Who says it: a person, a program that checks, or a model that judges."""

LONGEST_NAME = 200
"""Characters of a name, a label, an author or an id."""

_MICROSECOND = timedelta(microseconds=1)


class Annotation(msgspec.Struct, frozen=True):
    """A judgement of a run or of one of its steps: a label, a score, a note, or several of these.

    Attributes:
        run_id: The run.
        name: What is judged: "quality", "tone", "resolved".
        label: A label, such as good.
        score: The judgement as a number, finite.
        note: Why, in any number of words.
        step: The step's index in the run's ``steps``, from 0; None: the whole run.
        author: Who or what judged.
        source: ``human``, ``code`` or ``llm``.
        created_at: When, aware; None until a store has taken it. Of one name the newest counts.
        id: Given by the store unless set. An annotation of the same run with the same id replaces
            the one that is there, so that adding the same ones twice adds them once.
    """

    run_id: str
    name: str
    label: str | None = None
    score: float | None = None
    note: str | None = None
    step: int | None = None
    author: str | None = None
    source: Source = "human"
    created_at: datetime | None = None
    id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what is not set is left out."""
        fields = {name: v for name, v in msgspec.structs.asdict(self).items() if v is not None}
        if self.created_at is not None:
            text = self.created_at.astimezone(UTC).isoformat(timespec="microseconds")
            fields["created_at"] = text.replace("+00:00", "Z")
        return fields

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The annotation of a dictionary made by `to_dict`; other keys are ignored.

        Raises:
            ValueError: It is not one, or says something that no annotation can.
            TypeError: A value has the wrong type.
        """
        known = {name: data[name] for name in cls.__struct_fields__ if data.get(name) is not None}
        missing = [name for name in ("run_id", "name") if name not in known]
        if missing:
            raise ValueError(f"not an annotation: it has no {missing[0]}")
        moment = known.get("created_at")
        if isinstance(moment, str):
            known["created_at"] = _moment_of(moment)
        step = known.get("step")
        if isinstance(step, float) and step.is_integer():  # as JSON may write a whole number
            known["step"] = int(step)
        made = cls(**known)
        checked: Self = check_annotation(made)
        return checked


Latest: TypeAlias = dict[str, Annotation]
"""Of each name the newest annotation."""


def check_annotation(annotation: Any) -> Any:
    """The annotation, once it is known that it can be kept.

    Raises:
        TypeError: It is not an annotation, or a field has the wrong type.
        ValueError: A field has a value that it cannot have, or nothing is said.
    """
    if not isinstance(annotation, Annotation):
        raise TypeError(f"not an Annotation: {annotation!r:.80}")
    _check_word("run_id", annotation.run_id, longest=None)
    _check_word("name", annotation.name)
    for field in ("label", "author"):
        if getattr(annotation, field) is not None:
            _check_word(field, getattr(annotation, field))
    if annotation.id:
        _check_word("id", annotation.id)
    _check_type("id", annotation.id, str, "a string")
    if annotation.note is not None:
        _check_type("note", annotation.note, str, "a string")
    _check_score(annotation.score)
    _check_step(annotation.step)
    if annotation.source not in SOURCES:
        raise ValueError(f"source is {', '.join(SOURCES)}, not {annotation.source!r:.80}")
    if annotation.label is None and annotation.score is None and not annotation.note:
        raise ValueError(f"annotation {annotation.name!r} is empty: give label, score or note")
    return msgspec.structs.replace(annotation, created_at=_utc(annotation.created_at))


def _check_type(field: str, value: object, kind: type, wanted: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{field} must be {wanted}, not {type(value).__name__}: {value!r:.80}")


def _check_word(field: str, value: str, longest: int | None = LONGEST_NAME) -> None:
    _check_type(field, value, str, "a string")
    if not value:
        raise ValueError(f"{field} must not be empty")
    if longest is not None and len(value) > longest:
        raise ValueError(f"{field} has at most {longest} characters, not {len(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{field} is not valid Unicode: {value!r:.80}") from None
    if "\0" in value and longest is not None:
        raise ValueError(f"{field} must not contain NUL: {value!r:.80}")


def _check_score(score: object) -> None:
    if score is None:
        return
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise TypeError(f"score must be a number, not {type(score).__name__}: {score!r:.80}")
    try:
        is_finite = math.isfinite(score)
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise ValueError("score must be a finite number")


def _check_step(step: object) -> None:
    if step is None:
        return
    if isinstance(step, bool) or not isinstance(step, int):
        raise TypeError(f"step must be the index of a step, not {step!r:.80}")
    if not 0 <= step < 2**31:
        raise ValueError(f"step must be the index of a step, from 0, not {step!r:.80}")


def _utc(moment: object) -> datetime | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise TypeError(f"created_at must be a datetime, not {type(moment).__name__}")
    if moment.utcoffset() is None:
        raise ValueError(f"created_at has no timezone: {moment!r}")
    return moment.astimezone(UTC)


def _moment_of(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"created_at is not a time: {text!r:.80}") from None


def stamped(annotation: Annotation, now: datetime, others: Iterable[Annotation] = ()) -> Annotation:
    """The annotation with an id, and with a time after that of the run's others if it has none.

    So the newest is known by its time, also when the clock stands still or steps back.
    """
    moment = annotation.created_at
    if moment is None:
        times = (one.created_at for one in others if one.created_at is not None)
        last = max(times, default=None)
        moment = now if last is None or last < now else last + _MICROSECOND
    return msgspec.structs.replace(
        annotation, created_at=moment, id=annotation.id or uuid.uuid4().hex
    )


def in_order(annotations: Iterable[Annotation]) -> list[Annotation]:
    """The annotations, oldest first."""
    return sorted(annotations, key=_place)


def _place(annotation: Annotation) -> tuple[datetime, str]:
    assert annotation.created_at is not None  # noqa: S101 - stores give one
    return annotation.created_at, annotation.id


def latest_of(annotations: Iterable[Annotation]) -> Latest:
    """What a summary tells of a run's annotations: the newest of each name, notes cut short.

    One about the run goes before those about its steps.
    """
    latest: Latest = {}
    for one in in_order(annotations):
        before = latest.get(one.name)
        if before is None or one.step is None or before.step is not None:
            latest[one.name] = one
    return {name: _in_summary(latest[name]) for name in sorted(latest)}


def _in_summary(annotation: Annotation) -> Annotation:
    note = shortened(annotation.note)
    return annotation if note == annotation.note else msgspec.structs.replace(annotation, note=note)


def annotation_to_bytes(annotation: Annotation) -> bytes:
    """The annotation as JSON."""
    return dumps(annotation.to_dict())


def annotation_from_bytes(data: bytes) -> Annotation:
    """What `annotation_to_bytes` wrote.

    Raises:
        ValueError: The data is something else.
    """
    try:
        return Annotation.from_dict(loads(data))
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error
