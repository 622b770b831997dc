"""The page with its runs as one HTML file that needs no server.

Needs none of the optional packages.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Protocol, cast

from ..analytics.capture_gaps import gaps_as_json, gaps_of
from ..analytics.conversation import conversation_of, turns_as_json
from ..analytics.step_tree import parents
from ..model.annotations import latest_of
from ..model.codec import EncodedTrace, encode
from ..model.json_values import dumps
from ..model.references import expanded_json
from ..model.saved_trace import SavedTrace, as_saved
from ..model.trace import AgentTrace
from ..model.validation import as_agent_trace

TITLE = "selectools-observe"

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<div id="app" data-embedded data-title="{title}"></div>
<noscript><p>This file needs JavaScript. It fetches nothing.</p></noscript>
"""
_BLOCK = '<script type="application/json">{json}</script>\n'
_TAIL = "<script>{script}</script>\n</body>\n</html>\n"


class Writable(Protocol):
    """What `write_standalone_html` writes to: a file opened for text, as UTF-8."""

    def write(self, text: str, /) -> object:
        """Take a text."""


def standalone_html(traces: Iterable[AgentTrace | SavedTrace], *, title: str = TITLE) -> str:
    """The page with these runs in it, as text.

    Args:
        traces: The runs; objects with the shape of an `AgentTrace` do. Runs with what their store
            says of them, such as ``saved_runs(store)`` of `selectools_observe.interchange`, are
            shown with the time of their save and their annotations; others as saved when they
            began.
        title: What stands above the page.

    Raises:
        InvalidTraceError: One of them is no trace, or holds what JSON cannot.
    """
    text = io.StringIO()
    write_standalone_html(traces, text, title=title)
    return text.getvalue()


def write_standalone_html(
    traces: Iterable[AgentTrace | SavedTrace], file: Writable, *, title: str = TITLE
) -> int:
    """Write the page with these runs in it, one by one; return how many there were.

    In memory is one run at a time here; the browser that opens the file holds all of them.

    Args:
        traces: As `standalone_html`.
        file: A file opened for text with ``encoding="utf-8"``.
        title: What stands above the page.

    Raises:
        InvalidTraceError: As `standalone_html`; what came before is written already.
    """
    style, script = _built("app.css"), _built("app.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    file.write(_HEAD.format(policy=policy, title=html.escape(title), style=style))
    count = 0
    for item in traces:
        saved = as_saved(item)
        trace = cast("AgentTrace", item) if saved is None else saved.trace
        encoded = encode(trace)
        file.write(_block(dumps(_summary(encoded, trace, saved))))
        file.write(_block(expanded_json(encoded.trace)))
        file.write(_block(dumps(_reading(as_agent_trace(trace)))))
        count += 1
    file.write(_TAIL.format(script=script))
    return count


def _reading(trace: AgentTrace) -> dict[str, Any]:
    """What the service says of a run beside its steps: the file has no Python to find it out."""
    turns = conversation_of(trace)
    found: dict[str, Any] = {
        "turns": list(turns_as_json(turns)),
        "parents": parents(trace),
    }
    if gaps := gaps_of(trace, turns):
        found["gaps"] = gaps_as_json(gaps)
    return found


def _summary(encoded: EncodedTrace, trace: AgentTrace, saved: SavedTrace | None) -> dict[str, Any]:
    moment = None if saved is None else saved.created_at
    said = () if saved is None else saved.annotations
    summary = encoded.summary(moment or _began(trace))
    summary.annotations = latest_of(said)
    facts = encoded.facts
    return {
        **summary.to_dict(),
        "all_annotations": [one.to_dict() for one in said],
        "parent_run_id": facts.parent_run_id,
        "tools": sorted(facts.tool_names),
        "models": sorted(facts.models),
        "types": sorted(facts.step_types),
        "failed_tools": sorted(facts.failed_tools),
        "failed_models": sorted(facts.failed_models),
        "failed_types": sorted(facts.failed_types),
    }


def _began(trace: AgentTrace) -> datetime:
    try:
        return datetime.fromtimestamp(trace.start_time, UTC)
    except (TypeError, ValueError, OverflowError, OSError):  # a start that is not a time
        return datetime.fromtimestamp(0, UTC)


def _block(json: bytes) -> str:
    # In JSON `<` stands in strings only. Escaped, no text of a run can end the block it stands in.
    return _BLOCK.format(json=json.decode("utf-8").replace("<", "\\u003c"))


def _built(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
