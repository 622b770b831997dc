"""What the children of the fault tests do, by name. Each runs in a process of its own."""

from __future__ import annotations

from crowd import clear, give_away, open_at_once, read
from disk_steps import steps
from soak_work import soak
from stops import fork_while_saving, stop_when_told
from writers import save

from selectools_observe.backends.files import filelock
from selectools_observe.backends.sqlite import database

# Many programs take turns at one lock, on machines that have more to do: a turn may be long in
# coming. That a wait ends has a test of its own, in the test's process.
filelock._TIMEOUT = database.BUSY_TIMEOUT = 150.0

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
