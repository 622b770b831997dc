"""Shell completion of run ids, tools and models.

A shell asks while a person types: answers are quick, and trouble is an empty answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice

import click

from ..model.filters import TraceFilter
from ..protocols import QueryableTraceStore
from ..stores.open import open_store
from .command_session import Session

_PLAIN_WORD = re.compile(r"[\w.:@/+][\w.:@/+-]*")
_RUNS_LOOKED_AT = 500
_TRACES_LOOKED_AT = 50


def complete_run_ids(ctx: click.Context, _: click.Parameter, start: str) -> list[str]:
    """Ids of the newest runs."""
    return _ask(ctx, start, _run_ids)


def complete_tools(ctx: click.Context, _: click.Parameter, start: str) -> list[str]:
    """Tools of the newest runs."""
    return _ask(ctx, start, lambda store: _of_steps(store, "tool_name"))


def complete_models(ctx: click.Context, _: click.Parameter, start: str) -> list[str]:
    """Models of the newest runs."""
    return _ask(ctx, start, lambda store: _of_steps(store, "model"))


def _run_ids(store: QueryableTraceStore) -> Iterable[str]:
    return (summary.run_id for summary in store.list(limit=_RUNS_LOOKED_AT))


def _of_steps(store: QueryableTraceStore, name: str) -> Iterable[str]:
    for trace in store.iter_traces(TraceFilter(limit=_TRACES_LOOKED_AT)):
        yield from (str(found) for step in trace.steps if (found := getattr(step, name)))


def _ask(
    ctx: click.Context, start: str, question: Callable[[QueryableTraceStore], Iterable[str]]
) -> list[str]:
    session = ctx.find_object(Session)
    try:
        store = open_store((session or Session()).name, must_exist=True)
        try:
            words = dict.fromkeys(question(store))
        finally:
            store.close()
    except Exception:  # noqa: BLE001 - nobody asked for the trouble
        return []
    offered = (word for word in words if word.startswith(start) and _is_plain_word(word))
    return list(islice(offered, _RUNS_LOOKED_AT))


def _is_plain_word(word: str) -> bool:
    """Whether a word means itself to every shell.

    bash inserts what it is given unquoted: an id such as ``run$(command)`` would be a command.
    """
    return _PLAIN_WORD.fullmatch(word) is not None
