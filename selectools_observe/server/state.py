"""The state that the routes of one app share."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from starlette.requests import Request

from ..analytics.conversation import Turn
from ..capture.journal.live_runs import RunningRuns
from ..model.limits import DEFAULT_LIMITS, Limits
from ..model.trace import AgentTrace
from ..protocols import AsyncQueryableTraceStore
from .entrance import Codes, Guesses
from .event_hub import Hub
from .otlp_ingest import Telemetry
from .request_body import Held
from .shared_answers import SharedAnswers

_FEW_PARTS = 500  # steps or turns: a run with fewer is read again as quickly
_RUNS_KEPT = 2

Kept = TypeVar("Kept")


class Recent(Generic[Kept]):
    """What was made of the large runs that were looked at last: a page asks part by part."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, Kept]] = OrderedDict()

    def get(self, run_id: str, version: str) -> Kept | None:
        """What is kept of this version of a run."""
        kept = self._kept.get(run_id)
        if kept is None or kept[0] != version:
            return None
        self._kept.move_to_end(run_id)
        return kept[1]

    def keep(self, run_id: str, version: str, made: Kept, size: int) -> None:
        """Keep it if it has many parts."""
        if size < _FEW_PARTS:
            return
        self._kept[run_id] = version, made
        self._kept.move_to_end(run_id)
        while len(self._kept) > _RUNS_KEPT:
            self._kept.popitem(last=False)


@dataclass
class State:
    """What the routes of one app share.

    Attributes:
        store: The store, as an async one.
        hub: Who tells of new runs.
        telemetry: Who takes OpenTelemetry spans.
        token: What a client must know.
        read_only: Whether nothing may change it.
        max_body: The most bytes of a body, also when unpacked.
        bodies: The bodies that are in memory.
        running: The runs that are under way, by their journals.
        answers: Sums over many runs.
        limits: What a body may become.
        codes: Links that open the page once.
        guesses: Wrong tokens of late.
        recent: Large runs that were looked at lately.
        talks: Their conversations.
    """

    store: AsyncQueryableTraceStore
    hub: Hub
    telemetry: Telemetry
    token: str | None
    read_only: bool
    max_body: int
    bodies: Held
    running: RunningRuns
    answers: SharedAnswers
    limits: Limits = DEFAULT_LIMITS
    codes: Codes = field(default_factory=Codes)
    guesses: Guesses = field(default_factory=Guesses)
    recent: Recent[AgentTrace] = field(default_factory=Recent)
    talks: Recent[list[Turn]] = field(default_factory=Recent)


def state_of(request: Request) -> State:
    """The state of the app that a request is for."""
    state: State = request.app.state.shared
    return state
