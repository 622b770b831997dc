"""The command ``completion``: a shell's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ..command_session import Session
from ..exit_codes import OK
from ..options import with_session

_SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(_SHELLS))
@with_session
def completion(session: Session, shell: str) -> int:
    """Print what a shell needs to complete subcommands, options, run ids, tools and models.

    \b
    bash: add to ~/.bashrc   eval "$(selectools-observe completion bash)"
    zsh:  add to ~/.zshrc    eval "$(selectools-observe completion zsh)"
    fish: selectools-observe completion fish > ~/.config/fish/completions/selectools-observe.fish
    """  # noqa: D301 - for click
    found = get_completion_class(shell)
    if found is None:  # pragma: no cover - all of them are click's own
        raise click.UsageError(f"no completion for {shell}")
    root = click.get_current_context().find_root().command
    made = found(root, {}, "selectools-observe", "_SELECTOOLS_OBSERVE_COMPLETE")
    session.terminal.raw(f"{made.source()}\n")
    return OK
