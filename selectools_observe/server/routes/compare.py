"""The routes that compare runs: two step by step, more in a table, and runs worth comparing."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import Any

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...analytics import Comparison, StepPair, compare, differences, tabulate
from ...analytics.conversation import cut_texts
from ...analytics.similar_runs import CandidateQuery, candidate_queries
from ...model.trace import AgentTrace, TraceSummary
from ..param_types import bounded, from_nought
from ..query_params import Parameter, parse, text
from ..responses import Problem, answer
from ..state import State, state_of
from .traces import load, run_id_of, summary_of, version_tag

_MOST_RUNS = 50
ONE = Parameter("one", text, {"type": "string"}, "Run id of the left run.", needed=True)
OTHER = Parameter("other", text, {"type": "string"}, "Run id of the right run.", needed=True)
LEFT = Parameter("left", *from_nought(), "Index of the left run's step.", needed=True)
RIGHT = Parameter("right", *from_nought(), "Index of the right run's step.", needed=True)
RUN_IDS = Parameter(
    "run_ids", text,
    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": _MOST_RUNS},
    "The runs, the one to compare the others with first.", many=True, needed=True,
)  # fmt: skip
TEXTS = Parameter(
    "text_limit", *from_nought(20_000),
    "Cut texts longer than this number of characters.",
)  # fmt: skip
MOST = Parameter("limit", *bounded(1, 100, 10), "Maximum number of runs of each kind.")


async def compare_traces(request: Request) -> Response:
    values = parse(request.scope["query_string"], (ONE, OTHER))
    one, other = await _runs(state_of(request), [values["one"], values["other"]])
    scores = (one[0].scores, other[0].scores)
    found = await anyio.to_thread.run_sync(partial(compare, one[1], other[1], scores=scores))
    reported = {"one": one[0].to_dict(), "other": other[0].to_dict()}
    return answer({**reported, **_fields(found)})


async def compare_steps(request: Request) -> Response:
    values = parse(request.scope["query_string"], (ONE, OTHER, LEFT, RIGHT, TEXTS))
    runs = await _runs(state_of(request), [values["one"], values["other"]])
    one, other = (trace for _, trace in runs)
    pair = StepPair(values["left"], values["right"], "changed")
    for trace, index in ((one, values["left"]), (other, values["right"])):
        if index >= len(trace.steps):
            message = f"The run has {len(trace.steps)} steps, numbered from 0"
            raise Problem(404, "step_not_found", message)
    found = await anyio.to_thread.run_sync(partial(differences, one, other, pair))
    reported = cut_texts(msgspec.to_builtins(found), values.get("text_limit", 20_000))
    return answer({"differences": reported})


async def compare_many(request: Request) -> Response:
    run_ids = parse(request.scope["query_string"], (RUN_IDS,))["run_ids"]
    if len(run_ids) > _MOST_RUNS:
        message = f"too many run_ids: {len(run_ids)}"
        raise Problem(400, "invalid_parameter", message, f"Send at most {_MOST_RUNS}")
    runs = await _runs(state_of(request), run_ids)
    scores = [summary.scores for summary, _ in runs]
    tabled = partial(tabulate, [trace for _, trace in runs], scores=scores)
    table = await anyio.to_thread.run_sync(tabled)
    rows = [
        {"summary": summary.to_dict(), **asdict(row)}
        for (summary, _), row in zip(runs, table.rows, strict=True)
    ]
    return answer({"metrics": table.metrics, "metadata": table.metadata, "rows": rows})


async def candidates(request: Request) -> Response:
    most = parse(request.scope["query_string"], (MOST,)).get("limit", 10)
    state = state_of(request)
    run = await summary_of(state, run_id_of(request))
    groups = [await _candidates(state, query, most) for query in candidate_queries(run)]
    return answer({"groups": [group for group in groups if group["traces"]]})


async def _candidates(state: State, query: CandidateQuery, most: int) -> dict[str, Any]:
    page = await state.store.query(replace(query.filters, limit=most + 1))
    found = [run.to_dict() for run in page if query.accepts(run)][:most]
    return {"reason": query.reason, "key": query.key, "value": query.value, "traces": found}


async def _runs(state: State, run_ids: list[str]) -> list[tuple[TraceSummary, AgentTrace]]:
    summaries = [await summary_of(state, run_id) for run_id in run_ids]
    return [(one, await load(state, one.run_id, version_tag(one))) for one in summaries]


def _fields(found: Comparison) -> dict[str, Any]:
    return {
        "first_difference": found.first_difference,
        "metadata": found.metadata,
        "run_fields": found.run_fields,
        "deltas": [asdict(delta) for delta in found.deltas],
        "pairs": [
            {"one": pair.left, "other": pair.right, "change": pair.change, "fields": pair.fields}
            for pair in found.pairs
        ],
    }
