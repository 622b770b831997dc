"""Annotations of many runs in memory: what the in-memory and the JSONL backend keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from ...model.annotations import Annotation, Latest, in_order, latest_of, stamped


class AnnotationIndex:
    """Annotations by run and id. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._by_run: dict[str, dict[str, Annotation]] = {}
        self._latest: dict[str, Latest] = {}

    def stamped(self, annotations: Sequence[Annotation], now: datetime) -> list[Annotation]:
        """The annotations, each with an id and a time after those of its run."""
        made: list[Annotation] = []
        for one in annotations:
            others = [*self._by_run.get(one.run_id, {}).values()]
            others += [other for other in made if other.run_id == one.run_id]
            made.append(stamped(one, now, others))
        return made

    def put(self, annotations: Iterable[Annotation]) -> None:
        """Add annotations, each in place of the one with its id."""
        for one in annotations:
            # One step each: a signal handler may raise in between.
            self._by_run[one.run_id] = {**self._by_run.get(one.run_id, {}), one.id: one}
            self._latest.pop(one.run_id, None)

    def ids(self, run_id: str, name: str | None, annotation_id: str | None) -> list[str]:
        """The ids of a run's annotations with this name, or of the one with this id."""
        return [
            one.id
            for one in self._by_run.get(run_id, {}).values()
            if (name is None or one.name == name)
            and (annotation_id is None or one.id == annotation_id)
        ]

    def remove(self, run_id: str, ids: Iterable[str]) -> None:
        """Remove the annotations of a run with these ids."""
        gone = set(ids)
        left = {i: one for i, one in self._by_run.get(run_id, {}).items() if i not in gone}
        if left:
            self._by_run[run_id] = left
        else:
            self._by_run.pop(run_id, None)
        self._latest.pop(run_id, None)

    def forget(self, run_id: str) -> None:
        """Remove all annotations of a run."""
        self._by_run.pop(run_id, None)
        self._latest.pop(run_id, None)

    def of(self, run_id: str) -> list[Annotation]:
        """All annotations of a run, oldest first."""
        return in_order(self._by_run.get(run_id, {}).values())

    def latest(self, run_id: str) -> Latest:
        """The newest of each name, as summaries have them."""
        if run_id not in self._by_run:
            return {}
        if run_id not in self._latest:
            self._latest[run_id] = latest_of(self._by_run[run_id].values())
        return self._latest[run_id]

    def runs(self) -> list[str]:
        """The runs that have annotations."""
        return list(self._by_run)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._by_run

    def __bool__(self) -> bool:
        return bool(self._by_run)
