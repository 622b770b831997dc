"""A page of many groups: of all is known what they are ordered by, of those on it the rest.

Of a million runs of twenty thousand users the runs of fifty are added up, not those of all.
"""

from __future__ import annotations

from heapq import nlargest, nsmallest

from ....model.groups import GroupCollector, GroupPage, stored_key
from ...queries.latest_keys import MOST_RUNS
from ..index.index_upkeep import BLOCK
from .aggregation import Aggregation, Part
from .columns import chosen_runs, values_of

_MOMENTS = {"last": max, "first": min}
_ORDERS = frozenset({*_MOMENTS, "runs", "key"})
_LOOKED_AT = 16 * BLOCK  # runs, after which it shows whether there are many groups


def ranked_page(
    aggregation: Aggregation, by: str, order_by: str, limit: int, cursor: str | None
) -> GroupPage | None:
    """A page of groups; None if it is as well to add up all of them, or columns do not tell."""
    name = order_by.removeprefix("-")
    if name not in _ORDERS or next(aggregation.read_rows(), None) is not None:
        return None
    ranking = _Ranking(stored_key(by) or "", name, limit + 1)
    for part in aggregation.parts():
        if not ranking.take(part):
            return None
    is_after = GroupCollector.is_after_cursor(by, order_by, cursor)
    keyed = [pair for pair in ranking.keyed() if is_after(*pair)]
    first = (nlargest if order_by.startswith("-") else nsmallest)(limit + 1, keyed)
    keys = [key for _, key in first]
    ids = sorted({row_id for key in keys for row_id in ranking.ids[key]}, reverse=True)
    if len(ids) > MOST_RUNS:
        return None
    collector, read = GroupCollector(by), 0
    for row in aggregation.rows_of(ids):
        collector.add(row.summary, row.key)
        read += 1
    # Of damaged runs columns may tell more than there is; a run may be in other groups too.
    is_whole = read == len(ids) and len(collector) == len(keys)
    return collector.page(order_by, limit, cursor) if is_whole else None


class _Ranking:
    """The runs of each group, and what the groups are ordered by."""

    def __init__(self, key: str, order: str, most: int) -> None:
        self.ids: dict[str, list[int]] = {}
        self._key = key
        self._order = order
        self._most = most
        self._moments: dict[str, int] = {}
        self._taken = 0

    def take(self, part: Part) -> bool:
        """Note the runs of a part; whether it is worth while to go on."""
        if not part.told.runs.is_told:
            return False
        chosen = chosen_runs(part.told.runs, part.selection)
        ids = part.ids
        best, known = _MOMENTS.get(self._order), self._moments
        for key, places in values_of(part.told.runs, chosen, self._key).items():
            some = [ids[place] for place in places]
            if key in self.ids:
                self.ids[key] += some
            else:
                self.ids[key] = some
            if best is not None:
                moment = best([chosen.began_us[place] for place in places])
                known[key] = best(known.get(key, moment), moment)
        self._taken += len(ids)
        on_page = self._taken * self._most / max(len(self.ids), 1)
        return self._taken < _LOOKED_AT or on_page <= MOST_RUNS

    def keyed(self) -> list[tuple[float | str, str]]:
        """What each group is ordered by, and its key."""
        if self._order in _MOMENTS:
            return [(moment / 1e6, key) for key, moment in self._moments.items()]
        if self._order == "runs":
            return [(len(ids), key) for key, ids in self.ids.items()]
        return [(key, key) for key in self.ids]
