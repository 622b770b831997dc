"""Our own JSON: a trace, a line of a JSONL store, an array of traces, an answer of the service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from ..model import timestamps
from ..model.annotations import Annotation
from ..model.references import expand
from ..model.trace import AgentTrace
from .form import FoundRun, JSONForm, JSONObject, SavedRun
from .source import Source

_RUN_KEYS = ("run_id", "steps")


class _TraceReader:
    def __init__(self, source: Source) -> None:
        self._source = source

    def take(self, value: JSONObject, place: str) -> Iterable[FoundRun]:
        if not isinstance(value.get("traces"), list):
            return [self._with_annotations(trace_of(value), value, place)]
        return self._each(value["traces"], place)

    def _each(self, values: list[Any], place: str) -> Iterator[AgentTrace]:
        for number, value in enumerate(values):
            try:
                yield trace_of(value)
            except ValueError as error:
                self._source.skipped(f"{place}, entry {number}", str(error))

    def _with_annotations(self, trace: AgentTrace, value: JSONObject, place: str) -> FoundRun:
        """The run with the time of its save and its annotations, as a store's line has them."""
        if "trace" not in value:
            return trace
        annotations: list[Annotation] = []
        said = value.get("annotations")
        for number, one in enumerate(said if isinstance(said, list) else []):
            try:
                annotations.append(Annotation.from_dict({**one, "run_id": trace.run_id}))
            except (TypeError, ValueError) as error:
                self._source.skipped(f"{place}, annotation {number}", str(error))
        return SavedRun(trace, _moment_of(value.get("created_at")), annotations)

    def rest(self) -> Iterable[AgentTrace]:
        return ()


def trace_of(value: Any) -> AgentTrace:
    """The run of a JSON value: a trace, or a line of a JSONL store.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - of the data, not of a caller
    inner = value.get("trace", value)
    if not isinstance(inner, dict) or not all(key in inner for key in _RUN_KEYS):
        raise ValueError("not a run: 'run_id' or 'steps' is missing")
    try:
        return AgentTrace.from_dict(expand(inner))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a trace: {error}") from error


def _moment_of(value: object) -> datetime | None:
    try:
        return timestamps.from_text(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _recognises(value: JSONObject) -> bool:
    if isinstance(value.get("traces"), list):
        return all(isinstance(each, dict) and "steps" in each for each in value["traces"][:1])
    inner = value.get("trace", value)
    return isinstance(inner, dict) and all(key in inner for key in _RUN_KEYS)


FORM = JSONForm(
    "traces",
    "traces as JSON",
    _recognises,
    _TraceReader,
    _RUN_KEYS,
    "a JSONL store, selectools, `show --json`, `export`",
)
