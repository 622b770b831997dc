"""Fork safety for locks and open files.

A child inherits locks that nobody will release, and SQLite's belief that it holds locks on files
which the system never gave to the child. So before a fork whatever holds such things comes to rest:
it finishes what it does, lets go of its files, and keeps others waiting; afterwards it goes on in
the parent, and begins again in the child.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that must be at rest during a fork."""

    def before_fork(self) -> None:
        """Come to rest, and keep everybody waiting."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Begin again, in the only thread there is."""


# Those who take a lock while they hold another's are brought to rest before those others.
_outer: weakref.WeakSet[Forkable] = weakref.WeakSet()
_inner: weakref.WeakSet[Forkable] = weakref.WeakSet()
_resting: list[Forkable] = []


def rest_during_forks(holder: Forkable, *, holds_others: bool = False) -> None:
    """Bring this to rest at each fork, for as long as it lives."""
    (_outer if holds_others else _inner).add(holder)


class ForkSafeLock:
    """A reentrant lock that no child inherits locked: ``with lock.held:``.

    Attributes:
        held: The lock itself; a child gets another, so do not keep it.
    """

    def __init__(self) -> None:
        self.held = threading.RLock()
        rest_during_forks(self)

    def before_fork(self) -> None:
        """Wait for whoever holds it."""
        self.held.acquire()

    def after_fork_in_parent(self) -> None:
        """Let others have it."""
        self.held.release()

    def after_fork_in_child(self) -> None:
        """Be free."""
        self.held = threading.RLock()


def _before() -> None:
    for holder in [*_outer, *_inner]:
        holder.before_fork()
        _resting.append(holder)


def _after_in_parent() -> None:
    while _resting:
        _resting.pop().after_fork_in_parent()


def _after_in_child() -> None:
    while _resting:
        _resting.pop().after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
