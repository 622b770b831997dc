"""What the children of the fault tests do, by name. Each runs in a process of its own."""

from __future__ import annotations

from crowd import clear, give_away, open_at_once, read
from disk_steps import steps
from soak_work import soak
from stops import fork_while_saving, stop_when_told
from writers import save

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
