"""A ClickHouse URL: the servers, our options, and what may be shown."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

SCHEMES = ("clickhouse",)
DEFAULT_DATABASE = "selectools_observe"

_PORT, _SECURE_PORT = 8123, 8443
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_FORM = "clickhouse://user@host:8123/database"
_OPTIONS = ("cluster", "durability", "quorum", "retention_days", "secure")
_SWITCH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class Host(msgspec.Struct, frozen=True):
    """A server."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


class Address(msgspec.Struct, frozen=True):
    """Where a store's tables are, and how they are written.

    Attributes:
        shown: The URL for people, without any password.
        hosts: The servers; the first that answers is asked. With ``cluster``, one of each shard.
        database: The database of the tables.
        user: Who asks.
        password: The user's password.
        secure: Whether the connection is encrypted.
        cluster: The cluster, in the servers' own configuration, over which the rows are spread;
            empty for one server.
        syncs: Whether an insert is on the server's disk before it is acknowledged.
        quorum: How many replicas must have an insert before it is acknowledged; 0: as the server's
            settings say.
        retention_days: After how many days runs are removed; 0: never; None: as the tables say.
    """

    shown: str
    hosts: tuple[Host, ...]
    database: str = DEFAULT_DATABASE
    user: str = ""
    password: str = ""
    secure: bool = False
    cluster: str = ""
    syncs: bool = True
    quorum: str = "0"
    retention_days: int | None = None

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def parse_address(url: str) -> Address:
    """Read a URL: ``clickhouse://user@host1:8123,host2:8123/database?retention_days=90``.

    A password is better kept out of it: ``CLICKHOUSE_PASSWORD`` works.

    Raises:
        ValueError: It is no such URL; the text, which holds no password, says what can be written.
    """
    head, _, query = url.partition("?")
    shown = _without_password(head)
    parts = urlsplit(head)
    if parts.scheme not in SCHEMES or not head.partition("://")[1]:
        raise ValueError(f"{shown!r} is not a ClickHouse URL. Write it as {_FORM}")
    if head.count("@") > 1:
        raise ValueError(f"{shown!r}: an @ in a user's name or password is written %40")
    options = _options(shown, query)
    secure = _switch(shown, "secure", options.get("secure", "no"))
    login, _, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    database = parts.path.removeprefix("/") or DEFAULT_DATABASE
    for name, value in (("database", database), ("cluster", options.get("cluster", "all"))):
        if not _IDENTIFIER.fullmatch(value):
            raise ValueError(f"{shown!r}: {name} {value!r} is not a plain name such as 'traces'")
    public = "&".join(f"{name}={value}" for name, value in options.items())
    return Address(
        f"{shown}?{public}" if public else shown,
        tuple(_host(shown, place, secure=secure) for place in places.split(",")),
        database,
        unquote(user),
        unquote(password),
        secure,
        options.get("cluster", ""),
        _syncs(shown, options.get("durability", "full")),
        _quorum(shown, options.get("quorum", "0")),
        _days(shown, options.get("retention_days")),
    )


def _options(shown: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = next((name for name in options if name not in _OPTIONS), None)
    if unknown is not None:
        raise ValueError(f"{shown!r}: {unknown!r:.80} is not one of {', '.join(_OPTIONS)}")
    return options


def _host(shown: str, place: str, *, secure: bool) -> Host:
    name, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):  # an IPv6 address without a port
        name, port = place, str(_SECURE_PORT if secure else _PORT)
    if not name or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"{shown!r}: {place!r} is not a host such as db.example:8123")
    return Host(name.strip("[]"), int(port))


def _syncs(shown: str, value: str) -> bool:
    if value not in {"full", "normal"}:
        raise ValueError(f"{shown!r}: durability={value!r:.80} is not one of full, normal")
    return value == "full"


def _quorum(shown: str, value: str) -> str:
    if value != "auto" and not value.isdecimal():
        raise ValueError(f"{shown!r}: quorum={value!r:.80} is not a number of replicas or auto")
    return value


def _days(shown: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdecimal() or int(value) > 36_500:  # what a table's TTL can hold
        raise ValueError(f"{shown!r}: retention_days={value!r:.80} is not a number of days")
    return int(value)


def _switch(shown: str, name: str, value: str) -> bool:
    if value not in _SWITCH:
        raise ValueError(f"{shown!r}: {name}={value!r:.80} is not one of yes, no")
    return _SWITCH[value]


def _without_password(head: str) -> str:
    """The URL without what follows the user's name. A password may hold an ``@`` of its own."""
    scheme, slashes, rest = head.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{host}"
