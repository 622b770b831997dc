"""The command ``selectools-observe``: see what agents did, from a terminal.

Needs the extra ``cli``.
"""

from __future__ import annotations

import sys

_NEEDED = {"click", "rich"}


def main() -> None:
    """Run the command with the arguments of this process, and exit with its code."""
    try:
        from .runner import run  # noqa: PLC0415 - so that what is missing can be named

        code = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(
            'The command line needs click and rich: pip install "selectools-observe[cli]"\n'
        )
        code = 2
    except KeyboardInterrupt:  # before there was anything to interrupt, or once more
        code = 130
    sys.exit(code)
