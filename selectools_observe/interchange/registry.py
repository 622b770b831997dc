"""Which forms of file can be imported, and the one of a file: its content tells, not its name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import TypeAlias

from ..backends.files.file_kind import SQLITE_MAGIC, packer_of
from ..backends.files.private_files import check_regular
from ..errors import InvalidTraceError
from ..model.limits import Limits, check_run
from ..model.trace import AgentTrace
from .form import BinaryForm, FoundRun, JSONForm, JSONObject, JSONReader, SavedRun
from .json_documents import Document, documents
from .parquet_files import is_parquet
from .parquet_files import rows as parquet_rows
from .source import (
    IMPORT_LIMITS,
    STANDARD_INPUT,
    Judged,
    Progress,
    Skipped,
    Source,
    ignore_progress,
    ignore_skipped,
)
from .sqlite_files import tables_of

Form: TypeAlias = BinaryForm | JSONForm

# Asked in this order.
_BINARY = ("store_database", "llm_database", "inspect_log:ARCHIVE_FORM", "parquet_files")
_JSON = (
    "trace_files", "otlp_files", "claude_code", "codex", "inspect_log", "langfuse", "langsmith",
    "mlflow", "console_spans", "phoenix_frames", "jaeger",
)  # fmt: skip
_MOST_HELD_BACK = 10_000
_SNIFFED = 16
_LOOKED_AT = 4096  # bytes of what is not JSON, for keys that tell what it may be
_KEY = re.compile(r'"(\w+)"\s*:')


class UnknownFormError(ValueError):
    """A file is of no known form.

    Attributes:
        path: The file.
        reason: What it is instead, and which known form comes nearest.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def binary_forms() -> list[BinaryForm]:
    """The forms that are not text."""
    return [form for name in _BINARY if isinstance(form := _form(name), BinaryForm)]


def json_forms() -> list[JSONForm]:
    """The forms that are JSON."""
    return [form for name in _JSON if isinstance(form := _form(name), JSONForm)]


def forms() -> list[Form]:
    """All forms that can be imported."""
    return [*binary_forms(), *json_forms()]


def _form(place: str) -> Form:
    module, _, name = place.partition(":")
    form: Form = getattr(import_module(f".{module}", __package__), name or "FORM")
    return form


def read_runs(
    path: str | os.PathLike[str],
    *,
    skipped: Skipped = ignore_skipped,
    progress: Progress = ignore_progress,
    limits: Limits = IMPORT_LIMITS,
) -> Iterator[AgentTrace]:
    """The runs of a file of any known form, in bounded memory; reading it again gives the same ids.

    Args:
        path: The file, packed with gzip or not; ``-`` is standard input, which must be JSON.
        skipped: Called with the place of what cannot be imported, and why.
        progress: Called with how much is read, and how much there is in all.
        limits: What is taken of a JSON value and of a run; what is larger is skipped.

    Raises:
        UnknownFormError: The file is of no known form; the text names the nearest.
        StorageError: It is a database that cannot be read, or a pipe or device.
        ModuleNotFoundError: The form needs an extra; the text has the command that installs it.
        OSError: The file cannot be read.
    """
    for run in read_saved_runs(path, skipped=skipped, progress=progress, limits=limits):
        yield run.trace


def read_saved_runs(
    path: str | os.PathLike[str],
    *,
    skipped: Skipped = ignore_skipped,
    progress: Progress = ignore_progress,
    limits: Limits = IMPORT_LIMITS,
    judged: Judged | None = None,
) -> Iterator[SavedRun]:
    """`read_runs`, and what files say besides: times of saving, annotations.

    Args:
        path: As in `read_runs`; so are the others.
        skipped: Called with the place and the reason.
        progress: Called with how much is read.
        limits: What is taken.
        judged: Called with what the file says of runs that are not in it, such as an export of
            feedback alone; `JudgementSaver` keeps it. None: it is skipped.
    """
    source = Source(os.fspath(path), skipped, progress, judged, limits)
    for run in _runs_of(source, limits):
        saved = run if isinstance(run, SavedRun) else SavedRun(run)
        try:
            check_run(saved.trace, limits)
        except InvalidTraceError as error:
            skipped(source.path, str(error))
        else:
            yield saved


def _runs_of(source: Source, limits: Limits) -> Iterator[FoundRun]:
    if source.path != STANDARD_INPUT:
        check_regular(source.path, remedy="Give the path of a file, or - for what is piped in")
        for form in binary_forms():
            if form.recognises(source.path):
                yield from form.read(source)
                return
        if is_parquet(source.path):
            yield from _JSONRuns(source).of_rows(parquet_rows(source))
            return
        _refuse_binary(source)
    with source.lines() as lines:
        yield from _JSONRuns(source).runs(lines, limits)


def _refuse_binary(source: Source) -> None:
    """Name what a file is that is of no known form and is not text either."""
    start = source.first_bytes(_SNIFFED)
    if start.startswith(SQLITE_MAGIC):
        tables = sorted(tables_of(source.path))
        what, near = f"an SQLite database with the tables {_listed(tables[:8])}", "an SQLite store"
    else:
        packer = packer_of(start)
        if packer in {None, "gzip"}:  # the source unpacks gzip
            return
        what = "a zip archive" if packer == "zip" else f"a file packed with {packer}"
        near = "JSON"
    known = [form for form in binary_forms() if form.keys]
    listed = "; ".join(f"{form.title} has {_listed(list(form.keys))}" for form in known)
    raise UnknownFormError(source.path, f"{what} of no known form, nearest {near}: {listed}")


class _JSONRuns:
    """Hands the objects of a file to the readers of their forms."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._forms = json_forms()
        self._readers: dict[str, JSONReader] = {}
        self._held_back: list[tuple[str, str]] = []  # until something is recognised
        self._unknown: JSONObject | None = None

    def runs(self, lines: Iterable[bytes], limits: Limits) -> Iterator[FoundRun]:
        for document in documents(lines, limits):
            yield from self._of_document(document)
        yield from self._rest()

    def of_rows(self, rows: Iterator[JSONObject]) -> Iterator[FoundRun]:
        try:
            for number, row in enumerate(rows):
                yield from self._of_value(row, f"{self._source.path}, row {number}")
        except ValueError as error:
            if not self._readers:
                raise UnknownFormError(self._source.path, str(error)) from error
            self._source.skipped(self._source.path, str(error))
        yield from self._rest()

    def _rest(self) -> Iterator[FoundRun]:
        for reader in self._readers.values():
            yield from reader.rest()
        if self._held_back and not self._readers:
            raise UnknownFormError(self._source.path, self._refusal())
        self._tell_held_back()

    def _of_document(self, document: Document) -> Iterator[FoundRun]:
        place, value, problem = document
        place = f"{self._source.path}, {place}"
        if problem is not None:
            self._skip(place, problem)
        elif isinstance(value, list):
            for number, each in enumerate(value):
                where = f"{place}, entry {number}" if len(value) > 1 else place
                yield from self._of_value(each, where)
        else:
            yield from self._of_value(value, place)

    def _of_value(self, value: object, place: str) -> Iterator[FoundRun]:
        if not isinstance(value, dict):
            self._skip(place, "it is not a JSON object")
            return
        form = next((form for form in self._forms if form.recognises(value)), None)
        if form is None:
            self._unknown = self._unknown or value
            self._skip(place, f"an object of no known form: {_nearest(value, self._forms)}")
            return
        if self._forms[0] is not form:  # most likely the next is of the same form
            self._forms = [form, *(other for other in self._forms if other is not form)]
        reader = self._readers.get(form.name)
        if reader is None:
            reader = self._readers[form.name] = form.reader(self._source)
            self._tell_held_back()
        try:
            yield from reader.take(value, place)
        except ValueError as error:
            self._source.skipped(place, str(error))

    def _skip(self, place: str, reason: str) -> None:
        if self._readers or len(self._held_back) >= _MOST_HELD_BACK:
            self._tell_held_back()
            self._source.skipped(place, reason)
        else:
            self._held_back.append((place, reason))

    def _tell_held_back(self) -> None:
        for place, reason in self._held_back:
            self._source.skipped(place, reason)
        self._held_back = []

    def _refusal(self) -> str:
        if self._unknown is not None:
            return f"not of a known form: {_nearest(self._unknown, self._forms)}"
        start = self._source.first_bytes(_LOOKED_AT)
        if packer_of(start) == "gzip":  # what was looked at was unpacked
            start = b""
        try:
            text = start.decode()
        except UnicodeDecodeError as error:
            if error.start < len(start) - 4:  # no letter that is cut
                return "not of a known form: neither text, an SQLite database, zip nor Parquet"
            text = start[: error.start].decode()
        keys = dict.fromkeys(_KEY.findall(text))
        near = f"; {_nearest(keys, self._forms)}" if keys else ""
        return f"not of a known form: {self._held_back[0][1]}{near}"


def _nearest(value: Mapping[str, object], known: list[JSONForm]) -> str:
    """The form that shares most keys with an object, and what the object lacks of it."""
    form = max(known, key=lambda form: _shared(value, form))
    has = [key for key in form.keys if key in value]
    if not has:
        alike = {
            near
            for key in value
            for near in get_close_matches(key, _all_keys(known), 1)
            if near[:4] == key[:4]
        }
        if alike and not alike.intersection(value):
            form = max(known, key=lambda form: _shared(dict.fromkeys(alike), form))
            some = ", ".join(repr(key) for key in list(value)[:6])
            return f"the nearest is {form.title}, with {_listed(sorted(alike))} instead of {some}"
        some = ", ".join(repr(key) for key in list(value)[:6]) or "none"
        return f"its keys are {some}; see `import --help` for the forms"
    lacks = [key for key in form.keys if key not in value]
    missing = f", without {_listed(lacks)}" if lacks else " of another shape"
    return f"the nearest is {form.title}, by {_listed(has)}{missing}"


def _all_keys(known: list[JSONForm]) -> list[str]:
    return [key for form in known for key in form.keys]


def _shared(value: Mapping[str, object], form: JSONForm) -> float:
    return sum(key in value for key in form.keys) / max(len(form.keys), 1)


def _listed(keys: list[str]) -> str:
    return ", ".join(repr(key) for key in keys)
