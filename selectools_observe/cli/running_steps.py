"""The steps of runs under way, shown as they end."""

from __future__ import annotations

import time

from ..backends.files.journal_file import UNFINISHED
from ..capture.journal.live_runs import RunningRun, RunningRuns
from ..errors import TraceNotFoundError
from ..model import figures
from ..model.text import one_line
from ..model.trace import AgentTrace, TraceStep
from .command_session import Session
from .exit_codes import NOTHING, OK
from .run_lookup import find_run
from .terminal import styled
from .waterfall import step_text

_INTERVAL = 0.25  # seconds between two looks
_SHORT_ID = 12


class StepFollower:
    """Prints the steps of runs under way once they are over.

    Args:
        journals: Where they are.
        session: Where they are printed.
        as_data: One JSON object a step instead of a line.
        run_id: Of this run only.
    """

    def __init__(
        self,
        journals: RunningRuns,
        session: Session,
        *,
        as_data: bool = False,
        run_id: str | None = None,
    ) -> None:
        self._journals = journals
        self._terminal = session.terminal
        self._as_data = as_data
        self._run_id = run_id
        self._shown: dict[str, set[int]] = {}

    def show_new(self) -> int:
        """Print what is new; how many steps that was."""
        runs = self._journals.all()
        alive = {run.trace.run_id for run in runs}
        self._shown = {run_id: seen for run_id, seen in self._shown.items() if run_id in alive}
        shown = sum(self._show(run) for run in reversed(runs) if self._is_wanted(run))
        self._terminal.flush()
        return shown

    def show_rest(self, trace: AgentTrace) -> None:
        """Print the steps of a run that has ended, but for those that were shown."""
        self._print(trace, self._shown.get(trace.run_id, set()))

    def _is_wanted(self, run: RunningRun) -> bool:
        return self._run_id is None or run.trace.run_id == self._run_id

    def _show(self, run: RunningRun) -> int:
        seen = self._shown.setdefault(run.trace.run_id, set())
        return self._print(run.trace, seen)

    def _print(self, trace: AgentTrace, seen: set[int]) -> int:
        new = 0
        for index, step in enumerate(trace.steps):
            if index in seen or (step.extra or {}).get(UNFINISHED) is True:
                continue
            seen.add(index)
            new += 1
            self._line(trace, index, step)
        return new

    def _line(self, trace: AgentTrace, index: int, step: TraceStep) -> None:
        if self._as_data:
            reported = {"run_id": trace.run_id, "step": index, **step.to_dict()}
            self._terminal.json(reported)
            return
        name = trace.name if isinstance(trace.name, str) else trace.run_id[:_SHORT_ID]
        line = styled(f"{one_line(name, 24)} ", "cyan").append(step_text(step, index))
        line.append(f"  {figures.duration(step.duration_ms or 0.0)}", "dim")
        if step.error:
            line.append(f"  {one_line(str(step.error), 200)}", "red")
        self._terminal.line(line)


def follow_run(session: Session, name: str) -> int:
    """Show the steps of a run until it has ended; those of one that has ended at once."""
    with session.store() as store:
        journals = RunningRuns(store)
        run_id = _running_id(journals, name)
        if run_id is None:
            run_id = find_run(store, name, session.name).run_id
        follower = StepFollower(journals, session, run_id=run_id)
        while journals.get(run_id) is not None:
            follower.show_new()
            time.sleep(_INTERVAL)
        try:
            trace = store.load(run_id)
        except TraceNotFoundError:
            session.terminal.note("the run ended and was not saved")
            return NOTHING
        follower.show_rest(trace)
    session.terminal.note("the run has ended")
    return OK


def _running_id(journals: RunningRuns, name: str) -> str | None:
    ids = [run.trace.run_id for run in journals.all()]
    if name == "@1":
        return ids[0] if ids else None
    return next((run_id for run_id in ids if run_id.startswith(name)), None)
