"""The route that compares two runs."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from ...analytics import Comparison, compare
from ..query_params import Parameter, parse, text
from ..responses import answer
from ..state import state_of
from .traces import load, summary_of, version_tag

ONE = Parameter("one", text, {"type": "string"}, "Run id of the left run.", needed=True)
OTHER = Parameter("other", text, {"type": "string"}, "Run id of the right run.", needed=True)


async def compare_traces(request: Request) -> Response:
    values = parse(request.scope["query_string"], (ONE, OTHER))
    state = state_of(request)
    summaries, traces = [], []
    for run_id in (values["one"], values["other"]):
        summary = await summary_of(state, run_id)
        summaries.append(summary)
        traces.append(await load(state, run_id, version_tag(summary)))
    found = await anyio.to_thread.run_sync(partial(compare, *traces))
    one, other = (summary.to_dict() for summary in summaries)
    return answer({"one": one, "other": other, **_fields(found)})


def _fields(found: Comparison) -> dict[str, Any]:
    return {
        "first_difference": found.first_difference,
        "metadata": found.metadata,
        "pairs": [
            {"one": pair.left, "other": pair.right, "change": pair.change, "fields": pair.fields}
            for pair in found.pairs
        ],
    }
