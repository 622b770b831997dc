"""The command ``selectools-observe`` and its subcommands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

import click

from .. import __version__
from .command_session import Session
from .exit_codes import EXIT_CODES, PipeClosedError
from .options import output_options, store_option

_EXIT_CODES = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


# Each is a function of the module of its name, but where a name of Python's is in the way.
_SUBCOMMANDS = {
    "list": "list_runs", "show": "show", "query": "query", "search": "search", "tail": "tail",
    "stats": "stats", "groups": "groups", "facets": "facets", "compare": "compare",
    "annotate": "annotate", "annotations": "list_annotations", "export": "export",
    "import": "import_", "copy": "copy", "delete": "delete", "prune": "prune",
    "verify": "verify", "backup": "backup", "repair": "repair", "reprice": "reprice",
    "compact": "compact", "schema": "schema", "serve": "serve", "mcp": "mcp", "demo": "demo",
    "completion": "completion",
}  # fmt: skip


class _Subcommands(Mapping[str, click.Command]):
    """The subcommands by their names; none is imported before it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        function = _SUBCOMMANDS[name]
        module = import_module(f".commands.{'import_' if name == 'import' else name}", __package__)
        found: click.Command = getattr(module, function)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_SUBCOMMANDS)

    def __len__(self) -> int:
        return len(_SUBCOMMANDS)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosedError from error


@click.group(
    cls=_Group,
    commands=_Subcommands(),
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
