"""What an answer in which nothing is found says of a filter that names a key which no run has."""

from __future__ import annotations

from dataclasses import replace

from ..model.filters import KEYS_OF, TraceFilter, may_explain, why_nothing
from ..protocols import AsyncQueryableTraceStore

# Most name a key that each run has, and look for another value: few tell.
_FEW = replace(KEYS_OF, limit=20)


async def reason_for_nothing(store: AsyncQueryableTraceStore, filters: TraceFilter) -> str | None:
    """Why nothing was found, as far as the filter and the keys of the newest runs tell."""
    if not may_explain(filters):
        return None
    if why_nothing(filters, await store.facets(_FEW, most=1)) is None:
        return None
    return why_nothing(filters, await store.facets(KEYS_OF, most=1))


async def key_warning(store: AsyncQueryableTraceStore, filters: TraceFilter) -> dict[str, str]:
    """The field ``warning`` of the answer, if there is one to give."""
    problem = await reason_for_nothing(store, filters)
    return {} if problem is None else {"warning": problem}
