"""What each span of a run is for it: a step, a part of one, or neither; and whose time is whose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from .reported_twice import Reports
from .semconv import Kind
from .span_names import node_name_of
from .span_steps import Place, kind_of
from .span_tree import Group
from .spans import SpanRecord
from .usage_attributes import reported

_TOKENS = ("prompt_tokens", "completion_tokens")


class Outline:
    """The spans of a run by what they are for it.

    Args:
        group: The run's spans.
        steps: Which spans become steps if no other reports the same call; the ids.

    Attributes:
        kinds: Each span's kind.
        steps: The spans that become steps, as ids.
        places: Where each span is.
    """

    def __init__(
        self, group: Group, *, other_spans: bool, marked: Collection[str], bare: Collection[str]
    ) -> None:
        records = group.records
        self.kinds = {record.span_id: kind_of(record) for record in records}
        self._group = group
        self._reports = Reports(records, self.kinds)
        parts = self._reports.call_of.keys() | self._reports.wrappers
        self.steps = {
            record.span_id
            for record in records
            if record.span_id in marked
            or not (
                record.span_id in bare
                or record.span_id in parts
                or (self.kinds[record.span_id] is Kind.OTHER and not other_spans)
                or record.partial
                or (record is group.root and self.is_the_run(record))
            )
        }
        self.places = {record.span_id: Place() for record in records}
        self._around = self._nearest_steps()
        self._name_nodes()
        self._share_time()
        self._find_usage()
        for span_id, also in self._reports.also().items():
            self.places[span_id].also = also
        # Whoever makes steps of the spans lets go of one after the other.
        del self._group, self._reports, self._around

    def is_the_run(self, root: SpanRecord) -> bool:
        """Whether a root is the run itself and no step of it, as a lone model call is."""
        return self.kinds[root.span_id] in {Kind.NODE, Kind.OTHER}

    def _nearest_steps(self) -> dict[str, str | None]:
        """The step, or the root, that each span is directly inside of."""
        found: dict[str, str | None] = {}
        for record in self._group.records:  # parents come first
            at = record.parent_span_id
            if at is None or at not in self.places or at == record.span_id:
                found[record.span_id] = None
            elif at in self.steps or at not in found:
                found[record.span_id] = at if at in self.steps else None
            else:
                # What is inside one of two reports of a call is inside that call.
                step = self._reports.step_of(at)
                inside = step not in {at, record.span_id} and found.get(step) == found[at]
                found[record.span_id] = step if inside and step in self.steps else found[at]
        return found

    def _name_nodes(self) -> None:
        names: dict[str, str | None] = {}
        for record in self._group.records:
            around = names.get(record.parent_span_id or "")
            kind = self.kinds[record.span_id]
            is_node = kind is Kind.NODE
            names[record.span_id] = node_name_of(record, kind) if is_node else around
            self.places[record.span_id].node_name = around

    def _share_time(self) -> None:
        """Give each step the time that no step inside it takes."""
        inside: dict[str, list[SpanRecord]] = defaultdict(list)
        root = self._group.root
        for record in self._group.records:
            if record.span_id in self.steps:
                around = self._around[record.span_id]
                if around is None and root is not None and record is not root:
                    around = root.span_id
                if around is not None:
                    inside[around].append(record)
        for record in self._group.records:
            self.places[record.span_id].own_ns = _own_ns(record, inside.get(record.span_id, ()))

    def _reports_usage(self, record: SpanRecord) -> bool:
        """Whether it is an agent or a chain that reports tokens or costs."""
        if self.kinds[record.span_id] is not Kind.NODE:
            return False
        return any(reported(record.attributes, each) for each in (*_TOKENS, "cost_usd"))

    def _find_usage(self) -> None:
        """Where an agent or a chain reports what nothing inside it does."""
        if not any(self._reports_usage(record) for record in self._group.records):
            return  # as in most runs
        telling: dict[str, tuple[bool, bool, bool]] = {}
        for record in reversed(self._group.records):  # what is inside comes first
            tokens, cost, calls = telling.pop(record.span_id, (False, False, False))
            kind, place = self.kinds[record.span_id], self.places[record.span_id]
            reports_tokens = any(reported(record.attributes, each) for each in _TOKENS)
            reports_cost = bool(reported(record.attributes, "cost_usd"))
            place.calls = calls
            if kind is Kind.NODE:
                place.tokens = reports_tokens and not tokens
                place.cost = reports_cost and not cost
            calls = calls or (kind is Kind.MODEL and record.span_id in self.steps)
            calls = calls or (place.tokens and not place.calls)
            if record.parent_span_id is not None:
                above = telling.get(record.parent_span_id, (False, False, False))
                mine = (tokens or reports_tokens, cost or reports_cost, calls)
                telling[record.parent_span_id] = (
                    above[0] or mine[0],
                    above[1] or mine[1],
                    above[2] or mine[2],
                )


def _own_ns(record: SpanRecord, inside: Collection[SpanRecord]) -> int:
    """The span's time that none of these covers."""
    own, at = 0, record.start_ns
    for child in sorted(inside, key=lambda child: (child.start_ns, child.end_ns)):
        own += max(min(child.start_ns, record.end_ns) - at, 0)
        at = max(at, child.end_ns)
    return own + max(record.end_ns - at, 0)
