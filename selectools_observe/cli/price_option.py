"""Prices on the command line: the option that names a file, and the table that is made of it."""

from __future__ import annotations

import click

from ..analytics.prices import PriceTable
from ..backends.files.private_files import check_regular
from .exit_codes import usage_errors

prices_option = click.option(
    "--prices",
    "own",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="TOML file with prices of your own, US dollars a million tokens: "
    "[my-model] input = 2.5, output = 10.",
)


def price_table(own: str | None, *, package: bool = True) -> PriceTable:
    """The prices of a file, and those of genai-prices.

    Raises:
        click.UsageError: The file is not one of prices.
        StorageError: It is no file.
    """
    if own is not None:
        check_regular(own)
    with usage_errors():
        return PriceTable(own, package=package)
