"""Checks of statistics, groups and facets: what stores say is what plain Python adds up."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ..model.clock import time_of
from ..model.facets import facts_of
from ..model.filters import TraceFilter
from ..model.groups import FacetCollector, GroupCollector, GroupPage
from ..model.rollups import rollup_of
from ..model.statistics import Collector
from ..model.trace import AgentTrace
from .backend import Backend
from .callers import StoreCaller
from .samples import make_step, make_trace, various_traces

_FILTERS = (
    TraceFilter(),
    TraceFilter(has_error=True),
    TraceFilter(where="score<1.5 -tool:book"),
    TraceFilter(metadata_match={"user": "alice"}),
    TraceFilter(order_by="-total_ms", limit=20),
    TraceFilter(min_steps=99),
)
_DAY = 86_400


class SummingChecks(Backend):
    """Checks of what many runs add up to."""

    async def test_statistics_are_those_of_the_traces(self, caller: StoreCaller) -> None:
        traces = await _stored(caller)
        by = ("hour", "day", "model", "tool", "user", "tag", "score")
        for filters in _FILTERS:
            for time, zone in (("started_at", ZoneInfo("Asia/Kolkata")), ("created_at", UTC)):
                options: dict[str, Any] = {"by": by, "zone": zone, "time": time}
                collector = Collector(**options)
                for summary in await caller.query(filters):
                    collector.add_summary(summary)
                    collector.add_trace(traces[summary.run_id], time_of(summary, collector.time))
                    collector.add_annotations(summary, rollup_of(traces[summary.run_id]))
                same_but_for_errors(await caller.statistics(filters, **options), collector.result())
        some = await caller.statistics(by=())
        assert (some.total.runs, some.days, some.models) == (await caller.count(), (), ())

    async def test_statistics_of_any_names_and_counts(self, caller: StoreCaller) -> None:
        """Asked twice: a store may remember what it read the first time."""
        steps = [
            make_step(tool_name="\ud800", model="\ud800", prompt_tokens=tokens)
            for tokens in (1, 2**70)
        ]
        await caller.save(make_trace("run", of=steps))
        for _ in range(2):
            found = await caller.statistics(by=("tool", "model"))
            assert [group.key for group in found.tools] == ["\ud800"]
            assert found.total.calls == 2

    async def test_statistics_refuse_what_they_do_not_know(self, caller: StoreCaller) -> None:
        with pytest.raises(ValueError, match="time is started_at or created_at"):
            await caller.statistics(time="yesterday")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must be a TraceFilter"):
            await caller.statistics({"steps": 1})  # type: ignore[arg-type]

    async def test_groups_are_those_of_the_summaries(self, caller: StoreCaller) -> None:
        await _stored(caller)
        for by, order_by in (
            ("user", "-last"), ("score", "-runs"), ("tag", "key"), ("name", "first"),
            ("outcome", "-total_ms"), ("a.b", "errors"),
        ):  # fmt: skip
            for filters in _FILTERS:
                collector = GroupCollector(by)
                for summary in await caller.query(filters):
                    collector.add(summary)
                expected = collector.page(order_by, 1000, None)
                found: list[Any] = []
                cursor = None
                while True:
                    page: GroupPage = await caller.groups(
                        by, filters, order_by=order_by, limit=2, cursor=cursor
                    )
                    found += page
                    cursor = page.next_cursor
                    if cursor is None:
                        break
                same_but_for_errors(found, list(expected))

    async def test_a_group_tells_its_first_and_its_last_run(self, caller: StoreCaller) -> None:
        for number, words in enumerate(["one", "two", "three"]):
            trace = make_trace(f"run-{number}", metadata={"session_id": "s"})
            trace.input, trace.output = f"ask {words}", f"answer {words}"
            trace.start_time = 1_700_000_000 + number
            for step in trace.steps:
                step.timestamp = trace.start_time
            await caller.save(trace)
        (group,) = await caller.groups("session")
        assert (group.key, group.runs) == ("s", 3)
        assert (group.first_input, group.last_output) == ("ask one", "answer three")
        assert (group.last_at - group.first_at).total_seconds() == 2

    async def test_a_page_of_groups_follows_any_key(self, caller: StoreCaller) -> None:
        keys = ["plain", "it's", "na\u00efve", "\0", "\ud800", "\U0001f600"]
        for number, key in enumerate(keys):
            await caller.save(make_trace(f"run-{number}", metadata={"k'": key}))
        found: list[str] = []
        cursor = None
        while True:
            page = await caller.groups("k'", order_by="key", limit=1, cursor=cursor)
            found += [group.key for group in page]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == sorted(keys)

    async def test_groups_refuse_what_they_do_not_know(self, caller: StoreCaller) -> None:
        with pytest.raises(ValueError, match="groups are ordered by"):
            await caller.groups("user", order_by="colour")
        with pytest.raises(ValueError, match="not a cursor of these groups"):
            await caller.groups("user", cursor="abc")
        with pytest.raises(ValueError, match="grouped by"):
            await caller.groups("")
        with pytest.raises(TypeError, match="by must be a string"):
            await caller.groups(5)  # type: ignore[arg-type]

    async def test_facets_are_those_of_the_runs(self, caller: StoreCaller) -> None:
        traces = await _stored(caller)
        for filters in _FILTERS:
            collector = FacetCollector()
            for summary in await caller.query(filters):
                collector.add(summary, facts_of(traces[summary.run_id]))
            assert await caller.facets(filters) == collector.result(100)
        capped = await caller.facets(most=1)
        assert not capped.fields["model"].is_complete
        assert len(capped.fields["model"].values) == 1


async def _stored(caller: StoreCaller) -> dict[str, AgentTrace]:
    """Runs of several days, some of them saved again or deleted."""
    traces = list(various_traces(280))
    for number, trace in enumerate(traces):
        trace.start_time = 1_772_000_000 + number % 5 * _DAY / 2
        for step in trace.steps:
            step.timestamp = trace.start_time + 1
            step.prompt_tokens, step.completion_tokens = number % 3, None
    for start in range(0, 280, 70):
        await caller.save_many(traces[start : start + 70])
    await caller.save_many(traces[5:200:11])
    for trace in traces[::17]:
        await caller.delete(trace.run_id)
    return {trace.run_id: trace for trace in traces}


def same_but_for_errors(found: Any, expected: Any) -> None:
    """Whether two results say the same, but for what their percentiles may be off."""
    _compare(msgspec.to_builtins(found), msgspec.to_builtins(expected), 0.0)


def _compare(found: Any, expected: Any, error: float) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        error = max(found.get("error") or 0.0, expected.get("error") or 0.0)
        for name, value in expected.items():
            if name != "error":
                _compare(found[name], value, 2 * error if name.startswith("p") else 0.0)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _compare(one, other, error)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=error + 1e-9)
    else:
        assert found == expected
