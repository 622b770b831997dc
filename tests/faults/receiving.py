"""A receiver of spans in a process of its own: takes requests on its input, says what it answers.

Run as a program: ``receiving.py KIND PATH``. A request is its length in 8 hexadecimal digits, and
the body; an answer is the status, as a line.
"""

from __future__ import annotations

import sys

from selectools_observe import JSONLTraceStore, SQLiteTraceStore
from selectools_observe.integrations.opentelemetry import OtlpReceiver


def opened(kind: str, path: str):
    """The store: a file, or a database of PostgreSQL."""
    if kind == "postgres":
        from selectools_observe.stores.postgres import PostgresTraceStore

        return PostgresTraceStore(path)
    make = SQLiteTraceStore if kind == "sqlite" else JSONLTraceStore
    return make(path, durability="normal")


def main() -> None:
    kind, path, *journal = sys.argv[1:]
    with opened(kind, path) as store:
        receiver = OtlpReceiver(store, max_wait=2.0, journal=journal[0] if journal else True)
        while head := sys.stdin.buffer.read(8):
            reply = receiver.receive(sys.stdin.buffer.read(int(head, 16)))
            sys.stdout.write(f"{reply.status}\n")
            sys.stdout.flush()
        receiver.close()


if __name__ == "__main__":
    main()
