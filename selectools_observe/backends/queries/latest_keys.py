"""The groups whose last run began last, without looking at all runs: which ones they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...model.filters import TraceFilter
from ...model.groups import stored_key

ORDER = "-last"
MOST_RUNS = 10_000  # of these groups, that are added up
_KEYS = ("session", "user")  # of which a run has one, and for which stores have a term


def has_latest(filters: TraceFilter, by: str) -> bool:
    """Whether such groups of all runs are asked for, by what a run has one of."""
    return filters == TraceFilter() and stored_key(by) in _KEYS


def filter_of(by: str, key: str) -> TraceFilter:
    """The runs of a group."""
    is_session = stored_key(by) == "session"
    return TraceFilter(session_id=key) if is_session else TraceFilter(user_id=key)


def first_keys(
    last_us: Mapping[str, int],
    bound: int | None,
    is_after: Callable[[float | str, str], bool],
    most: int,
) -> list[str] | None:
    """The first so many groups after the page before; None if they are not known yet.

    Args:
        last_us: When the last run of each group began that was seen, in microseconds.
        bound: When the runs may have begun that were not looked at, at the latest; None: all were.
        is_after: Whether a group comes after the page before.
        most: How many are wanted.
    """
    found = [
        key
        for key, last in last_us.items()
        if (bound is None or last > bound) and is_after(last / 1e6, key)
    ]
    if bound is not None and len(found) < most:
        return None
    found.sort(key=lambda key: (last_us[key] / 1e6, key), reverse=True)
    return found[:most]
