"""The command ``query``: runs by a filter."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence
from typing import Any

import click

from ...model.conditions import AllOf
from ...model.filter_language import KEYS, parse_condition
from ...model.filters import TraceFilter, condition_of
from ..command_session import Session
from ..exit_codes import usage_errors
from ..options import filter_options, pair, store_option, with_session
from ..run_listing import PAGE_SIZE, list_matching, list_options

_PAIR = re.compile(r"[^\s:<>=!()\"]+=(?!=)", re.DOTALL)

_NEGATED = re.compile(r"-(?:([\w.]+)[:<>=!]|[\"(]|([^\W\d_]{3,})$)")


class _QueryCommand(click.Command):
    """Takes a filter that begins with a negation, such as ``-status:error``, for no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        letters = {name[1] for option in self.params for name in option.opts if len(name) == 2}
        return super().parse_args(ctx, [_spaced(arg, letters) for arg in args])


def _spaced(argument: str, letters: Collection[str]) -> str:
    """A filter that begins with a negation with a space before it, which means nothing to it.

    What may be an option with its value (``-sruns.db``) stays, unless the filter has that field or
    it is letters alone, a word.
    """
    found = _NEGATED.match(argument)
    if found is None:
        return argument
    field = found[1]
    if field and field not in KEYS and field[0] in letters:
        return argument
    return f" {argument}"


@click.command(
    cls=_QueryCommand, short_help="List runs by a filter such as 'reward<1 -tool:think'."
)
@click.argument("filters_given", nargs=-1, metavar="[FILTER | KEY=VALUE]...")
@store_option
@filter_options(limit=PAGE_SIZE)
@list_options
@with_session
def query(
    session: Session, /, filters_given: Sequence[str], filters: TraceFilter, **shown: Any
) -> int:
    """List the runs that match a filter, metadata pairs and the options.

    \b
    selectools-observe query 'reward<1 tool:book!error "gift card"'
    selectools-observe query user=ada 'latency>5s' --since yesterday
    """  # noqa: D301 - for click
    pairs = [pair(text) for text in filters_given if _PAIR.match(text)]
    texts = [text for text in filters_given if not _PAIR.match(text)]
    match = [*(filters.metadata_match or {}).items(), *pairs]
    if match:
        filters = dataclasses.replace(filters, metadata_match=dict(match))
    with usage_errors():
        parts = [part for text in texts if (part := parse_condition(text)) is not None]
    if parts:
        where = AllOf((condition_of(filters), *parts))
        filters = dataclasses.replace(filters, where=where)
    return list_matching(session, filters, **shown)
