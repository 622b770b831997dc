"""What the children of the fault tests do, by name. Each runs in a process of its own."""

from __future__ import annotations

from crowd import clear, give_away, open_at_once, read
from soaking import soak
from stepping import steps
from stopping import fork_while_saving, stop_when_told
from writing import save

__all__ = [
    "clear",
    "fork_while_saving",
    "give_away",
    "open_at_once",
    "read",
    "save",
    "soak",
    "steps",
    "stop_when_told",
]
