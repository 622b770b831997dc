"""The format of a line: a trace encoded and decoded."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from ...model import timestamps
from ...model.checksum import checksum
from ...model.codec import EncodedTrace, decode
from ...model.details import details_of, make_summary
from ...model.facets import facts_of, has_error, usage_of
from ...model.json_values import dumps, loads
from ...model.trace import AgentTrace, TraceFacts, TraceSummary

_RUN_ID = re.compile(rb'\s*\{\s*"run_id"\s*:\s*("(?:[^"\\]|\\.)*")')


class _Line(msgspec.Struct):
    run_id: str
    created_at: str
    trace: msgspec.Raw
    steps: int = 0
    total_ms: float = 0.0
    metadata: Any = None


_decoder = msgspec.json.Decoder(_Line)

# A line of ours has its checksum before the last brace, written in blanks: a space is 0, a tab 1.
# Readers of JSON pass over them, and the line has the page's keys and no others.
_CRC_LENGTH = 32
_TO_BLANKS = bytes.maketrans(b"01", b" \t")
_FROM_BLANKS = bytes.maketrans(b" \t", b"01")
_DAMAGED = "its checksum does not match: it was damaged, or edited by hand"

# Lines that were saved together begin with blanks of the same kind: a number that they share, and
# how many more of them follow. So a line that a crash cut short tells which lines before it were
# never acknowledged either.
_MARK_HALF = 32
_MARK = re.compile(rb"\{([ \t]{64})\"")


class WrongChecksumError(ValueError):
    """A line is not as it was written."""


# Many traces share the same few sets; held once, a large file's index stays small.
_shared_facts: dict[TraceFacts, TraceFacts] = {}


class Group(NamedTuple):
    """What a line says of those it was saved with: their number, and how many of them follow."""

    number: int
    left: int

    def mark(self) -> bytes:
        """As it is in the line."""
        return f"{self.number:032b}{self.left:032b}".encode().translate(_TO_BLANKS)


def group_of(line: bytes) -> Group | None:
    """The group of a line; None if it was saved alone."""
    found = _MARK.match(line)
    if found is None:
        return None
    bits = found[1].translate(_FROM_BLANKS)
    return Group(int(bits[:_MARK_HALF], 2), int(bits[_MARK_HALF:], 2))


def goes_on(group: Group, fragment: bytes) -> bool:
    """Whether a line that was cut short is the next one of a group."""
    begin = b"{" + Group(group.number, group.left - 1).mark() + b'"'
    return group.left > 0 and fragment[: len(begin)] == begin[: len(fragment)]


def to_line(trace: EncodedTrace, created_at: datetime, group: Group | None = None) -> bytes:
    """The line of a trace, with its newline; a time that the trace states goes before the other."""
    line = b'{%b"run_id":%b,"steps":%d,"total_ms":%b,"created_at":"%b","metadata":%b,"trace":%b' % (
        b"" if group is None else group.mark(),
        dumps(trace.run_id),
        trace.steps,
        dumps(trace.total_ms),
        timestamps.to_text(trace.created_at or created_at).encode(),
        trace.metadata,
        trace.trace,
    )
    return _sealed(line)


def _sealed(body: bytes) -> bytes:
    """A line without its last brace, with its checksum and the brace."""
    blanks = f"{checksum(body):032b}".encode().translate(_TO_BLANKS)
    return b"%b%b}\n" % (body, blanks)


def resealed(line: bytes) -> bytes:
    """A line that can be read but for its checksum, with the one that it should have."""
    return _sealed(line.rstrip(b"\r\n").removesuffix(b"}").rstrip(b" \t"))


def has_checksum(line: bytes) -> bool:
    """Whether a line carries a checksum, right or wrong."""
    return _checksum_in(line) is not None


def parse_line(line: bytes) -> tuple[TraceSummary, AgentTrace]:
    """What a line says of a trace, and the trace.

    Raises:
        ValueError: The line cannot be read; the text says why.
    """
    fields = _fields(line)
    if not fields.run_id:
        raise ValueError("it has no run_id")
    trace: AgentTrace = decode(bytes(fields.trace))
    return _summary(fields, trace), trace


def read_line(line: bytes) -> tuple[TraceSummary, TraceFacts]:
    """What the index keeps of a line.

    Raises:
        ValueError: The line cannot be read; the text says why.
    """
    summary, trace = parse_line(line)
    return summary, shared(facts_of(trace))


def _summary(fields: _Line, trace: AgentTrace) -> TraceSummary:
    metadata = fields.metadata if isinstance(fields.metadata, dict) else {}
    created_at = timestamps.from_text(fields.created_at)
    return make_summary(
        fields.run_id,
        fields.steps,
        fields.total_ms,
        created_at,
        metadata,
        usage_of(trace.steps),
        has_error(trace.steps),
        details_of(trace),
    )


def trace_of(line: bytes) -> bytes:
    """The trace's own JSON in a line.

    Raises:
        ValueError: The line cannot be read.
    """
    return bytes(_fields(line).trace)


def check_checksum(line: bytes) -> None:
    """Refuse a line of ours that is not as we wrote it; others' lines have no checksum.

    Raises:
        ValueError: It was damaged or edited.
    """
    found = _checksum_in(line)
    if found is not None and found[0] != checksum(found[1]):
        raise WrongChecksumError(_DAMAGED)


def _checksum_in(line: bytes) -> tuple[int, bytes] | None:
    """The checksum that a line carries, and what it is of."""
    inside = line.rstrip(b"\r\n").removesuffix(b"}")
    body = inside.rstrip(b" \t")
    blanks = inside[len(body) :]
    return (int(blanks.translate(_FROM_BLANKS), 2), body) if len(blanks) == _CRC_LENGTH else None


def _fields(line: bytes) -> _Line:
    check_checksum(line)
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        return _fields_slowly(line)


def _fields_slowly(line: bytes) -> _Line:
    entry = loads(line)
    if not isinstance(entry, dict) or "trace" not in entry:
        raise ValueError("it does not hold a trace")
    trace = msgspec.Raw(dumps(entry.pop("trace")))
    try:
        return msgspec.convert({**entry, "trace": trace}, _Line)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def run_id_of(line: bytes) -> str | None:
    """The run id of a line; of an unreadable one, if it begins with it."""
    found = _RUN_ID.match(line)
    try:
        run_id = loads(found[1]) if found else loads(line).get("run_id")
    except (ValueError, AttributeError):
        return None
    return run_id if isinstance(run_id, str) else None


def shared(facts: TraceFacts) -> TraceFacts:
    """An equal one that others may hold too; those of one trace alone are left as they are."""
    if facts.parent_run_id is not None:
        return facts
    if len(_shared_facts) > 10_000:
        _shared_facts.clear()
    return _shared_facts.setdefault(facts, facts)
