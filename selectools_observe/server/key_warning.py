"""What an answer in which nothing is found says of a filter that names a key which no run has."""

from __future__ import annotations

from ..model.filters import KEYS_OF, TraceFilter, may_explain, why_nothing
from ..protocols import AsyncQueryableTraceStore


async def key_warning(store: AsyncQueryableTraceStore, filters: TraceFilter) -> dict[str, str]:
    """The field ``warning`` of the answer, if there is one to give."""
    if not may_explain(filters):
        return {}
    problem = why_nothing(filters, await store.facets(KEYS_OF, most=1))
    return {} if problem is None else {"warning": problem}
