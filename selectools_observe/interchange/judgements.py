"""What files say of runs that are in other files: annotations of what the store has already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..integrations.opentelemetry.evaluations import places_of, spans_in
from ..model.annotations import Annotation
from ..model.filters import TraceFilter
from ..model.trace import AgentTrace
from ..protocols import QueryableTraceStore
from .scores import Judgement
from .source import Skipped

_AT_ONCE = 500
_ABSENT = "{} is not in the store: import it first, or together with this file"


class _Placed(NamedTuple):
    judgement: Judgement
    annotation: Annotation


class JudgementSaver:
    """Takes judgements; annotates the runs that they are about, as far as the store has them.

    Those of runs that are not there wait for `finish`: a file that comes later may hold them.

    Attributes:
        saved: How many annotations were kept.
    """

    def __init__(self, store: QueryableTraceStore, skipped: Skipped) -> None:
        self._store = store
        self._skipped = skipped
        self._waiting: list[_Placed] = []
        self._absent: list[_Placed] = []
        self._of_spans: list[_Placed] = []
        self.saved = 0

    def __call__(self, judgement: Judgement) -> None:
        """Take one."""
        try:
            placed = _Placed(judgement, judgement.score.annotation(judgement.run_id or "unknown"))
        except (TypeError, ValueError) as error:
            self._skipped(judgement.place, str(error))
            return
        (self._of_spans if judgement.run_id is None else self._waiting).append(placed)
        if len(self._waiting) >= _AT_ONCE:
            some, self._waiting = self._waiting, []
            self._absent += self._annotate(some)

    def finish(self) -> None:
        """Keep what waits; tell of what is about runs that are not there."""
        late = self._absent + self._waiting
        self._absent, self._waiting = [], []
        for start in range(0, len(late), _AT_ONCE):
            for about, _ in self._annotate(late[start : start + _AT_ONCE]):
                self._skipped(about.place, _ABSENT.format(f"run {about.run_id}"))
        self._find_spans()

    def _annotate(self, some: list[_Placed]) -> list[_Placed]:
        """Keep those about runs that are there; the others."""
        ids = {placed.judgement.run_id or "" for placed in some}
        there = {found.run_id for found in self._store.query(TraceFilter(run_ids=ids))}
        needed = {p.judgement.run_id or "" for p in some if p.judgement.span_id} & there
        runs = self._store.load_many(needed) if needed else {}
        good = [placed for placed in some if placed.judgement.run_id in there]
        self._keep(_of_step(placed, runs.get(placed.judgement.run_id or "")) for placed in good)
        return [placed for placed in some if placed.judgement.run_id not in there]

    def _find_spans(self) -> None:
        """Keep what is about spans of which nothing tells the run, in one look at all runs."""
        wanted: dict[str, list[_Placed]] = {}
        for placed in self._of_spans:
            wanted.setdefault(placed.judgement.span_id or "", []).append(placed)
        self._of_spans = []
        if wanted:
            for run in self._store.iter_traces():
                self._keep(_in_run(run, wanted))
        for left in wanted.values():
            for about, _ in left:
                self._skipped(about.place, _ABSENT.format(f"the run of span {about.span_id}"))

    def _keep(self, said: Iterable[Annotation]) -> None:
        annotations = list(said)
        if annotations:
            self.saved += len(self._store.annotate_many(annotations))


def _in_run(run: AgentTrace, wanted: dict[str, list[_Placed]]) -> Iterator[Annotation]:
    for span_id in spans_in(run) & wanted.keys():
        for placed in wanted.pop(span_id):
            yield _of_step(placed, run)


def _of_step(placed: _Placed, run: AgentTrace | None) -> Annotation:
    span_id = placed.judgement.span_id
    if run is None or span_id is None:
        return placed.annotation
    fields = placed.annotation.to_dict() | {"run_id": run.run_id}
    return Annotation.from_dict(fields | {"step": places_of(run).get(span_id)})
