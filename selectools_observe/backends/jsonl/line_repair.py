"""Reading what is left of a damaged line."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...model import timestamps
from ...model.codec import EncodedTrace, decode
from ...model.details import details_of
from ...model.facets import facts_of, usage_of
from ...model.json_values import dumps
from ...model.trace import AgentTrace
from ..files.summary_check import wrong_in_summary
from .line_format import WrongChecksumError, has_checksum, parse_line, resealed, to_line

BEGINNING = re.compile(rb'\{\s*"run_id"\s*:')
"""What a record, and the trace in it, begins with."""

_TRACE = b'"trace":'
_INSIDE = "it is inside a damaged line and has no checksum"
_SUMMARY = "the part before its trace is damaged"


class RestoredLine(NamedTuple):
    """What a line still tells.

    Attributes:
        run_id: Its run.
        created_at: The time of saving, as text.
        doubt: Why it may not be what was saved; None if it is.
        line: The line to write in its place; None if it is good as it is, without the NULs and
            line ends after it.
    """

    run_id: str
    created_at: bytes
    doubt: str | None
    line: bytes | None


def restored_line(line: bytes, created_before: bytes, *, inside: bool = False) -> RestoredLine:
    """What a line, or a piece of one, still tells.

    Args:
        line: The bytes.
        created_before: The time of saving of the line before, for one that has lost its own.
        inside: It is a piece of a damaged line.

    Raises:
        ValueError: Nothing; the text says why.
    """
    line = line.rstrip(b"\0\r\n")
    try:
        return _read(line, inside=inside)
    except ValueError as error:
        # The trace may still be whole: it names its run itself.
        trace_json = _trace_in(line)
        if trace_json is None:
            raise
        try:
            trace: AgentTrace = decode(trace_json)
        except ValueError:
            raise error from None
        return _rewritten(trace, trace_json, created_before, _SUMMARY)


def _read(line: bytes, *, inside: bool) -> RestoredLine:
    doubt = _INSIDE if inside and not has_checksum(line) else None
    try:
        summary, trace = parse_line(line)
    except WrongChecksumError as error:
        doubt = str(error)
        line = resealed(line)
        summary, trace = parse_line(line)
    if trace.run_id != summary.run_id:
        raise ValueError(f"it holds the trace of run {trace.run_id!r}")
    reported = (summary.steps, summary.total_ms, summary.metadata)
    wrong = next(wrong_in_summary(trace, *reported), None)
    if wrong is not None and has_checksum(line):
        raise ValueError(wrong)
    doubt = doubt if wrong is None else wrong  # of another program: nobody knows which is right
    created_at = timestamps.to_text(summary.created_at).encode()
    return RestoredLine(
        summary.run_id, created_at, doubt, None if doubt is None else _with_end(line)
    )


def _with_end(line: bytes) -> bytes:
    return line.rstrip(b"\n") + b"\n"


def _trace_in(line: bytes) -> bytes | None:
    place = line.find(_TRACE)
    if place < 0 or BEGINNING.search(line, 1, place):  # that of another record
        return None
    return line[place + len(_TRACE) :].rstrip(b" \t").removesuffix(b"}").strip(b" \t")


def _rewritten(trace: AgentTrace, trace_json: bytes, created_at: bytes, doubt: str) -> RestoredLine:
    encoded = EncodedTrace(
        trace.run_id,
        len(trace.steps),
        float(trace.total_duration_ms),
        dumps(trace.metadata),
        trace_json,
        facts_of(trace),
        usage_of(trace.steps),
        details_of(trace),
    )
    line = to_line(encoded, timestamps.from_text(created_at.decode()))
    return RestoredLine(trace.run_id, created_at, doubt, line)
