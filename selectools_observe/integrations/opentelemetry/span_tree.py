"""How spans belong together: which run, and what is inside what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from .semconv import Kind
from .span_steps import kind_of
from .spans import SpanRecord, joined


class Group(msgspec.Struct):
    """The spans of one run, as far as they are here.

    Attributes:
        trace_id: The OpenTelemetry trace.
        records: The spans, parents before children, else by their start.
        root: The span that all others are inside of; None while it has not ended.
    """

    trace_id: str
    records: list[SpanRecord]
    root: SpanRecord | None

    @property
    def run_id(self) -> str:
        """The trace id; of a part that another process began, with that part's topmost span."""
        if self.root is not None and begins_a_run(self.root):
            return f"{self.trace_id}-{self.root.span_id}"
        return self.trace_id

    @property
    def parent_run_id(self) -> str | None:
        """The run of the process that began this part."""
        return None if self.run_id == self.trace_id else self.trace_id


def grouped(records: Iterable[SpanRecord]) -> list[Group]:
    """The spans by run. Of two with the same id the later counts, with the events of both."""
    by_trace: dict[str, dict[str, SpanRecord]] = defaultdict(dict)
    for record in records:
        spans = by_trace[record.trace_id]
        spans[record.span_id] = joined(spans.get(record.span_id), record)
    return [group for spans in by_trace.values() for group in _groups(spans)]


def _groups(spans: dict[str, SpanRecord]) -> Iterator[Group]:
    children = children_of(spans.values())
    tops = [span for span in spans.values() if _is_top(span, spans)]
    remote = [span for span in tops if begins_a_run(span)]
    for top in remote:
        yield Group(top.trace_id, list(_inside(top, children)), top)
    own = [span for span in tops if not begins_a_run(span)]
    own.sort(key=lambda span: (span.partial, span.parent_span_id is not None, span.start_ns))
    records = [record for top in own for record in _inside(top, children)]
    records += _in_circles(spans, remote + own, children)
    if records:
        first = records[0]
        root = first if first.parent_span_id is None and not first.partial else None
        yield Group(records[0].trace_id, records, root)


def children_of(records: Iterable[SpanRecord]) -> dict[str, list[SpanRecord]]:
    """The spans by the id of the span they are inside of, by their start."""
    children: dict[str, list[SpanRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda record: (record.start_ns, record.end_ns)):
        if record.parent_span_id is not None and not begins_a_run(record):
            children[record.parent_span_id].append(record)
    return children


def begins_a_run(span: SpanRecord) -> bool:
    """Whether it is the topmost span of a part that another process began.

    The server's side of a tool call is not: it is one call with the client's.
    """
    return span.remote_parent and kind_of(span) is not Kind.TOOL


def _is_top(span: SpanRecord, spans: dict[str, SpanRecord]) -> bool:
    return begins_a_run(span) or span.parent_span_id not in spans


def _in_circles(
    spans: dict[str, SpanRecord], tops: list[SpanRecord], children: dict[str, list[SpanRecord]]
) -> list[SpanRecord]:
    """Spans that are inside of each other, as only a mistaken sender tells."""
    reached = {record.span_id for top in tops for record in _inside(top, children)}
    return [span for span_id, span in spans.items() if span_id not in reached]


def _inside(top: SpanRecord, children: dict[str, list[SpanRecord]]) -> Iterator[SpanRecord]:
    """The span and all inside it; not recursive: spans may be nested without end."""
    todo = [top]
    while todo:
        span = todo.pop()
        yield span
        todo += [child for child in reversed(children.get(span.span_id, ())) if child is not top]
