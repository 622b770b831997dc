"""A PostgreSQL URL: what libpq is told, what is ours, and what may be shown."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

SCHEMES = ("postgresql", "postgres")
DEFAULT_SCHEMA = "selectools_observe"

# libpq's own parameters, with the values that hold unless the URL states others. They are the
# client's, so that no connection pooler has to know them.
_DEFAULTS = {
    "application_name": "selectools-observe",
    "connect_timeout": "10",  # seconds
    "keepalives_idle": "30",
    "tcp_user_timeout": "30000",  # milliseconds until a silent peer counts as lost
}
_FORCED = {"client_encoding": "UTF8"}  # so that any text can be sent
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_FORM = "postgresql://user@host:5432/database?schema=selectools_observe"
_SECRETS = ("password", "sslpassword")


class Address(msgspec.Struct, frozen=True):
    """Where a store's tables are.

    Attributes:
        conninfo: The URL for libpq; may hold a password.
        shown: The URL for people: the same without any password.
        schema: The schema of the tables.
        prepares: Whether statements may be prepared; None: as the server allows.
    """

    conninfo: str
    shown: str
    schema: str = DEFAULT_SCHEMA
    prepares: bool | None = None

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def parse_address(url: str) -> Address:
    """Read a URL: ``postgresql://user@host1,host2/database?schema=traces&prepare=no``.

    ``schema`` and ``prepare`` are ours; everything else is libpq's, several hosts and
    ``target_session_attrs`` included. Passwords are better kept out of it: ``~/.pgpass``,
    ``PGPASSWORD`` and ``PGSERVICE`` work.

    Raises:
        ValueError: It is no such URL; the text, which holds no password, says what can be written.
    """
    head, _, query = url.partition("?")
    shown = _without_password(head)
    if urlsplit(head).scheme not in SCHEMES or not head.partition("://")[1]:
        raise ValueError(f"{shown!r} is not a PostgreSQL URL. Write it as {_FORM}")
    if head.count("@") > 1:
        raise ValueError(f"{shown!r}: an @ in a user's name or password is written %40")
    options = dict(parse_qsl(query, keep_blank_values=True))
    schema = options.pop("schema", DEFAULT_SCHEMA)
    if not _IDENTIFIER.fullmatch(schema):
        raise ValueError(f"{shown!r}: schema={schema!r} is not a plain name such as 'traces'")
    prepares = _switch(shown, options.pop("prepare", "auto"))
    public = {name: value for name, value in options.items() if name not in _SECRETS}
    if schema != DEFAULT_SCHEMA:
        public["schema"] = schema
    return Address(
        _with_query(head, {**_DEFAULTS, **options, **_FORCED}),
        _with_query(shown, public),
        schema,
        prepares,
    )


def _switch(shown: str, value: str) -> bool | None:
    try:
        return {"auto": None, "yes": True, "no": False}[value]
    except KeyError:
        message = f"{shown!r}: prepare={value!r} is not one of auto, yes, no"
        raise ValueError(message) from None


def _with_query(head: str, options: dict[str, str]) -> str:
    pairs = [f"{quote(name)}={quote(value, safe='/,')}" for name, value in options.items()]
    return f"{head}?{'&'.join(pairs)}" if pairs else head


def _without_password(head: str) -> str:
    """The URL without what follows the user's name. A password may hold an ``@`` of its own."""
    scheme, slashes, rest = head.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{host}"
