"""Stored runs for other programs: JSON lines, a table, an OpenTelemetry endpoint."""

from __future__ import annotations

import csv
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, NamedTuple, TypeVar

from ..errors import CorruptTraceError
from ..model.annotations import Annotation
from ..model.codec import stored_json
from ..model.filters import TraceFilter
from ..model.json_values import dumps, json_text
from ..model.trace import AgentTrace, TraceSummary
from ..protocols import QueryableTraceStore

log = logging.getLogger(__name__)

T = TypeVar("T")


class Saved(NamedTuple):
    """A stored run.

    Attributes:
        summary: Its summary.
        trace: The run.
        annotations: Its annotations, oldest first.
    """

    summary: TraceSummary
    trace: AgentTrace
    annotations: Sequence[Annotation] = ()

    @property
    def created_at(self) -> datetime:
        """When it was saved."""
        return self.summary.created_at


_STEPS_AT_ONCE = 2_000  # of the runs that are read together, but for one
_SUMMARIES_AT_ONCE = 256
_COLUMNS = (
    "run_id", "created_at", "steps", "total_ms", "prompt_tokens", "completion_tokens", "cost_usd",
    "has_error", "name", "outcome", "session_id", "user_id", "agent", "tags", "started_at",
    "wall_ms", "input", "output", "metadata", "annotations",
)  # fmt: skip
# What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def saved_runs(
    store: QueryableTraceStore,
    filters: TraceFilter | None = None,
    skipped: Callable[[CorruptTraceError], None] = log.warning,
) -> Iterator[Saved]:
    """All runs that match, oldest first; what cannot be read is told, or logged.

    Args:
        store: Where they are.
        filters: Which runs; all if None.
        skipped: Told of each run that cannot be read.
    """
    summaries = store.iter_summaries(filters, oldest_first=True)
    for some in in_batches(summaries, _SUMMARIES_AT_ONCE, _STEPS_AT_ONCE, _steps_of):
        ids = [summary.run_id for summary in some]
        try:
            traces = store.load_many(ids)
        except CorruptTraceError:
            traces = _one_by_one(store, ids, skipped)
        judged = [summary.run_id for summary in some if summary.annotations]
        annotations = store.annotations_of(judged) if judged else {}
        for summary in some:
            run_id = summary.run_id
            if run_id in traces:
                yield Saved(summary, traces[run_id], annotations.get(run_id, ()))


def _steps_of(summary: TraceSummary) -> int:
    return summary.steps


def in_batches(
    items: Iterable[T], most: int, most_steps: int, steps_of: Callable[[T], int]
) -> Iterator[list[T]]:
    """The items in lists, each ended by so many items or so many steps."""
    batch: list[T] = []
    steps = 0
    for item in items:
        batch.append(item)
        steps += steps_of(item)
        if len(batch) >= most or steps >= most_steps:
            yield batch
            batch, steps = [], 0
    if batch:
        yield batch


def _one_by_one(
    store: QueryableTraceStore, run_ids: Iterable[str], skipped: Callable[[CorruptTraceError], None]
) -> dict[str, AgentTrace]:
    found: dict[str, AgentTrace] = {}
    for run_id in run_ids:
        try:
            found |= store.load_many([run_id])
        except CorruptTraceError as error:
            skipped(error)
    return found


def jsonl_lines(runs: Iterable[Saved]) -> Iterator[bytes]:
    """The lines of a JSONL store's file, with the times of the saves.

    The annotations of a run are in its line: a store keeps them in a file of its own.
    """
    for summary, trace, said in runs:
        head = {
            "run_id": summary.run_id,
            "steps": summary.steps,
            "total_ms": summary.total_ms,
            "created_at": summary.created_at.isoformat(timespec="microseconds"),
            "metadata": summary.metadata,
        }
        parts = [dumps(head)[:-1], b',"trace":', stored_json(trace)]
        if said:
            parts += [b',"annotations":', dumps([one.to_dict() for one in said])]
        yield b"".join((*parts, b"}\n"))


def send(runs: Iterable[Saved], endpoint: str) -> int:
    """Send runs to an OpenTelemetry endpoint; how many.

    Raises:
        ImportError: The extra ``otel`` is not installed.
        OtlpExportError: The endpoint refused, or cannot be reached.
        ValueError: It is no URL.
    """
    from ..integrations.opentelemetry import export_otlp  # noqa: PLC0415 - an extra

    return export_otlp(runs, endpoint)


def check_endpoint(endpoint: str) -> None:
    """Refuse what `send` would refuse, before a run is read.

    Raises:
        ImportError: The extra ``otel`` is not installed.
        ValueError: It is no URL of HTTP.
    """
    from ..integrations.opentelemetry.otlp_exporter import endpoint_of  # noqa: PLC0415 - an extra

    endpoint_of(endpoint)


def csv_lines(runs: Iterable[Saved]) -> Iterator[bytes]:
    """A table for spreadsheets. A text that one would take for a formula gets an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for summary, *_ in runs:
        cells = summary.to_dict()
        for name in ("metadata", "tags", "annotations"):
            cells[name] = json_text(cells[name])
        writer.writerow([_harmless(cells[name]) for name in _COLUMNS])
        yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode("utf-8", "backslashreplace")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is whole, and not at all if it never is."""
    folder = os.path.dirname(os.path.abspath(path))
    descriptor, made = tempfile.mkstemp(prefix=".export-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # It stays the user's alone, as it was made, unless the file that it replaces was not.
        if os.path.isfile(path) and not os.path.islink(path):
            os.chmod(made, os.stat(path).st_mode & 0o666)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
