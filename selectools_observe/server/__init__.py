"""The HTTP service: an ASGI app over any store, and the server that runs it.

See ``docs/http.md`` for the routes and for who may ask.
"""

from __future__ import annotations

try:
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError(
        'The HTTP service needs starlette and uvicorn: pip install "selectools-observe[server]"'
    ) from error

from .app import create_app
from .running import run

__all__ = ["create_app", "run"]
