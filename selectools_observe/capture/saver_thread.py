"""A thread for saves that no caller can wait for.

Some runs end where no code of ours may block or take a lock: in a finalizer, which the garbage
collector may run in the midst of a store's own work.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

from ..runtime.fork import rest_during_forks

log = logging.getLogger(__name__)

Job: TypeAlias = Callable[[], object]

_AT_EXIT_SECONDS = 30.0


class SaverThread:
    """Does what it is handed, in order, in one daemon thread; at exit, the rest."""

    def __init__(self) -> None:
        self._start_over()
        rest_during_forks(self)
        atexit.register(self._finish)

    def before_fork(self) -> None:
        pass

    def after_fork_in_parent(self) -> None:
        pass

    def after_fork_in_child(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        # Its put may be called again within itself, as a finalizer needs.
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ready(self) -> None:
        """Have the thread run; to be called before `put`, where starting a thread is safe."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(
                        target=self._work, args=(self._jobs,), name="trace-saver", daemon=True
                    )
                    thread.start()
                    self._thread = thread

    def put(self, job: Job) -> None:
        """Have a job done soon; when the interpreter is ending, at once."""
        if is_ending():
            _do(job)
        else:
            self._jobs.put(job)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all that was put before is done; whether it is within ``timeout`` seconds."""
        self.ready()
        done = threading.Event()
        self._jobs.put(done.set)
        return done.wait(timeout)

    def _work(self, jobs: queue.SimpleQueue[Job]) -> None:
        while True:
            _do(jobs.get())

    def _finish(self) -> None:
        if self._thread is not None and not self.wait(_AT_EXIT_SECONDS):
            log.error("the program ends with traces unsaved: the store did not answer")


def is_ending() -> bool:
    """Whether the interpreter is on its way out, no thread but daemons being left."""
    return not threading.main_thread().is_alive()


def _do(job: Job) -> None:
    try:
        job()
    except Exception:
        log.exception("a save failed")


saver_thread = SaverThread()
"""The process's own."""
