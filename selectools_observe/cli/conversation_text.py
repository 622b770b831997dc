"""A run's conversation as lines of text: who said what, and each tool call with its result."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from ..analytics.conversation import Turn
from ..model.json_values import readable
from ..model.messages import Part, ReasoningPart, TextPart
from ..model.text import one_line, printable_lines
from .terminal import styled

_COLOURS = {"user": "bold blue", "assistant": "bold cyan", "system": "dim", "tool": "yellow"}
_SYSTEM_LINES = 3
_RESULT_LINES = 12


def lines_of(turns: list[Turn], *, full: bool) -> Iterator[Text]:
    """The lines of a conversation; long results and the system prompt are cut unless ``full``."""
    for turn in turns:
        yield Text()
        yield _head(turn)
        yield from (_tool(turn, full=full) if turn.kind == "tool" else _said(turn, full=full))
        if turn.error is not None:
            yield from _indented(turn.error, None, "red")


def _head(turn: Turn) -> Text:
    name = turn.role or "error"
    head = styled(one_line(name), _COLOURS.get(name, "bold"))
    if turn.name:
        head.append(f"  {one_line(turn.name)}", "dim" if turn.kind == "message" else "")
    head.append(f"  step {turn.step + 1}", "dim")
    if turn.not_kept is not None:
        head.append(f"  cut at capture: {turn.not_kept:,} characters not stored", "yellow")
    return head


def _said(turn: Turn, *, full: bool) -> Iterator[Text]:
    most = _SYSTEM_LINES if turn.role == "system" and not full else None
    for part in turn.parts:
        yield from _indented(_words_of(part), most, "dim" if _is_aside(part) else "")


def _is_aside(part: Part) -> bool:
    return isinstance(part, ReasoningPart)


def _words_of(part: Part) -> str:
    if isinstance(part, TextPart | ReasoningPart):
        return part.content
    kind = getattr(part, "modality", None) or "part"
    return f"[{kind}]"


def _tool(turn: Turn, *, full: bool) -> Iterator[Text]:
    if turn.arguments is not None:
        yield from _indented(_as_text(turn.arguments), None if full else _SYSTEM_LINES, "")
    if turn.result is not None:
        yield from _indented(_as_text(turn.result), None if full else _RESULT_LINES, "dim")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else readable(value)


def _indented(text: str, most: int | None, style: str) -> Iterator[Text]:
    lines = printable_lines(text)
    for line in lines[:most]:
        yield styled(f"    {line}", style)
    if most is not None and len(lines) > most:
        yield styled("    ...", "dim")
