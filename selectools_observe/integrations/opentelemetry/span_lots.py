"""Spans in lots that are quick to pickle and to take, for the way to another process and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from .spans import SpanRecord

_SPANS = 64


class SpanLot(msgspec.Struct):
    """Some spans, without their resources.

    Attributes:
        spans: The spans.
        sources: For each the number of its resource.
        resources: Resources that were not sent yet; many spans share one.
    """

    spans: list[SpanRecord]
    sources: list[int]
    resources: list[dict[str, Any]]


def lots_of(spans: list[SpanRecord]) -> Iterator[SpanLot]:
    """The spans in lots; they must stay as they are meanwhile.

    What is equal is one object in a lot, which is pickled once and is one object there too.
    """
    numbers: dict[int, int] = {}
    once: dict[str, str] = {}
    for at in range(0, len(spans), _SPANS):
        lot = SpanLot([], [], [])
        for span in spans[at : at + _SPANS]:
            source = id(span.resource)
            if source not in numbers:
                numbers[source] = len(numbers)
                lot.resources.append(span.resource)
            lot.sources.append(numbers[source])
            lot.spans.append(_slim(span, once))
        yield lot


def _slim(span: SpanRecord, once: dict[str, str]) -> SpanRecord:
    keys = {once.setdefault(key, key): value for key, value in span.attributes.items()}
    texts = {
        name: once.setdefault(text, text)
        for name in ("trace_id", "parent_span_id", "name", "scope", "scope_version")
        if (text := getattr(span, name))
    }
    return msgspec.structs.replace(span, resource={}, attributes=keys, **texts)


def spans_of(lots: Iterable[SpanLot]) -> Iterator[SpanRecord]:
    """The spans of all lots."""
    resources: list[dict[str, Any]] = []
    for lot in lots:
        resources += lot.resources
        for span, source in zip(lot.spans, lot.sources, strict=True):
            span.resource = resources[source]
            yield span
