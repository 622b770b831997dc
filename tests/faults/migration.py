"""A child that opens a database of an earlier version and dies at a moment that it was told.

``statement N`` kills it when SQLite begins the Nth statement, ``after SECONDS`` after that time.
What it says on its way out is how many statements it began, and how many seconds it took.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import selectools_observe as so
from selectools_observe.backends.sqlite import database
from selectools_observe.backends.sqlite.connection import Connection

begun: list[str] = []


def note(statement: str) -> None:
    begun.append(statement)
    if len(begun) == number:
        os.kill(os.getpid(), signal.SIGKILL)


class Traced(Connection):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.set_trace_callback(note)


how, moment, path = sys.argv[1:]
number = int(moment) if how == "statement" else 0


# Each statement is told, those of triggers too.
database.Connection = Traced
if how == "after":

    def kill() -> None:
        time.sleep(float(moment))
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
start = time.perf_counter()
with so.SQLiteTraceStore(path) as store:
    store.list(1)
print(len(begun), time.perf_counter() - start)
