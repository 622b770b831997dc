"""The tools that an agent is given: to find, read, compare and sum up recorded runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Annotated, Any, ParamSpec
from zoneinfo import ZoneInfo

import anyio.to_thread
import msgspec
from mcp.server.fastmcp.exceptions import ToolError
from mcp.types import CallToolResult
from pydantic import Field

from ...analytics import compare
from ...analytics.capture_gaps import gaps_of
from ...analytics.conversation import Turn, conversation_of
from ...errors import TraceStoreError
from ...model.annotations import Annotation
from ...model.details import details_of
from ...model.filters import TraceFilter
from ...model.group_sums import Group
from ...model.json_values import dumps, plain
from ...model.ordering import ORDERS
from ...model.statistics import BY_DEFAULT
from ...model.text_query import SearchHit
from ...model.trace import AgentTrace, TraceStep, TraceSummary
from ...model.validation import as_agent_trace
from ...protocols import AsyncQueryableTraceStore
from ..key_warning import reason_for_nothing
from .recorded_data import fitting, recorded, shortened

P = ParamSpec("P")
Tool = Callable[P, Awaitable[CallToolResult]]

_AUTHOR = "MCP client"
_IN_A_LIST = 300  # characters of a text in a list
_OF_AN_ERROR = 2000
_IN_A_STATISTIC = 30  # groups of each kind
_MODELS_OF_A_TIME = 5

Where = Annotated[
    str | None,
    Field(
        description=(
            "A filter, such as: status:error tool:search latency>5s tokens>10k cost>0.1 "
            "model:gpt-4* user:ada session:s1 since:7d reward<1 -tool:think tool:book!error "
            '"gift card". Words side by side must all hold; OR, NOT and parentheses work.'
        ),
        max_length=10_000,
    ),
]
Limit = Annotated[int, Field(description="Maximum number of runs.", ge=1, le=100)]
Cursor = Annotated[
    str | None, Field(description="The next_cursor of the page before.", max_length=2000)
]
RunId = Annotated[str, Field(description="A run's id, as lists and hits give it.")]
TextLimit = Annotated[
    int, Field(description="Cut texts longer than this number of characters.", ge=100, le=20_000)
]
OrderBy = Annotated[
    str | None,
    Field(description=f"One of {', '.join(ORDERS)}, score.NAME; with - the largest first."),
]
StepNumber = Annotated[int, Field(description="The step's number, from 1.", ge=1)]


def _explained(tool: Tool[P]) -> Tool[P]:
    """The tool, whose errors tell the agent what was wrong and what to do."""

    @wraps(tool)
    async def call(*args: P.args, **kwargs: P.kwargs) -> CallToolResult:
        try:
            return await tool(*args, **kwargs)
        except (TraceStoreError, ValueError) as error:
            # It may quote what was given, and a run.
            raise ToolError(shortened(str(error), _OF_AN_ERROR)) from error

    return call


class RunTools:
    """The tools over one store; each method is one, and its docstring is what agents read.

    Steps are numbered from 1.
    """

    def __init__(self, store: AsyncQueryableTraceStore) -> None:
        self._store = store

    def reading(self) -> list[Tool[...]]:
        """The tools that change nothing."""
        return [
            self.search_runs,
            self.list_runs,
            self.read_conversation,
            self.read_step,
            self.compare_runs,
            self.summarize_runs,
            self.list_values,
            self.read_annotations,
        ]

    def writing(self) -> list[Tool[...]]:
        """The tools that add to what is kept; none changes a run."""
        return [self.annotate_run]

    @_explained
    async def search_runs(
        self,
        text: Annotated[
            str,
            Field(
                description='Words and "phrases in quotes"; all must occur. A word finds words '
                "that begin with it.",
                max_length=1000,
            ),
        ],
        where: Where = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> CallToolResult:
        """Find runs by what was said in them: messages, tool calls, results, errors.

        Gives each hit's run, step, field and a snippet, newest runs first.
        """
        page = await self._store.search(text, _parsed(where), limit=limit, cursor=cursor)
        if not page:
            await self._check_keys(where)
        return recorded(hits=fitting(page, _hit), next_cursor=page.next_cursor)

    @_explained
    async def list_runs(
        self,
        where: Where = None,
        order_by: OrderBy = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> CallToolResult:
        """List runs: id, name, outcome, start, duration, tokens, cost, input and output in short.

        Newest first unless order_by says otherwise.
        """
        filters = dataclasses.replace(_parsed(where), limit=limit, order_by=order_by)
        page = await self._store.query(filters, cursor=cursor)
        total = await self._store.count(dataclasses.replace(filters, limit=None, order_by=None))
        if not total:
            await self._check_keys(where)
        runs = fitting(page, _summary)
        return recorded(runs=runs, total=total, next_cursor=page.next_cursor)

    @_explained
    async def read_conversation(
        self,
        run_id: RunId,
        offset: Annotated[int, Field(description="Index of the first turn, from 0.", ge=0)] = 0,
        limit: Annotated[int, Field(description="Maximum number of turns.", ge=1, le=500)] = 100,
        text_limit: TextLimit = 2000,
    ) -> CallToolResult:
        """Read what was said in a run, in order: messages, tool calls with their results, errors.

        Each message stands once. Where next_offset is not null there is more.
        """
        trace = await self._run(run_id)
        turns = await anyio.to_thread.run_sync(conversation_of, trace)
        some = turns[offset : offset + limit]
        shown = await anyio.to_thread.run_sync(fitting, some, partial(_turn, limit=text_limit))
        end = offset + len(shown)
        return recorded(
            run_id=run_id,
            outcome=shortened(details_of(trace).outcome, _IN_A_LIST),
            steps=len(trace.steps),
            **({"capture_gaps": str(gaps)} if (gaps := gaps_of(trace, turns)) else {}),
            turns=shown,
            total_turns=len(turns),
            next_offset=end if end < len(turns) else None,
        )

    @_explained
    async def read_step(
        self,
        run_id: RunId,
        step: StepNumber,
        field: Annotated[
            str | None,
            Field(description="Only this field, such as tool_result, tool_args, input, output."),
        ] = None,
        offset: Annotated[
            int, Field(description="Of a field: where to begin, in characters.", ge=0)
        ] = 0,
        text_limit: TextLimit = 4000,
    ) -> CallToolResult:
        """Read one step of a run: all its fields, or a piece of one long field."""
        trace = await self._run(run_id)
        if step > len(trace.steps):
            raise ToolError(f"the run has {len(trace.steps)} steps; they are numbered from 1")
        found = trace.steps[step - 1]
        if field is None:
            fields = await anyio.to_thread.run_sync(shortened, found.to_dict(), text_limit)
            return recorded(run_id=run_id, step=step, fields=fields)
        text = _field_text(found, field)
        piece = text[offset : offset + text_limit]
        end = offset + len(piece)
        return recorded(
            run_id=run_id,
            step=step,
            field=field,
            text=shortened(piece, text_limit),
            next_offset=end if end < len(text) else None,
        )

    @_explained
    async def compare_runs(
        self,
        run_id: RunId,
        other_run_id: RunId,
        text_limit: TextLimit = 500,
    ) -> CallToolResult:
        """Compare two runs step by step: where they part, and what differs there.

        Time, tokens, cost and scores do not count as differences; those of both are given.
        """
        one, other = await self._run(run_id), await self._run(other_run_id)
        scores = {run_id: await self._scores(run_id) for run_id in (run_id, other_run_id)}
        judged = (scores[run_id], scores[other_run_id])
        found = await anyio.to_thread.run_sync(partial(compare, one, other, scores=judged))
        differing = [pair for pair in found.pairs if pair.change != "same"]

        def shown(pair: Any) -> Any:
            sides = {"run": (one, pair.left), "other": (other, pair.right)}
            steps = {
                side: _side(trace, index, pair.fields, text_limit)
                for side, (trace, index) in sides.items()
                if index is not None
            }
            return {"change": pair.change, "fields": list(pair.fields), **steps}

        pairs = await anyio.to_thread.run_sync(fitting, differing, shown)
        return recorded(
            same_steps=len(found.pairs) - len(differing),
            differing_steps=len(differing),
            differences=pairs,
            differences_left_out=len(differing) - len(pairs),
            metadata_that_differs=shortened(list(found.metadata), _IN_A_LIST),
            numbers=[dataclasses.asdict(delta) for delta in found.deltas],
            run=dataclasses.asdict(found.left),
            other=dataclasses.asdict(found.right),
        )

    @_explained
    async def summarize_runs(
        self,
        where: Where = None,
        by: Annotated[
            list[str] | None,
            Field(
                description="What to group by: hour, day, model, tool, session, user, agent, name, "
                "outcome, tag, or a metadata key. Day, model and tool unless given.",
                max_length=5,
            ),
        ] = None,
        timezone: Annotated[
            str, Field(description="The time zone of days, such as Europe/Zurich.")
        ] = "UTC",
    ) -> CallToolResult:
        """Sum up the runs of a filter: how many, errors, tokens, cost, latency percentiles."""
        zone = _zone(timezone)
        found = await self._store.statistics(_parsed(where, zone), by=by or BY_DEFAULT, zone=zone)
        if not found.total.runs:
            await self._check_keys(where)
        tables = {"hour": found.hours, "day": found.days, "model": found.models}
        tables |= {"tool": found.tools, **found.groups}
        groups = {
            name: [_group(group) for group in _some(name, table)]
            for name, table in tables.items()
            if table
        }
        left_out = {
            name: len(table) - _IN_A_STATISTIC
            for name, table in tables.items()
            if len(table) > _IN_A_STATISTIC
        }
        return recorded(total=_group(found.total), groups=groups, groups_left_out=left_out)

    @_explained
    async def list_values(
        self,
        where: Where = None,
        most: Annotated[int, Field(description="Values of each key.", ge=1, le=50)] = 10,
    ) -> CallToolResult:
        """List what can be asked for: models, tools, users, tags, metadata keys, with counts."""
        found = await self._store.facets(_parsed(where), most=most)
        return recorded(**shortened(msgspec.to_builtins(found), 10_000))

    @_explained
    async def read_annotations(self, run_id: RunId) -> CallToolResult:
        """Read the labels, scores and notes that people, checks and models gave a run."""
        found = await self._store.annotations(run_id)
        newest = fitting(reversed(found), _annotation)
        return recorded(
            run_id=run_id, annotations=newest[::-1], older_left_out=len(found) - len(newest)
        )

    @_explained
    async def annotate_run(
        self,
        run_id: RunId,
        *,
        name: Annotated[str, Field(description="What is judged, such as quality, tone, resolved.")],
        label: Annotated[str | None, Field(description="A label, such as good.")] = None,
        score: Annotated[float | None, Field(description="A score: any number.")] = None,
        note: Annotated[str | None, Field(description="Why.", max_length=10_000)] = None,
        step: Annotated[
            int | None,
            Field(description="Number of the annotated step, from 1; without it, the run.", ge=1),
        ] = None,
    ) -> CallToolResult:
        """Say something of a run or a step: a label, a score, a note. The run is not changed."""
        if step is not None and step > (steps := len((await self._run(run_id)).steps)):
            raise ToolError(f"the run has {steps} steps; they are numbered from 1")
        kept = await self._store.annotate(
            run_id,
            name,
            label=label,
            score=score,
            note=note,
            step=None if step is None else step - 1,
            author=_AUTHOR,
            source="llm",
        )
        return recorded(annotation=_annotation(kept))

    async def _check_keys(self, where: str | None) -> None:
        """Tell of a key that no run has: it may be why nothing was found."""
        problem = await reason_for_nothing(self._store, _parsed(where))
        if problem is not None:
            raise ToolError(problem)

    async def _scores(self, run_id: str) -> dict[str, float]:
        found = await self._store.query(TraceFilter(run_ids=(run_id,)))
        return found[0].scores if found else {}

    async def _run(self, run_id: str) -> AgentTrace:
        return as_agent_trace(await self._store.load(run_id))


def _parsed(text: str | None, zone: ZoneInfo | None = None) -> TraceFilter:
    if text is None or not text.strip():
        return TraceFilter()
    return TraceFilter.parse(text, zone=zone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError) as error:
        raise ToolError(
            f"unknown time zone {name!r:.80}: give one such as Europe/Zurich"
        ) from error


def _hit(hit: SearchHit) -> Any:
    fields: dict[str, Any] = msgspec.to_builtins(hit)
    del fields["marks"]
    return shortened(fields, _IN_A_LIST)


def _summary(summary: TraceSummary) -> Any:
    fields = {name: value for name, value in summary.to_dict().items() if value not in (None, [])}
    return shortened(fields, _IN_A_LIST)


def _annotation(annotation: Annotation) -> Any:
    fields = annotation.to_dict()
    if annotation.step is not None:
        fields["step"] = annotation.step + 1
    return shortened(fields, 2000)


def _turn(turn: Turn, limit: int) -> Any:
    return shortened({**msgspec.to_builtins(turn), "step": turn.step + 1}, limit)


def _side(trace: AgentTrace, index: int, names: tuple[str, ...], limit: int) -> Any:
    step = trace.steps[index]
    shown = {name: getattr(step, name) for name in ("type", "tool_name", *names)}
    fields = {name: value for name, value in shown.items() if value is not None}
    return {"step": index + 1, **shortened(fields, limit)}


def _field_text(step: TraceStep, name: str) -> str:
    fields = step.to_dict()
    if name not in fields:
        raise ToolError(f"the step has no {name!r:.80}; it has {', '.join(fields):.500}")
    value = plain(fields[name])
    return value if isinstance(value, str) else dumps(value).decode("utf-8", "replace")


def _some(name: str, table: tuple[Group, ...]) -> tuple[Group, ...]:
    """The newest hours or days; the largest groups of others."""
    return table[-_IN_A_STATISTIC:] if name in {"hour", "day"} else table[:_IN_A_STATISTIC]


def _group(group: Group) -> dict[str, Any]:
    cost, latency = group.cost_usd, group.duration_ms
    dearest = sorted(group.models.items(), key=lambda pair: -(pair[1].cost_usd or 0.0))
    models = {
        shortened(name, _IN_A_LIST): dataclasses.asdict(use)
        for name, use in dearest[:_MODELS_OF_A_TIME]
    }
    return {
        "key": shortened(group.key, _IN_A_LIST),
        "runs": group.runs,
        "calls": group.calls,
        "errors": group.errors,
        "prompt_tokens": group.prompt_tokens,
        "completion_tokens": group.completion_tokens,
        "cost_usd": cost.total if cost.count else None,
        "latency_ms": {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99},
        **({"models": models} if models else {}),
    }
