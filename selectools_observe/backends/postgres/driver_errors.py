"""What PostgreSQL says, as errors of ours that name the server and the remedy."""

from __future__ import annotations

from ...errors import StorageError
from .address import Address
from .session import psycopg

_RIGHTS = (
    "Give the role the rights, or have its owner run what `selectools-observe schema postgresql` "
    "prints"
)
# By SQLSTATE, or its first two characters.
_REMEDIES = {
    "08": "Check that the server runs and is reachable",
    "28": "Check the user and the password (~/.pgpass and PGPASSWORD work)",
    "3D": "Create the database, or check its name",
    "3F": _RIGHTS,
    "42501": _RIGHTS,
    "42P01": _RIGHTS,
    "53100": "Free space on the server's disk",
    "53300": "Raise max_connections, or put a pooler such as pgbouncer before the server",
    "53": "Give the server more room, or try again later",
    "55P03": "Another program holds the store's lock: try again, or look at pg_stat_activity",
    "57014": "The server cancelled the statement: raise its statement_timeout",
    "57": "The server is stopping or starting: try again",
    "25006": "This server is a standby: add target_session_attrs=read-write and all hosts",
}
_REFUSALS = (
    ("does not exist", "3D"),
    ("authentication failed", "28"),
    ("no password supplied", "28"),
    ("no pg_hba.conf entry", "28"),
    ("too many", "53300"),
    ("remaining connection slots", "53300"),
    ("starting up", "57"),
    ("shutting down", "57"),
    ("read-only", "25006"),
)


def explained(address: Address, error: psycopg.Error) -> StorageError:
    """The error for callers; the cause is kept."""
    state = error.sqlstate or _state_of(str(error))
    remedy = _REMEDIES.get(state) or _REMEDIES.get(state[:2], "")
    reported = StorageError(address.shown, _message(address, error), remedy)
    reported.__cause__ = error
    return reported


def _state_of(text: str) -> str:
    """The SQLSTATE of a refused connection, which libpq reports only in words."""
    return next((state for words, state in _REFUSALS if words in text), "08")


def _message(address: Address, error: psycopg.Error) -> str:
    """The server's first line. libpq never repeats a password, and a URL's is not let through."""
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    return text.replace(address.conninfo, address.shown) or type(error).__name__
