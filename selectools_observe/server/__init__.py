"""The HTTP service: an ASGI app over any store, and the server that runs it.

See ``docs/http.md`` for the routes and for who may ask. `standalone` in here needs no server: it
writes the page and its runs as one file, and works without the extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..extras import needs

if TYPE_CHECKING:
    from .app import create_app
    from .service import run

__all__ = ["create_app", "run"]


def __getattr__(name: str) -> Any:
    """Import the service when it is asked for.

    Raises:
        AttributeError: There is no such name.
        ImportError: The extra ``server`` is not installed.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs("server", "The HTTP service"):
        from .app import create_app  # noqa: PLC0415
        from .service import run  # noqa: PLC0415

    globals().update(create_app=create_app, run=run)
    return globals()[name]
