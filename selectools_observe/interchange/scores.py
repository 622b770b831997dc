"""Scores, feedback and assessments of other tools, as annotations of ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..integrations.opentelemetry.evaluations import event_of
from ..integrations.opentelemetry.spans import SpanEvent, SpanRecord
from ..model.annotations import LONGEST_NAME, Annotation, Source, check_annotation
from ..model.json_values import dumps
from .builders import seconds


class Score(NamedTuple):
    """What a tool says of a run, or of a span of one, in its own words.

    Attributes:
        id: With the tool's name before it; imported again, it replaces itself.
        name: What is judged.
        value: A number, a boolean, a word, or anything else that JSON has.
        label: The value in a word, where the tool has one beside it.
        note: Why.
        author: Who.
        source: Whether a person, a program or a model.
        when: ISO text, or seconds since the epoch.
    """

    id: str
    name: Any
    value: Any = None
    label: Any = None
    note: Any = None
    author: Any = None
    source: Source = "code"
    when: Any = None

    def annotation(self, run_id: str) -> Annotation:
        """As an annotation of a run.

        Raises:
            ValueError: No annotation can say it, or it says nothing.
            TypeError: Likewise.
        """
        number, word, text = _parts(self.value)
        label = _text(self.label) or word
        notes = [_text(self.note), text]
        if label is not None and len(label) > LONGEST_NAME:
            notes, label = [label, *notes], None
        made = Annotation(
            run_id,
            (_text(self.name) or "score")[:LONGEST_NAME],
            label,
            number,
            "\n".join(note for note in notes if note) or None,
            author=(_text(self.author) or "")[:LONGEST_NAME] or None,
            source=self.source,
            created_at=_moment(self.when),
            id=self.id[:LONGEST_NAME],
        )
        checked: Annotation = check_annotation(made)
        return checked


class Judgement(NamedTuple):
    """What a file says of a run that is not in it.

    Attributes:
        place: Where it stands.
        run_id: The run; None if only the span is known.
        span_id: The span it is about; None: the run as a whole.
        score: What it says.
    """

    place: str
    run_id: str | None
    span_id: str | None
    score: Score


def add_score(
    skipped: Callable[[str, str], None],
    place: str,
    spans: list[SpanRecord],
    span_id: str | None,
    score: Score,
) -> None:
    """Give a score to the span that it is about, or to the first as what is said of the run."""
    span = next((span for span in spans if span.span_id == span_id), None)
    try:
        said = score.annotation(spans[0].trace_id)
    except (TypeError, ValueError) as error:
        skipped(place, str(error))
        return
    home = span or spans[0]
    home.events = [*home.events, _event(said, of_run=span is None)]


def _event(said: Annotation, *, of_run: bool) -> SpanEvent:
    return event_of(said, has_place=of_run)


def _parts(value: Any) -> tuple[float | None, str | None, str | None]:
    """A value as a number, a word, and a text."""
    if isinstance(value, bool):
        return float(value), str(value).lower(), None
    if isinstance(value, int | float):
        return (value, None, None) if _is_finite(value) else (None, str(value), None)
    if value is None:
        return None, None, None
    if isinstance(value, str):
        return None, value or None, None
    return None, None, dumps(value).decode("utf-8", "backslashreplace")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return (value if isinstance(value, str) else str(value)).replace("\0", "")


def _moment(when: Any) -> datetime | None:
    if isinstance(when, datetime):
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    told = when if isinstance(when, int | float) else seconds(when)
    try:
        return None if told is None else datetime.fromtimestamp(told, UTC)
    except (OverflowError, ValueError, OSError):
        return None
