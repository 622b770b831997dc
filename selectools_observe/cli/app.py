"""The command and its subcommands."""

from __future__ import annotations

import click

from .. import __version__
from .commands import compare as comparing
from .commands import completion as completing
from .commands import demo as trying
from .commands import inspect as reading
from .commands import serve as serving
from .commands import stats as stating
from .commands import tail as following
from .commands import transfer as moving
from .commands import upkeep
from .exit_codes import EXIT_CODES, PipeClosedError
from .options import store_option
from .session import Session
from .terminal import Colour, Terminal

_EXIT_CODES = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosedError from error


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"\b\nExit codes:\n{_EXIT_CODES}",
)
@store_option
@click.option(
    "--color",
    "colour",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour the output; NO_COLOR is respected too.",
)
@click.option("-q", "--quiet", is_flag=True, help="No notes and no progress bars.")
@click.version_option(__version__, message="selectools-observe %(version)s")
@click.pass_context
def command(ctx: click.Context, colour: Colour, *, quiet: bool) -> None:
    """See what your agents did: list, read, compare, export and keep their runs.

    Give the store with --store, before or after the subcommand, or in the environment variable
    SELECTOOLS_OBSERVE_STORE. Try `selectools-observe demo`.
    """
    session = ctx.ensure_object(Session)
    session.terminal = Terminal(colour, quiet=quiet)
    ctx.with_resource(session.terminal.listening())


for _subcommand in (
    reading.list_runs,
    reading.show,
    reading.query,
    following.tail,
    stating.stats,
    comparing.compare,
    moving.export,
    moving.import_,
    moving.copy,
    upkeep.delete,
    upkeep.verify,
    upkeep.backup,
    upkeep.repair,
    upkeep.compact,
    serving.serve,
    trying.demo,
    completing.completion,
):
    command.add_command(_subcommand)
