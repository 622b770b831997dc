"""The command ``selectools-observe`` and its subcommands."""

from __future__ import annotations

import click

from .. import __version__
from .command_session import Session
from .commands.annotate import annotate
from .commands.annotations import list_annotations
from .commands.backup import backup
from .commands.compact import compact
from .commands.compare import compare
from .commands.completion import completion
from .commands.copy import copy
from .commands.delete import delete
from .commands.demo import demo
from .commands.export import export
from .commands.facets import facets
from .commands.groups import groups
from .commands.import_ import import_
from .commands.list import list_runs
from .commands.mcp import mcp
from .commands.prune import prune
from .commands.query import query
from .commands.repair import repair
from .commands.reprice import reprice
from .commands.schema import schema
from .commands.search import search
from .commands.serve import serve
from .commands.show import show
from .commands.stats import stats
from .commands.tail import tail
from .commands.verify import verify
from .exit_codes import EXIT_CODES, PipeClosedError
from .options import output_options, store_option

_EXIT_CODES = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosedError from error


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"\b\nExit codes:\n{_EXIT_CODES}",
)
@store_option
@output_options
@click.version_option(__version__, message="selectools-observe %(version)s")
@click.pass_context
def command(ctx: click.Context) -> None:
    """See what your agents did: list, read, compare, export and keep their runs.

    Name the store with --store or in the environment variable SELECTOOLS_OBSERVE_STORE. --store,
    --color and --quiet work before and after the subcommand. Try `selectools-observe demo`.
    """
    session = ctx.ensure_object(Session)
    ctx.with_resource(session.terminal.listening())
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _subcommand in (
    list_runs,
    show,
    query,
    search,
    tail,
    stats,
    groups,
    facets,
    compare,
    annotate,
    list_annotations,
    export,
    import_,
    copy,
    delete,
    prune,
    verify,
    backup,
    repair,
    reprice,
    compact,
    schema,
    serve,
    mcp,
    demo,
    completion,
):
    command.add_command(_subcommand)
