"""The terminal: results to standard output, everything else to standard error."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal, TextIO, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as ProgressBars
from rich.text import Text

from ..model.json_values import json_text
from ..model.text import one_line, printable, printable_json

Progress: TypeAlias = Callable[[int, int | None], None]
Colour: TypeAlias = Literal["auto", "always", "never"]

_WIDTH_OF_PIPES = 120
_LONGEST_MESSAGE = 2000
_QUICK = 0.5  # seconds


class Terminal:
    """Standard output and standard error of one command.

    Args:
        colour: ``auto`` colours what goes to a terminal, unless ``NO_COLOR`` is set.
        quiet: Whether to leave out notes and progress; warnings and errors are shown all the same.
    """

    def __init__(self, colour: Colour = "auto", *, quiet: bool = False) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                with suppress(OSError):  # it flushes; whoever flushes next will tell
                    # What an old terminal cannot show.
                    stream.reconfigure(errors="backslashreplace")
        self._out = _console(sys.stdout, colour)
        self._err = _console(sys.stderr, colour)
        self.quiet = quiet

    def set_colour(self, colour: Colour) -> None:
        """Choose when to colour what is printed from now on."""
        self._out = _console(sys.stdout, colour)
        self._err = _console(sys.stderr, colour)

    @property
    def width(self) -> int:
        """Columns to lay results out in."""
        if self._out.is_terminal or "COLUMNS" in os.environ:
            return max(40, self._out.width)
        return _WIDTH_OF_PIPES

    @property
    def is_interactive(self) -> bool:
        """Whether a person sees the results as they are printed."""
        return self._out.is_terminal

    @property
    def can_ask(self) -> bool:
        """Whether there is a person to ask."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def blocks(self) -> bool:
        """Whether standard output takes more than ASCII."""
        return "utf" in (self._out.encoding or "").lower()

    def line(self, text: Text | str = "") -> None:
        """Print one line of a result; text only, all of it printable already."""
        if isinstance(text, Text) and self._out.color_system is not None:
            text.rstrip()
            self._out.print(text, soft_wrap=True)
        else:
            self.raw(f"{str(text).rstrip()}\n")

    def lines(self, lines: Iterable[Text | str]) -> None:
        """Print lines of a result."""
        for line in lines:
            self.line(line)

    def json(self, value: object) -> None:
        """Print a value as JSON, in the shapes of the HTTP API, as a result."""
        self.json_part(f"{json_text(value)}\n")

    def json_part(self, text: str) -> None:
        """Print a part of JSON text, with its line break if it is to have one."""
        self.raw(printable_json(text))

    def raw(self, text: str) -> None:
        """Print a part of a result that is known to be printable, uncoloured."""
        sys.stdout.write(text)

    def flush(self) -> None:
        """Hand what was printed on, now."""
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Tell something that is not a result."""
        if not self.quiet:
            self._say(text, "dim")

    def warn(self, text: str) -> None:
        """Tell of something that went wrong and did not end the command."""
        self._say(f"warning: {text}", "yellow")

    def error(self, text: str) -> None:
        """Tell why the command ends."""
        self._say(f"error: {text}", "bold red")

    def _say(self, text: str, style: str) -> None:
        with suppress(OSError):  # whoever flushes next will tell
            sys.stdout.flush()
        self._err.print(Text(one_line(text, _LONGEST_MESSAGE), style), soft_wrap=True)

    def ask(self, question: str) -> bool:
        """Ask a person; anything but yes is no."""
        self._err.print(Text(f"{one_line(question, _LONGEST_MESSAGE)} [y/N] "), end="")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """Show on a terminal how far some long work is: call it with what is done and what is all,
        as often as you like.
        """
        bars = _Bars(self._err, label)
        shown = not self.quiet and sys.stderr.isatty()
        try:
            yield bars.update if shown else lambda _done, _total: None
        finally:
            bars.stop()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Tell what the package logs as warnings, for a while."""
        log = logging.getLogger(__name__.partition(".")[0])  # of all modules
        before, handler = log.propagate, _Warnings(self)
        log.addHandler(handler)
        log.propagate = False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = before


class _Warnings(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.warn(record.getMessage())


class _Bars:
    """A bar for work that takes long; of quick work nothing is seen."""

    def __init__(self, console: Console, label: str) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
        )
        self._bars = ProgressBars(*columns, console=console, transient=True)
        self._task = self._bars.add_task(printable(label), total=None)
        self._due = time.monotonic() + _QUICK

    def update(self, done: int, total: int | None) -> None:
        if time.monotonic() >= self._due:
            if not self._bars.live.is_started:
                self._bars.start()
            self._bars.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        if self._bars.live.is_started:
            self._bars.stop()


def styled(text: str, style: str) -> Text:
    """Text in a style that what is appended does not take on."""
    return Text().append(text, style)


def _console(stream: TextIO, colour: Colour) -> Console:
    return Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        no_color=True if colour == "never" else None,
        force_terminal=True if colour == "always" else None,
        color_system="standard" if colour == "always" else "auto",
    )


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Printable text in exactly so many columns, cut with an ellipsis if it must be."""
    found = cell_len(text)
    if found > width:
        return f"{set_cell_size(text, width - 1)}…" if width > 1 else "…"[:width]
    blanks = " " * (width - found)
    return f"{blanks}{text}" if right else f"{text}{blanks}"
