"""The MCP server: an agent's own runs as tools of the Model Context Protocol, read-only by default.

See ``docs/mcp.md``. It needs the extra ``mcp``, the protocol's official SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...extras import needs

if TYPE_CHECKING:
    from .mcp_server import create_mcp_server, run_http, run_stdio

__all__ = ["create_mcp_server", "run_http", "run_stdio"]


def __getattr__(name: str) -> Any:
    """Import the server when it is asked for.

    Raises:
        AttributeError: There is no such name.
        ModuleNotFoundError: The extra ``mcp`` is not installed.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs("mcp", "The MCP server"):
        from . import mcp_server  # noqa: PLC0415

    return getattr(mcp_server, name)
