"""Opening a store by its name: a path or a URL."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args
from urllib.parse import parse_qsl

from ..backends.clickhouse import address as clickhouse_address
from ..backends.files import error_mapping, file_kind
from ..backends.postgres import address as postgres_address
from ..errors import StorageError
from ..model.reports import Progress
from ..protocols import AsyncQueryableTraceStore, Durability, QueryableTraceStore
from .named import store_class

Kind: TypeAlias = Literal["sqlite", "jsonl", "memory", "postgresql", "clickhouse"]

_CLASSES: dict[Kind, str] = {
    "sqlite": "SQLiteTraceStore",
    "jsonl": "JSONLTraceStore",
    "memory": "InMemoryTraceStore",
    "postgresql": "PostgresTraceStore",
    "clickhouse": "ClickHouseTraceStore",
}
_FORMS = (
    "a path (traces.db, runs.jsonl), sqlite:///traces.db, jsonl:///runs.jsonl, "
    "postgresql://user@host/database, clickhouse://user@host:8123/database or memory: "
    "(three slashes for a relative path, four for an absolute one)"
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)  # two letters: C: is a drive


@dataclass(frozen=True, slots=True)
class StoreName:
    """What a name says.

    Attributes:
        kind: The kind of store.
        path: Its file; empty for ``memory``; the URL of a server.
        durability: What an acknowledged save survives, if the name says so.
    """

    kind: Kind
    path: str = ""
    durability: Durability | None = None

    def __str__(self) -> str:
        if self.kind == "postgresql":
            return postgres_address.parse_address(self.path).shown
        if self.kind == "clickhouse":
            return clickhouse_address.parse_address(self.path).shown
        return self.path or f"{self.kind}:"


def open_store(
    name: str | os.PathLike[str],
    *,
    must_exist: bool = False,
    progress: Progress | None = None,
) -> QueryableTraceStore:
    """The blocking store of a name; close it in the end.

    Args:
        name: As `store_name` reads it.
        must_exist: Refuse a file that is not there, rather than make it.
        progress: For a JSONL file, called while it is read for the first time, with the bytes read
            and the bytes in all.

    Raises:
        ValueError: As `store_name`.
        StorageError: The file is missing, or cannot be opened.
    """
    return cast("QueryableTraceStore", _open("", name, must_exist, progress))


def open_async_store(
    name: str | os.PathLike[str],
    *,
    must_exist: bool = False,
    progress: Progress | None = None,
) -> AsyncQueryableTraceStore:
    """`open_store` for code that runs in an event loop: the store opens at first use.

    Looks at the beginning of the file at once.
    """
    return cast("AsyncQueryableTraceStore", _open("Async", name, must_exist, progress))


def _open(
    form: Literal["", "Async"],
    name: str | os.PathLike[str],
    must_exist: bool,  # noqa: FBT001
    progress: Progress | None,
) -> object:
    found = store_name(name)
    if must_exist:
        check_exists(found)
    options: dict[str, object] = {}
    if found.durability:
        options["durability"] = found.durability
    if found.kind == "jsonl":
        options["progress"] = progress
    path = [found.path] if found.path else []
    return store_class(form + _CLASSES[found.kind])(*path, **options)


def store_name(name: str | os.PathLike[str]) -> StoreName:
    """What a path or a URL says.

    * ``traces.db``, ``runs.jsonl``: a path. What is in the file decides; its ending does when it is
      empty or not there yet.
    * ``sqlite:///traces.db``, ``jsonl:///runs.jsonl``: the same with the kind said, for files with
      another ending. As in SQLAlchemy, three slashes lead to a relative path and four to an
      absolute one; nothing is percent-decoded. ``?durability=full`` or ``normal`` may follow.
    * ``postgresql://user@host/database?schema=traces``: tables on a server (extra ``postgres``).
    * ``clickhouse://user@host:8123/database``: tables on servers (extra ``clickhouse``).
    * ``memory:``: a store of this process; ``:memory:``: the same as a private SQLite database.

    Raises:
        ValueError: It is none of these, or no kind of store can be told from it; the text says
            what can be written instead.
        TypeError: It is not text.
        StorageError: The file is there and cannot be read.
    """
    text = os.fspath(name)
    if not isinstance(text, str):
        raise TypeError(f"a store's name must be text, not {type(text).__name__}: {name!r}")
    if not text:
        raise ValueError(f"a store needs a name: {_FORMS}")
    if text == ":memory:":
        return StoreName("sqlite", text)
    if isinstance(name, str) and (parts := _SCHEME.fullmatch(text)) and not os.path.exists(text):
        return _of_url(text, parts[1].lower(), parts[2])
    return StoreName(_kind_of_file(text), text)


def _of_url(text: str, scheme: str, rest: str) -> StoreName:
    place, _, query = rest.partition("?")
    if scheme == "file":
        path = place.removeprefix("//")
        return StoreName(_kind_of_file(path), path, _durability(text, query))
    if scheme in postgres_address.SCHEMES:
        postgres_address.parse_address(text)
        return StoreName("postgresql", text)
    if scheme in clickhouse_address.SCHEMES:
        clickhouse_address.parse_address(text)
        return StoreName("clickhouse", text)
    if scheme not in get_args(Kind):
        raise ValueError(f"{text!r} is not a store that can be opened: give {_FORMS}")
    if scheme == "memory":
        return StoreName("memory")
    if place.startswith("//"):
        host, slash, path = place[2:].partition("/")
        if host or not slash:
            raise ValueError(f"{text!r} names a host, not a file: give {_FORMS}")
    else:
        path = place
    if not path:
        raise ValueError(f"{text!r} does not name a file: give {_FORMS}")
    return StoreName(cast("Kind", scheme), path, _durability(text, query))


def _durability(text: str, query: str) -> Durability | None:
    options = dict(parse_qsl(query, keep_blank_values=True))
    chosen = options.pop("durability", None)
    if options or chosen not in {None, "full", "normal"}:
        raise ValueError(
            f"{text!r}: only ?durability=full or ?durability=normal can follow the path"
        )
    return cast("Durability | None", chosen)


def check_exists(name: StoreName) -> StoreName:
    """Refuse a store whose file is not there.

    Raises:
        StorageError: It is not there, or may not be looked at.
    """
    if name.kind in {"sqlite", "jsonl"} and name.path != ":memory:":
        try:
            os.stat(name.path)
        except FileNotFoundError as error:
            remedy = "Check the path; the first save creates a store"
            raise StorageError(name.path, "no such file", remedy) from error
        except OSError as error:
            raise error_mapping.from_os(name.path, error) from error
    return name


def _kind_of_file(path: str) -> Kind:
    try:
        start = file_kind.first_bytes(path)
        kind = file_kind.kind_of(path) if start else file_kind.kind_by_name(path)
    except ValueError as error:
        raise ValueError(f"invalid file name: {path!r}") from error
    except OSError as error:
        raise error_mapping.from_os(path, error) from error
    packer = file_kind.packer_of(start)
    if packer is not None:
        raise ValueError(f"{path!r} is compressed with {packer}: decompress it first")
    if kind is not None:
        return kind
    if start:
        raise ValueError(
            f"{path!r} holds neither an SQLite database nor lines of JSON. If it is a damaged "
            f"store, name its kind: sqlite:///{path} or jsonl:///{path}"
        )
    raise ValueError(
        f"cannot tell the kind of {path!r} from its name: end it in .db or .jsonl, "
        f"or write sqlite:///{path} or jsonl:///{path}"
    )
