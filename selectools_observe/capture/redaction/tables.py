"""Columns of secrets in tables that stand in texts: CSV, tabs, Markdown, rows below their names."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...model.json_values import loads

# A heading names columns and holds no values: words alone, parted by one of these.
_HEADING = re.compile(
    r"^[^,;\t\n]{1,99}[,;\t](?:[\"']?[^\W\d][\w .-]{0,63}[\"']?[,;\t]){0,63}"
    r"[\"']?[^\W\d][\w .-]{0,63}[\"']?[ \t\r]*$"
    r"|^[^|\n]{0,99}\|(?:[^|\n]{1,64}\|){1,64}[ \t]*$",
    re.MULTILINE,
)
_RULE = re.compile(r"[ \t]*\|[ \t:|-]+\|[ \t]*")
_QUOTES = "\"'`* \t\r"
# The same as lists of JSON: names alone, and below them a list a row.
_LONGEST = 4096
_NAMES = re.compile(
    r'(?:^|[ (])\[?[ \t]*(\[(?:[ \t]*"[^\W\d][\w .-]{0,63}"[ \t]*[,\]]){2,64}),?[ \t\r]*$'
)
_ROW = re.compile(r"[ \t]*(\[.{1,4096}\])[ \t]*[,)]?[ \t\r]*")


def redact_columns(text: str, is_secret: Callable[[str], bool], replacement: str) -> str:
    """The text with what stands in columns under the names of secrets replaced.

    Args:
        text: Any text.
        is_secret: Whether a heading is a secret's name.
        replacement: What stands for a value.
    """
    if "\n" not in text:
        return text
    lines = text.split("\n")
    _redact_lists(lines, is_secret, replacement)
    at = 0
    while at < len(lines):
        mark = _mark_of(lines[at])
        columns = _secret_columns(lines[at], mark, is_secret) if mark else []
        at += 1
        if mark is None or not columns:
            continue
        width = lines[at - 1].count(mark)
        if at < len(lines) and _RULE.fullmatch(lines[at]):
            at += 1
        while at < len(lines) and lines[at].count(mark) == width:
            cells = lines[at].split(mark)
            for column in columns:
                cells[column] = _replaced(cells[column], replacement)
            lines[at] = mark.join(cells)
            at += 1
    return "\n".join(lines)


def _redact_lists(lines: list[str], is_secret: Callable[[str], bool], replacement: str) -> None:
    width, columns = 0, list[int]()
    for at, line in enumerate(lines):
        if "[" not in line or len(line) > _LONGEST:
            columns = []
            continue
        heading = _NAMES.search(line)
        names = heading[1].strip("[] \t") if heading else ""
        secret = _secret_columns(names, ",", is_secret)
        if secret:
            width, columns = names.count(",") + 1, secret
        elif columns:
            lines[at] = _redacted_row(line, width, columns, replacement)


def _redacted_row(line: str, width: int, columns: list[int], replacement: str) -> str:
    row = _ROW.fullmatch(line)
    try:
        cells = loads(row[1].replace("]]", "]")) if row is not None else []
    except ValueError:
        return line
    if not isinstance(cells, list) or len(cells) != width:
        return line
    for column in columns:
        if isinstance(cells[column], str) and cells[column]:
            line = line.replace(cells[column], _replaced(cells[column], replacement))
    return line


def _mark_of(line: str) -> str | None:
    """What parts the columns of a heading; None if the line is none."""
    if len(line) > _LONGEST or _HEADING.match(line) is None:
        return None
    return next((mark for mark in ("|", "\t", ";", ",") if mark in line), None)


def _secret_columns(line: str, mark: str, is_secret: Callable[[str], bool]) -> list[int]:
    cells = [cell.strip(_QUOTES) for cell in line.split(mark)]
    return [number for number, cell in enumerate(cells) if cell and is_secret(cell)]


def _replaced(cell: str, replacement: str) -> str:
    value = cell.strip(_QUOTES)
    # A word alone is what a table of documentation says of a name.
    if not any(map(str.isdigit, value)) or value == replacement:
        return cell
    return cell.replace(value, replacement)
