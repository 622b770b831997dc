"""What a form of file is: how it is recognised, and how runs are read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias

from ..model.annotations import Annotation
from ..model.trace import AgentTrace
from .source import Source

JSONObject: TypeAlias = dict[str, Any]


class SavedRun(NamedTuple):
    """A run that some store had saved.

    Attributes:
        trace: The run.
        created_at: When it was saved, aware; None if the file does not say.
        annotations: Its annotations, oldest first.
    """

    trace: AgentTrace
    created_at: datetime | None = None
    annotations: Sequence[Annotation] = ()


FoundRun: TypeAlias = AgentTrace | SavedRun


class JSONReader(Protocol):
    """Takes the JSON objects of one file in their order, and gives the runs that they tell of."""

    def take(self, value: JSONObject, place: str, /) -> Iterable[FoundRun]:
        """The runs that are whole with this object.

        Raises:
            ValueError: It cannot be read; the text says why.
        """

    def rest(self) -> Iterable[FoundRun]:
        """The runs that are whole now that the file has ended."""


@dataclass(frozen=True, slots=True)
class JSONForm:
    """A form of JSON objects.

    Attributes:
        name: A short name.
        title: What it is, for people.
        recognises: Whether an object is of this form.
        reader: Makes the reader of one file.
        keys: The keys that tell the form, to name the nearest one to a file of none.
        source: The tool, and how it writes such a file.
    """

    name: str
    title: str
    recognises: Callable[[JSONObject], bool]
    reader: Callable[[Source], JSONReader]
    keys: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class BinaryForm:
    """A form of files that are not text.

    Attributes:
        name: A short name.
        title: What it is, for people.
        recognises: Whether a file is of this form; its path is given.
        read: The runs of a file.
        keys: The tables, columns or entries that tell the form.
        source: The tool, and how it writes such a file.
    """

    name: str
    title: str
    recognises: Callable[[str], bool]
    read: Callable[[Source], Iterator[FoundRun]]
    keys: tuple[str, ...] = field(default=())
    source: str = ""
