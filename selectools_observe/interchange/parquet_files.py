"""Runs in Parquet: a folder of files, partitioned by the day of the save, and back again.

Needs the extra ``parquet``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from ..backends.files.private_files import create, make_folder
from ..model.annotations import Annotation
from ..model.codec import decode
from ..model.limits import Limits, check_json, loads_limited
from ..model.trace import AgentTrace
from ..runtime.work_process import WorkProcess, WorkProcessError
from .exports import Saved
from .form import BinaryForm, JSONObject, SavedRun
from .parquet_reader import (
    MAGIC,
    MEMORY,
    SECONDS,
    UNPACKED,
    WORK,
    ReadColumns,
    ReadRows,
    loaded_pyarrow,
)
from .parquet_schema import batch_of, schema
from .source import Source

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_OWN = frozenset({"run_id", "trace_json"})
_ROW_GROUP_BYTES = 64 << 20  # before compression
_RUNS_AT_ONCE = 200
_KEEPS = 256 << 20  # bytes that a process that reads may have, and be used again
_idle_readers: list[WorkProcess] = []


def write_parquet(runs: Iterable[Saved], folder: str | os.PathLike[str]) -> int:
    """Write runs to a folder that is not there yet: ``day=2026-11-28/part-00000.parquet`` and on.

    Parts are numbered in the order of the runs, through all days: see `files_in`.

    The folder appears under its name when it is whole, and not at all if it never is. Memory is
    bounded by a row group, 64 MiB before compression.

    Args:
        runs: Summaries with their runs; `saved_runs` reads them from a store.
        folder: Where to.

    Returns:
        How many runs were written.

    Raises:
        FileExistsError: There is something of that name.
        ModuleNotFoundError: pyarrow is not installed; the text has the command that installs it.
        OSError: It cannot be written.
    """
    pyarrow = loaded_pyarrow()
    path = os.path.abspath(folder)
    if os.path.exists(path):
        raise FileExistsError(path)
    made = tempfile.mkdtemp(prefix=".export-", dir=os.path.dirname(path))
    try:
        with _Days(pyarrow, made) as days:
            for run in runs:
                days.add(run)
        os.rename(made, path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return days.count


class _Days:
    """Writes runs to the files of their days, one file open at a time."""

    def __init__(self, pyarrow: Any, folder: str) -> None:
        self._pyarrow = pyarrow
        self._folder = folder
        self._parts = 0
        self._day: str | None = None
        self._writer: pq.ParquetWriter | None = None
        self._runs: list[Saved] = []  # not yet columns
        self._batches: list[pa.RecordBatch] = []  # of the next row group
        self.count = 0

    def add(self, run: Saved) -> None:
        day = run.summary.created_at.date().isoformat()
        if day != self._day:
            self._finish()
            self._day = day
        self._runs.append(run)
        self.count += 1
        if len(self._runs) >= _RUNS_AT_ONCE:
            self._gather()

    def _gather(self) -> None:
        if self._runs:
            self._batches.append(batch_of(self._pyarrow, self._runs))
            self._runs = []
        if sum(batch.nbytes for batch in self._batches) >= _ROW_GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        if self._batches:
            self._writer = self._writer or self._open(str(self._day))
            table = self._pyarrow.Table.from_batches(self._batches)
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._batches = []

    def _open(self, day: str) -> pq.ParquetWriter:
        folder = os.path.join(self._folder, f"day={day}")
        make_folder(folder)
        path = os.path.join(folder, f"part-{self._parts:05}.parquet")
        self._parts += 1
        create(path)
        writer: pq.ParquetWriter = self._pyarrow.parquet.ParquetWriter(
            path, schema(self._pyarrow), compression="zstd"
        )
        return writer

    def _finish(self) -> None:
        self._gather()
        self._write()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish()
        elif self._writer is not None:
            self._writer.close()


def is_parquet(path: str) -> bool:
    """Whether a file is a Parquet file."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def rows(source: Source) -> Iterator[JSONObject]:
    """The rows of any Parquet file, for the readers of JSON.

    Raises:
        ValueError: It is damaged, or unpacks to too much.
        ModuleNotFoundError: pyarrow is not installed.
    """
    return _rows(source, None)


def _columns(path: str) -> frozenset[str]:
    try:
        (names,) = _asked(ReadColumns(path))
    except ValueError:
        return frozenset()
    return frozenset(names)


def _rows(source: Source, columns: list[str] | None) -> Iterator[JSONObject]:
    for lot in _asked(ReadRows(source.path, columns, UNPACKED)):
        yield from lot.rows
        source.progress(lot.done, lot.total)


def _asked(message: ReadColumns | ReadRows) -> Iterator[Any]:
    """What a process of its own reads: what means harm ends that one, and not this."""
    with contextlib.ExitStack() as stack:
        try:
            reader = _idle_readers.pop()
        except IndexError:
            reader = WorkProcess(WORK, seconds=SECONDS, memory=MEMORY, keeps=_KEEPS)
        stack.callback(_idle_readers.append, reader)
        answers = stack.enter_context(contextlib.closing(reader.ask(message)))
        try:
            yield from answers
        except WorkProcessError:
            raise ValueError(
                "a damaged Parquet file, or one that takes too much memory or time to read"
            ) from None


def _read(source: Source) -> Iterator[SavedRun]:
    columns = ["run_id", "trace_json"]
    there = _columns(source.path)
    columns += [name for name in ("created_at", "annotations") if name in there]
    try:
        for row in _rows(source, columns):
            yield from _run(source, row)
    except ValueError as error:
        source.skipped(source.path, str(error))


def _run(source: Source, row: JSONObject) -> Iterator[SavedRun]:
    place = f"{source.path}, run {row['run_id']!s:.80}"
    text = row["trace_json"]
    try:
        if not isinstance(text, str):
            raise ValueError("it is not text")  # noqa: TRY004, TRY301 - as what is no JSON
        encoded = text.encode()
        check_json(encoded, source.limits)
        run: AgentTrace = decode(encoded)
    except ValueError as error:
        source.skipped(place, f"trace_json is not a trace: {error}")
        return
    said: list[Annotation] = []
    for number, one in enumerate(_as_list(row.get("annotations"))):
        try:
            said.append(_annotation(one, run.run_id, source.limits))
        except (TypeError, ValueError) as error:
            source.skipped(f"{place}, annotation {number}", str(error))
    created_at = row.get("created_at")
    yield SavedRun(run, created_at if isinstance(created_at, datetime) else None, said)


def _annotation(value: object, run_id: str, limits: Limits) -> Annotation:
    fields = dict(value) if isinstance(value, dict) else {}
    text = fields.pop("exact", None) or "{}"
    exact = loads_limited(text, limits) if isinstance(text, str) else None
    if not (fields and isinstance(exact, dict)):
        raise ValueError("it is not an annotation")
    return Annotation.from_dict({**fields, **exact, "run_id": run_id})


def _as_list(value: object) -> list[Any]:
    """A list as it is; what is none, as the only one of a list."""
    return value if isinstance(value, list) else [value] if value else []


FORM = BinaryForm(
    "parquet",
    "runs in Parquet",
    lambda path: is_parquet(path) and _columns(path) >= _OWN,
    _read,
    ("run_id", "trace_json"),
    "`export --parquet`; Phoenix's and LangSmith's Parquet too",
)
