"""A run put together of spans that have come and of what is stored of it."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import msgspec

from ...model.annotations import Annotation
from ...model.codec import LARGE, EncodedTrace, JSONChange, decode, encode
from ...model.limits import LimitError
from ...model.trace import AgentTrace
from .evaluations import evaluates, evaluations_of
from .from_spans import OtherSpans, run_of
from .span_lots import lots_of, spans_of
from .span_tree import Group, grouped
from .spans import SpanRecord
from .to_spans import Additions, spans_to_join

# More of one run are not stored: each further one would cost as much as all of them together.
MOST_SPANS = 100_000


class JoinedRun(NamedTuple):
    """What came of it.

    Attributes:
        run: The run.
        spans: How many there were to be put together.
        said: What its new spans say of it.
        unread: Why others of what they say could not be read.
    """

    run: AgentTrace | EncodedTrace
    spans: int
    said: list[Annotation]
    unread: list[str]


class Join(msgspec.Struct):
    """What a run is put together of, next to what is stored of it.

    Attributes:
        run_id: The run.
        spans: Those that have come.
        begins: Whether they are a run if nothing is stored of it.
        earlier: Those that were stored under another id before the run's own was known.
        gone: Ids of spans of the run that have been moved to another.
        other_spans: What becomes of spans that are not of the GenAI conventions.
    """

    run_id: str
    spans: list[SpanRecord]
    other_spans: OtherSpans
    begins: bool = False
    earlier: list[SpanRecord] = []
    gone: frozenset[str] = frozenset()

    def joined(self, stored: StoredSpans | None) -> JoinedRun | None:
        """The run; None if there is nothing to change, or it would have too many spans.

        All spans are given away with it: not two forms of a long run are to be in memory.

        Args:
            stored: What is stored of it; likewise.
        """
        if stored is None and not self.begins:
            return None
        records, additions = ([], Additions({}, {})) if stored is None else stored
        left = [record for record in records if record.span_id not in self.gone]
        if self.gone and len(left) in {0, len(records)}:
            return None
        if left and len({span.span_id for span in [*left, *self.spans]}) > MOST_SPANS:
            return None
        count = len(left) + len(self.spans)
        together = [*self.earlier, *left, *self.spans]
        judging = [span for span in self.spans if evaluates(span)]
        self.earlier, self.spans = [], []
        for others in (records, left):
            others.clear()
        run = additions.added_to(self._whole(together))
        unread: list[str] = []
        return JoinedRun(run, count, evaluations_of(judging, run, unread.append), unread)

    def _whole(self, records: list[SpanRecord]) -> AgentTrace:
        """The run that these spans are; of two with one id, the later counts.

        Args:
            records: The spans; emptied, as the earlier of two take as much memory as the later.
        """
        groups = grouped(records)
        records.clear()
        whole = next((each for each in groups if each.run_id == self.run_id), groups[-1])
        if len(groups) > 1:
            # Spans that were in this run before it was known where they belong stay until then.
            others = [r for each in groups if each is not whole for r in each.records]
            whole = Group(whole.trace_id, [*whole.records, *others], whole.root)
            del groups, others
        return run_of(whole, other_spans=self.other_spans, is_given_away=True)


StoredSpans: TypeAlias = tuple[list[SpanRecord], Additions]
"""The spans of a stored run, and what else it has."""


def _spans_in(stored: AgentTrace) -> StoredSpans:
    """What is stored, which is given away: its steps take as much memory as its spans."""
    found = spans_to_join(stored)
    stored.steps = []
    return found


class PackedJoin(msgspec.Struct, frozen=True):
    """A `Join` on its way to another process; to pack it holds nobody up for long.

    Attributes:
        rest: All of it but the spans.
        earlier: How many of the spans are earlier ones.
        lots: The spans.
    """

    rest: Join
    earlier: int
    lots: list[bytes]

    @classmethod
    def of(cls, join: Join) -> PackedJoin:
        rest = msgspec.structs.replace(join, spans=[], earlier=[])
        lots = map(pickle.dumps, lots_of([*join.earlier, *join.spans]))
        return cls(rest, len(join.earlier), list(lots))

    @property
    def size(self) -> int:
        """The bytes of its spans."""
        return sum(map(len, self.lots))

    def joined(self, stored: bytes | None) -> JoinedRun | None:
        """`Join.joined` with the JSON of a run.

        Raises:
            ValueError: It is none.
        """
        there = None if stored is None else _spans_in(decode(stored))
        return self._unpacked().joined(there)

    def _unpacked(self) -> Join:
        """What was packed; not before it is needed, as a long run is read meanwhile."""
        spans = list(spans_of(pickle.loads(lot) for lot in self.lots))  # noqa: S301 - our own
        earlier, new = spans[: self.earlier], spans[self.earlier :]
        return msgspec.structs.replace(self.rest, earlier=earlier, spans=new)


JoinsElsewhere: TypeAlias = Callable[[PackedJoin, bytes | None], JoinedRun | None]
"""Does what `Join.joined` does with a run's JSON where it holds no event loop up. Raises a
`LimitError` if it takes too much, a `TraceStoreError` if what comes of it cannot be stored."""

_ATTEMPTS = 5


class RunChange(JSONChange):
    """Puts a run together as a change of the store, or what is large of it before that.

    Args:
        join: What it is put together of.
        elsewhere: Where that is done if it is large.

    Attributes:
        joined: What came of it.
        is_behind: Another run is stored than the one that it was put together with.
    """

    def __init__(self, join: Join, elsewhere: JoinsElsewhere | None = None) -> None:
        self.joined: JoinedRun | None = None
        self.is_behind = False
        self._join = join
        self._elsewhere = elsewhere
        self._packed = None if elsewhere is None else PackedJoin.of(join)
        self._seen: list[bytes] = []  # a digest: it need not be kept until it is saved
        self._stored: bytes | None = None
        self._attempts = 0

    def __call__(self, stored: object) -> AgentTrace | EncodedTrace | None:
        join = msgspec.structs.replace(self._join)  # it may be asked for again
        self.joined = join.joined(None if stored is None else _spans_in(as_trace(stored)))
        return None if self.joined is None else self.joined.run

    def takes_json(self, stored: bytes | None) -> bool:
        """Whether it is large; but what others change again and again is done here in the end."""
        self.is_behind = False
        size = 0 if self._packed is None else self._packed.size + len(stored or b"")
        return size >= LARGE and self._attempts < _ATTEMPTS

    def of_json(self, stored: bytes | None) -> EncodedTrace | None:
        """What was made of it; None if that is yet to be done."""
        seen = [b"" if stored is None else hashlib.blake2b(stored).digest()]
        self.is_behind = self._seen != seen
        self._seen = seen
        if self.is_behind or self.joined is None:
            self._stored = stored if self.is_behind else None
            return None
        return encode(self.joined.run)

    def catch_up(self) -> None:
        """Put it together with what was stored when it was looked at.

        Raises:
            LimitError: It would become too much.
            TraceStoreError: What comes of it cannot be stored.
        """
        if self._packed is None or self._elsewhere is None:
            return
        self._attempts += 1
        stored, self._stored = self._stored, None
        try:
            self.joined = self._elsewhere(self._packed, stored)
        except LimitError:
            raise
        except ValueError:  # it cannot be read, and a store that gives it out says so
            self._attempts = _ATTEMPTS


def as_trace(stored: object) -> AgentTrace:
    """A loaded run; a store with `trace_type` gives another class."""
    return stored if isinstance(stored, AgentTrace) else decode(encode(stored).trace)
