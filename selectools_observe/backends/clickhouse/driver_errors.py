"""What ClickHouse says, as errors of ours that name the server and the remedy."""

from __future__ import annotations

from ...errors import StorageError
from .address import Address
from .driver import ClickHouseError

_SPACE = "Free space on the server's disk"
_RIGHTS = (
    "Give the user the rights, or have the owner run what `selectools-observe schema clickhouse` "
    "prints"
)
# By the server's code of error.
_REMEDIES = {
    60: _RIGHTS,
    75: _SPACE,
    76: _SPACE,
    81: _RIGHTS,
    159: "The server took too long: raise max_execution_time, or ask for less",
    164: "The user may only read: give it the right to write",
    192: "Check the user and the password (CLICKHOUSE_PASSWORD works)",
    194: "Check the user and the password (CLICKHOUSE_PASSWORD works)",
    202: "Raise max_concurrent_queries, or try again later",
    241: "Give the server more memory, or ask for less",
    243: _SPACE,
    252: "The server cannot merge as fast as rows come: save more runs at a time",
    285: "Too few replicas are there: start them, or lower quorum in the URL",
    497: _RIGHTS,
    516: "Check the user and the password (CLICKHOUSE_PASSWORD works)",
}
_UNREACHABLE = "Check that the server runs and is reachable"
# What may be otherwise in a moment: a server that stops, or cannot reach another.
_PASSING = frozenset({209, 210, 236, 279})


def is_passing(error: ClickHouseError) -> bool:
    """Whether the same may succeed in a moment: the server was not reached, or is stopping."""
    code = getattr(error, "code", None)
    return code is None or code in _PASSING


def explained(address: Address, error: ClickHouseError) -> StorageError:
    """The error for callers; the cause is kept."""
    code = getattr(error, "code", None)
    remedy = _UNREACHABLE if code is None else _REMEDIES.get(code, "")
    reported = StorageError(address.shown, _message(address, error), remedy)
    reported.__cause__ = error
    return reported


def _message(address: Address, error: ClickHouseError) -> str:
    """The first line of what the server says."""
    text = str(error).strip().partition("\n")[0]
    text = text.partition("DB::Exception: ")[2] or text
    if address.password:
        text = text.replace(address.password, "***")
    return text or type(error).__name__
