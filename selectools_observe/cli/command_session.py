"""The session of one command: its terminal and its store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import click

from ..protocols import QueryableTraceStore
from ..stores.open import StoreName, check_exists, open_store, store_name
from .exit_codes import usage_errors
from .terminal import Terminal

VARIABLE = "SELECTOOLS_OBSERVE_STORE"


@dataclass
class Session:
    """One run of the command.

    Attributes:
        terminal: Where it prints.
        named: The store that was named, if one was.
    """

    terminal: Terminal = field(default_factory=Terminal)
    named: str | None = None

    @property
    def name(self) -> str:
        """The name of the store that the command is about.

        Raises:
            click.UsageError: None was named.
        """
        named = self.named or os.environ.get(VARIABLE)
        if not named:
            raise click.UsageError(f"no store: name one with --store, or in {VARIABLE}")
        return named

    @contextmanager
    def store(
        self, name: str | None = None, *, must_exist: bool = True
    ) -> Iterator[QueryableTraceStore]:
        """Open a store, the one that was named unless another is given, for a while.

        Raises:
            click.UsageError: No store can have this name.
            StorageError: It is missing, or cannot be opened.
        """
        name = name or self.name
        parsed(name)
        with self.terminal.progress(f"Reading {name}") as progress:
            opened = open_store(name, must_exist=must_exist, progress=progress)
        with closing(opened) as store:
            yield store


def parsed(name: str) -> StoreName:
    """What a store's name says.

    Raises:
        click.UsageError: No store can have this name.
    """
    with usage_errors():
        return store_name(name)


def existing(name: str) -> StoreName:
    """What the name of a store says that must be there.

    Raises:
        click.UsageError: No store can have this name.
        StorageError: It is missing.
    """
    return check_exists(parsed(name))
