"""The errors that a store raises.

::

    TraceStoreError
    ├── TraceNotFoundError   (also a ValueError)  load of a run that is not stored
    ├── InvalidTraceError    (also a ValueError)  a trace that cannot be stored
    ├── CorruptTraceError                         a stored trace that cannot be read back
    ├── StoreClosedError                          any method after close
    └── StorageError                              what the disk or the database said
        └── AnnotationsNotKeptError               the store is of a kind that keeps none
"""

from __future__ import annotations


class TraceStoreError(Exception):
    """The root: ``except TraceStoreError`` catches all that a store raises on its own account."""


class TraceNotFoundError(TraceStoreError, ValueError):
    """No trace with this run id is stored.

    Attributes:
        run_id: What was asked for.
        where: The store's own name: a path, or ``memory``.
    """

    def __init__(self, run_id: object, where: str) -> None:
        super().__init__(run_id, where)
        self.run_id = run_id
        self.where = where

    def __str__(self) -> str:
        return f"Run {self.run_id!r} not found in {self.where}"


class InvalidTraceError(TraceStoreError, ValueError):
    """A trace cannot be stored as it is; the store is unchanged.

    Attributes:
        run_id: The run, as far as it is known.
        path: The offending value, such as ``steps[3].tool_args.self``.
        reason: What is wrong with it.
    """

    def __init__(self, run_id: object, path: str, reason: str) -> None:
        super().__init__(run_id, path, reason)
        self.run_id = run_id
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        run = "The run" if self.run_id is None else f"Run {self.run_id!r}"
        return f"{run} cannot be stored: {self.path} {self.reason}"


class CorruptTraceError(TraceStoreError):
    """A stored trace cannot be read back; the other traces of the store are not affected.

    Attributes:
        run_id: The run that was asked for.
        where: The place: a file with the row or the line.
        reason: What the reader stumbled over.
    """

    def __init__(self, run_id: object, where: str, reason: str) -> None:
        super().__init__(run_id, where, reason)
        self.run_id = run_id
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"Run {self.run_id!r} in {self.where} cannot be read: {self.reason}"


class StoreClosedError(TraceStoreError):
    """The store was closed; make a new one to go on.

    Attributes:
        where: The store's own name: a path, or ``memory``.
    """

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where

    def __str__(self) -> str:
        return f"The store {self.where} is closed: open a new one"


class StorageError(TraceStoreError):
    """The disk or the database refused; ``__cause__`` keeps what it said.

    Attributes:
        where: The file.
        problem: What happened.
        remedy: What to do about it.
    """

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        super().__init__(where, problem, remedy)
        self.where = where
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}. {self.remedy}"


class AnnotationsNotKeptError(StorageError):
    """The store is of a kind that keeps no annotations.

    Attributes:
        where: The store's own name.
    """

    def __init__(self, where: str) -> None:
        super().__init__(where, "the store does not keep annotations", "Use another kind of store")
