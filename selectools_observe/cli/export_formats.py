"""The formats of exported runs, and how a file name selects one."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import IO, Literal, TypeAlias

from ..backends.files.file_kind import ENDINGS
from ..interchange.exports import Saved, csv_lines, jsonl_lines

Format: TypeAlias = Literal["jsonl", "csv", "html"]
FORMATS: dict[Format, tuple[str, ...]] = {
    "jsonl": tuple(ending for ending, kind in ENDINGS.items() if kind == "jsonl"),
    "csv": (".csv",),
    "html": (".html", ".htm"),
}
"""The formats, and the endings of file names that mean them."""


def write(form: Format, runs: Iterable[Saved], file: IO[bytes]) -> None:
    """Write runs to a file as other programs, or people, read them."""
    if form == "html":
        from ..server.static_export import write_standalone_html  # noqa: PLC0415 - only for this

        write_standalone_html(runs, codecs.getwriter("utf-8")(file))
    else:
        file.writelines(jsonl_lines(runs) if form == "jsonl" else csv_lines(runs))
