"""An annotation as a line of text."""

from __future__ import annotations

from rich.text import Text

from ..model import figures
from ..model.annotations import Annotation
from ..model.text import one_line
from .terminal import styled


def line_of(annotation: Annotation, *, with_id: bool = False) -> Text:
    """Name, judgement, note, and who said it when."""
    line = Text(one_line(annotation.name), "cyan")
    if annotation.step is not None:
        line.append(f" (step {annotation.step + 1})", "dim")
    line.append(":", "dim")
    if annotation.label is not None:
        line.append(f" {one_line(annotation.label)}", "bold")
    if annotation.score is not None:
        line.append(f" {annotation.score:g}", "bold")
    if annotation.note:
        line.append(f" {one_line(annotation.note, 300)}", "")
    by = one_line(annotation.author) if annotation.author else annotation.source
    line.append(f"  {by}", "dim")
    if annotation.created_at is not None:
        line.append(f", {figures.local_time(annotation.created_at, seconds=True)}", "dim")
    if with_id:
        line.append_text(styled(f"  {one_line(annotation.id)}", "dim"))
    return line
