"""Rounds: every probe of a group in turn, again and again, so that all share the machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.families import Family, Group, Probe
from benchmarks.settings import Settings
from benchmarks.workers import FailedError, GoneError, Worker, Workers

_FEWEST_ROUNDS = 2


@dataclass
class Measurement:
    """What a probe gave: one dictionary a round, or the reason why it gave none."""

    probe: Probe
    family: str
    samples: list[dict[str, float]] = field(default_factory=list)
    problem: str = ""
    opened: bool = False

    def values(self, metric: str) -> list[float]:
        return [sample[metric] for sample in self.samples if metric in sample]


class Runner:
    """Runs families within the time budget of the settings."""

    def __init__(self, workers: Workers, settings: Settings) -> None:
        self._workers, self._settings = workers, settings
        self._started = time.monotonic()
        self._groups_done = 0
        self.measurements: dict[str, Measurement] = {}

    def run(self, families: list[Family]) -> None:
        """Measure everything; what fails is recorded and the rest goes on."""
        total = sum(len(family.groups(self._settings)) for family in families)
        for family in families:
            for group in family.groups(self._settings):
                self._groups_done += 1
                self._group(family, group, self._groups_done / total)
            self._workers.end()

    def _group(self, family: Family, group: Group, share: float) -> None:
        measured = [Measurement(probe, family.key) for probe in group.probes]
        self.measurements.update({one.probe.key: one for one in measured})
        if self._spent() > self._budget(1.0):
            for one in measured:
                one.problem = "left out: the time budget was used up"
            return
        _say(f"[{self._spent():5.0f} s] {family.key}: {group.title}")
        self._rounds([one for one in measured if self._opened(one)], share)
        for one in measured:
            self._close(one)

    def _rounds(self, measured: list[Measurement], share: float) -> None:
        os.sync()
        for number in range(self._settings.rounds):
            if number and self._spent() > self._budget(share if number >= _FEWEST_ROUNDS else 1.0):
                return
            for one in measured if number % 2 == 0 else reversed(measured):
                self._sample(one)

    def _spent(self) -> float:
        return time.monotonic() - self._started

    def _budget(self, share: float) -> float:
        whole = self._settings.budget_seconds
        return float("inf") if whole is None else whole * share

    def _opened(self, one: Measurement) -> bool:
        if one.probe.fresh:
            return self._try(one, lambda: self._workers.get(one.probe.peer))
        one.opened = self._try(one, lambda: self._open(self._worker(one), one.probe))
        return one.opened

    def _sample(self, one: Measurement) -> None:
        if not one.problem:
            self._try(one, lambda: one.samples.append(self._measure(one)))

    def _measure(self, one: Measurement) -> dict[str, float]:
        if not one.probe.fresh:
            return dict(self._ask(self._worker(one), "sample", one.probe))
        with self._workers.fresh(one.probe.peer) as worker:
            self._open(worker, one.probe)
            return dict(self._ask(worker, "sample", one.probe))

    def _close(self, one: Measurement) -> None:
        if one.opened:
            self._try(one, lambda: self._ask(self._worker(one), "close", one.probe))

    def _worker(self, one: Measurement) -> Worker:
        return self._workers.get(one.probe.peer)

    def _open(self, worker: Worker, probe: Probe) -> None:
        self._ask(worker, "open", probe, probe=probe.function, options=probe.options)

    def _ask(self, worker: Worker, method: str, about: Probe, **request: Any) -> Any:
        return worker.ask(method, self._patience(), key=about.key, **request)

    def _patience(self) -> float:
        """Less when the budget is nearly gone, so that a participant that hangs cannot overrun."""
        return min(self._settings.patience_seconds, max(5.0, self._budget(1.0) - self._spent()))

    def _try(self, one: Measurement, action: Callable[[], object]) -> bool:
        try:
            action()
        except FailedError as reason:
            one.problem = one.problem or str(reason)
            if one.probe.peer not in self._workers.absent:
                _say(f"          {one.probe.key}: {reason}")
            if isinstance(reason, GoneError):
                self._workers.drop(one.probe.peer)
            return False
        return True


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
