"""Options that several commands share: the store, and all fields of `TraceFilter`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import datetime, tzinfo
from typing import Any, TypeVar

import click

from ..model.filter_language import parse_condition
from ..model.filters import KEYS_OF, TraceFilter, may_explain, why_nothing
from ..model.json_values import loads
from ..model.time_expressions import FORMS, parse_time
from ..model.trace import OUTCOMES, StepType
from ..model.zones import FORMS as ZONE_FORMS
from ..model.zones import parse_zone
from ..protocols import QueryableTraceStore
from .command_session import VARIABLE, Session
from .completers import complete_models, complete_run_ids, complete_tools
from .terminal import Colour

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
T = TypeVar("T")

_pass_session = click.make_pass_decorator(Session, ensure=True)


def with_session(command: CommandT) -> CommandT:
    """Hand the session to a command, and give it the options that all commands take."""
    made: Any = _pass_session(command)
    return output_options(made)  # type: ignore[no-any-return]


def output_options(command: CommandT) -> CommandT:
    """``--color`` and ``--quiet``."""
    colour = click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        expose_value=False,
        callback=_set_colour,
        help="Colour the output [default: auto]; NO_COLOR is respected too.",
    )
    quiet = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set_quiet,
        help="No notes and no progress bars.",
    )
    return colour(quiet(command))


def _set_colour(ctx: click.Context, _: click.Parameter, value: Colour | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).terminal.set_colour(value)


def _set_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    if value:
        ctx.ensure_object(Session).terminal.quiet = True


def read_by(read: Callable[[str], T]) -> Callable[[str], T]:
    """An option's type: its text as a function reads it, which says what is wrong with it."""

    def converted(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return converted


@read_by
def moment(text: str) -> datetime:
    """A time as people write it, the beginning of a day."""
    return parse_time(text, zone=_zone_asked())


@read_by
def moment_at_end(text: str) -> datetime:
    """A time as people write it, the end of a day."""
    return parse_time(text, end_of_day=True, zone=_zone_asked())


_ZONE = f"{__name__}.zone"


def _zone_asked() -> tzinfo | None:
    """The zone of ``--tz``; None where the command has no such option: then it is the local one."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_ZONE)


def _note_zone(ctx: click.Context, _: click.Parameter, zone: tzinfo) -> tzinfo:
    ctx.meta[_ZONE] = zone
    return zone


def zone_option(command: CommandT) -> CommandT:
    """``--tz``, the zone of days and hours, of filters too, handed to the command as ``zone``."""
    return click.option(
        "--tz",
        "zone",
        type=read_by(parse_zone),
        is_eager=True,  # other options tell days
        callback=_note_zone,
        default="local",
        metavar="ZONE",
        help=f"Time zone of days and hours: {ZONE_FORMS} [default: local].",
    )(command)


def pair(text: str) -> tuple[str, Any]:
    """``KEY=VALUE``; the value is read as JSON if it is JSON, and as text if not."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE")
    try:
        return key, loads(value)
    except ValueError:
        return key, value


def store_option(command: CommandT) -> CommandT:
    """``--store``, which names the store that the command is about."""
    return click.option(
        "-s",
        "--store",
        metavar="STORE",
        expose_value=False,
        callback=_name_store,
        shell_complete=_complete_files,
        help=f"Path or URL of the store (traces.db, runs.jsonl, sqlite:///...) [env: {VARIABLE}].",
    )(command)


def store_argument(command: CommandT) -> CommandT:
    """The same as an argument, for commands that take no other."""
    argument = click.argument(
        "place",
        metavar="[STORE]",
        required=False,
        expose_value=False,
        callback=_name_store,
        shell_complete=_complete_files,
    )
    return argument(command)


def _name_store(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).named = value


def _complete_files(*_: object) -> list[Any]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - for completion only

    return [CompletionItem("", type="file")]


_FILTERS = (
    click.option(
        "-w", "--where", metavar="FILTER",
        help="A filter such as 'reward<1 -tool:think \"gift card\"' (docs/filters.md).",
    ),
    click.option(
        "--text", metavar="WORDS",
        help="Runs whose texts have these words; a phrase in double quotes, whole.",
    ),
    click.option(
        "-m", "--match", "metadata_match", type=pair, metavar="KEY=VALUE", multiple=True,
        help="Runs whose metadata has this pair. The value is parsed as JSON if possible: "
        "trial=3 is a number, 'trial=\"3\"' a string. May be repeated.",
    ),
    click.option(
        "--since", type=moment, metavar="TIME", help=f"Saved at or after this time: {FORMS}."
    ),
    click.option(
        "--until", type=moment_at_end, metavar="TIME",
        help="Saved at or before this time; a date means its end.",
    ),
    click.option(
        "--error/--no-error", "has_error", default=None,
        help="Runs with a failed step, or without one.",
    ),
    click.option(
        "--tool", "--tool-name", "tool_name", metavar="NAME", shell_complete=complete_tools,
        help="Runs in which any step calls this tool.",
    ),
    click.option(
        "--model", metavar="NAME", shell_complete=complete_models,
        help="Runs in which any step uses this model.",
    ),
    click.option(
        "--step-type", metavar="TYPE",
        shell_complete=lambda _ctx, _param, start: [
            kind.value for kind in StepType if kind.value.startswith(start)
        ],
        help="Runs in which any step has this type, such as llm_call.",
    ),
    click.option("--min-steps", type=int, metavar="N", help="Minimum number of steps."),
    click.option("--max-steps", type=int, metavar="N", help="Maximum number of steps."),
    click.option("--min-ms", type=float, metavar="MS", help="Minimum total duration."),
    click.option("--max-ms", type=float, metavar="MS", help="Maximum total duration."),
    click.option(
        "--min-cost", "--min-cost-usd", "min_cost_usd", type=float, metavar="USD",
        help="Minimum total cost.",
    ),
    click.option(
        "--max-cost", "--max-cost-usd", "max_cost_usd", type=float, metavar="USD",
        help="Maximum total cost.",
    ),
    click.option("--name", metavar="NAME", help="Runs of this name."),
    click.option(
        "--session", "--session-id", "session_id", metavar="ID",
        help="Runs of this session: a conversation or thread.",
    ),
    click.option("--user", "--user-id", "user_id", metavar="ID", help="Runs made for this user."),
    click.option("--agent", metavar="NAME", help="Runs of this agent."),
    click.option(
        "--tag", "tags", metavar="TAG", multiple=True, help="Runs with this tag; may be repeated."
    ),
    click.option(
        "--outcome", metavar="WORD",
        shell_complete=lambda _ctx, _param, start: [
            word for word in OUTCOMES if word.startswith(start)
        ],
        help=f"Runs with this outcome: {', '.join(OUTCOMES)}.",
    ),
    click.option(
        "--started-since", type=moment, metavar="TIME", help="Started at or after this time."
    ),
    click.option(
        "--started-until",
        type=moment_at_end,
        metavar="TIME",
        help="Started at or before this time.",
    ),
    click.option(
        "--min-wall-ms", type=float, metavar="MS",
        help="Minimum wall time, from the first start to the last end.",
    ),
    click.option("--max-wall-ms", type=float, metavar="MS", help="Maximum wall time."),
    click.option(
        "--parent", "--parent-run-id", "parent_run_id", metavar="RUN",
        shell_complete=complete_run_ids, help="Child runs of this run.",
    ),
    click.option(
        "--run-id", "run_ids", metavar="RUN", multiple=True, shell_complete=complete_run_ids,
        help="This run, by its id or a prefix of it, or @1; may be repeated.",
    ),
)  # fmt: skip


def filter_options(
    limit: int | None = None, counted: str = "runs, newest first"
) -> Callable[[CommandT], CommandT]:
    """Options for all fields of `TraceFilter`, handed to the command as ``filters``.

    Args:
        limit: The limit where none is given.
        counted: What the limit counts.
    """
    default = limit or "all"
    help_text = f"Maximum number of {counted} [default: {default}]."
    limited = click.option("-n", "--limit", type=click.IntRange(0), default=limit, help=help_text)

    def decorate(command: CommandT) -> CommandT:
        @functools.wraps(command)
        def with_filters(*args: Any, **options: Any) -> Any:
            chosen = {name: options.pop(name) for name in FILTER_FIELDS}
            return command(*args, filters=make_filter(**chosen), **options)

        made: Any = with_filters
        for option in reversed((*_FILTERS, limited)):
            made = option(made)
        return made  # type: ignore[no-any-return]

    return decorate


FILTER_FIELDS = tuple(field.name for field in fields(TraceFilter) if field.name != "order_by")


def make_filter(
    metadata_match: Iterable[tuple[str, Any]] = (),
    run_ids: Iterable[str] = (),
    tags: Iterable[str] = (),
    **fields: Any,
) -> TraceFilter:
    """The filter of what was given.

    Raises:
        click.UsageError: It is no filter.
    """
    pairs = dict(metadata_match)
    where = fields.pop("where", None)
    try:
        if where is not None:
            fields["where"] = parse_condition(where, zone=_zone_asked())
        return TraceFilter(
            metadata_match=pairs or None,
            run_ids=tuple(run_ids) or None,
            tags=tuple(tags) or None,
            **fields,
        )
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def no_runs_match(store: QueryableTraceStore, filters: TraceFilter) -> str:
    """The note that nothing was found, with a hint why that may be.

    A value may have been meant as text, or a word of ``--where`` may be a key that no run has.
    """
    parsed = {
        key: value
        for key, value in (filters.metadata_match or {}).items()
        if not isinstance(value, str)
    }
    hints = ", ".join(
        f"{key} was parsed as JSON ({json.dumps(value)}); "
        f"to match text write '{key}={json.dumps(str(value))}'"
        for key, value in parsed.items()
    )
    return f"No runs match. {hints or _hint(store, filters)}".rstrip()


def _hint(store: QueryableTraceStore, filters: TraceFilter) -> str:
    if not may_explain(filters):
        return ""
    return why_nothing(filters, store.facets(KEYS_OF, most=1)) or ""
