"""A process next to ours for work on what others sent: it holds no interpreter but its own.

To decode a large text is one call that keeps every other thread of its process waiting. Here the
text goes to a process that is started when it is first needed and used again, and the answers come
back in pieces that are quick to take. What it may use of memory and processor time is bounded; if
it dies, or has grown, another one is started.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from .freed_memory import give_back_freed_memory

Work: TypeAlias = Callable[[Any, bytes], Iterable[Any]]
"""Takes what is asked, and a text; gives the answers, one by one."""

MEMORY = 1 << 30  # bytes of address space
SECONDS = 60  # of processor time for one text
_IDLE = 60.0  # seconds without work after which it ends
KEEPS = 48 << 20  # bytes that it may have between two texts: to start another takes 0.1 s
_NICE = 5  # the process that answers goes first
_HEAD = struct.Struct("!Q")
_AT_ONCE = 1 << 20  # bytes


class WorkProcessError(Exception):
    """The process ended in the midst of its work: it took more memory or time than it is given."""


class _Answer(NamedTuple):
    value: Any = None
    error: BaseException | None = None
    is_last: bool = True


class WorkProcess:
    """A process that does one thing, for one text at a time. Safe to share between threads.

    Args:
        work: The function that it runs, as ``module:name``.
        seconds: The processor time that one text may take.
        memory: The bytes that it may have in all.
        keeps: The bytes that it may have after a text, or else it ends.
    """

    def __init__(
        self, work: str, *, seconds: int = SECONDS, memory: int = MEMORY, keeps: int = KEEPS
    ) -> None:
        self._work = work, seconds, memory, keeps
        self._forget()

    def _forget(self) -> None:
        """Have none: a fork has its parent's, which it leaves alone."""
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def ask(self, message: object, text: bytes = b"") -> Generator[Any]:
        """The answers; close the generator if not all of them are taken.

        Raises:
            WorkProcessError: The process died.
            Exception: What the work has raised.
        """
        if self._owner != os.getpid():
            self._forget()
        with self._lock:
            answer = None
            try:
                child, answer = self._asked(message, text)
                while not answer.is_last:
                    yield answer.value
                    answer = child.answer()
            finally:
                if answer is None or not answer.is_last:
                    self._end()
            error = answer.error
            del answer
            try:
                if error is not None:
                    raise error
            finally:
                del error  # it knows this frame, which would keep it, and the text, in a circle

    def close(self) -> None:
        """End the process; it is started again when it is needed."""
        if self._owner == os.getpid():
            with self._lock:
                self._end()

    @property
    def pid(self) -> int | None:
        """The process that is there, if one is."""
        child = self._child
        return None if child is None or child.process.poll() is not None else child.process.pid

    def _asked(self, message: object, text: bytes) -> tuple[_Child, _Answer]:
        """Who was asked, and the first answer."""
        for is_again in (False, True):
            child = self._child if self._child is not None and self.pid else self._begin()
            try:
                child.ask(message, text)
                return child, child.answer()
            except (WorkProcessError, OSError):
                # It may have ended for lack of work just when there was some.
                if is_again or child.process.wait() != 0:
                    raise WorkProcessError from None
        raise WorkProcessError

    def _begin(self) -> _Child:
        self._end()
        self._child = _Child(self._work)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """A process that works, and the pipes to it."""

    def __init__(self, work: tuple[str, int, int, int]) -> None:
        # The modules that we have, from where we have them; no other folder comes first.
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from {__name__} import serve; serve(*{work!r})"
        )
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self.process = subprocess.Popen(  # noqa: S603 - a program of our own
            [sys.executable, "-c", program],
            stdin=requests,
            stdout=answers,
            start_new_session=True,  # an interrupt from the keyboard is ours
        )
        os.close(requests)
        os.close(answers)
        self.end: Callable[[], object] = weakref.finalize(
            self, _ended, self.process, self._requests, self._answers, os.getpid()
        )

    def ask(self, message: object, text: bytes) -> None:
        """Send what is to be done, and the text.

        Raises:
            OSError: It has ended.
        """
        asked = pickle.dumps(message)
        for part in (asked, text):
            _write(self._requests, _HEAD.pack(len(part)))
            _write(self._requests, part)

    def answer(self) -> _Answer:
        """Wait for the next answer.

        Raises:
            WorkProcessError: It has ended.
        """
        try:
            answer: _Answer = pickle.loads(_read_one(self._answers))  # noqa: S301 - ours
        except EOFError:
            raise WorkProcessError from None
        return answer


def _ended(process: subprocess.Popen[bytes], requests: int, answers: int, owner: int) -> None:
    os.close(requests)
    os.close(answers)
    if owner == os.getpid():
        process.kill()
        process.wait()
    else:
        process.returncode = 0  # of the parent's process there is nothing to say


def _write(pipe: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(pipe, left[:_AT_ONCE]) :]


def _read(pipe: int, size: int) -> bytearray:
    data = bytearray(size)
    left = memoryview(data)
    while left:
        piece = os.read(pipe, min(len(left), _AT_ONCE))
        if not piece:
            raise EOFError
        left[: len(piece)] = piece
        left = left[len(piece) :]
    return data


def _read_one(pipe: int) -> bytearray:
    return _read(pipe, *_HEAD.unpack(_read(pipe, _HEAD.size)))


# In the process itself.


def serve(work: str, seconds: int, memory: int, keeps: int) -> None:
    """Work until there is nothing to do, or nobody to do it for."""
    incoming, outgoing = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # whatever is printed by mistake is no answer
    module, _, name = work.partition(":")
    function: Work = getattr(importlib.import_module(module), name)
    _bound_memory(memory)
    give_back_freed_memory()
    gc.disable()  # everything goes at the end of a text
    with contextlib.suppress(EOFError, BrokenPipeError):
        while _comes(incoming):
            message = pickle.loads(_read_one(incoming))  # noqa: S301 - of our own
            text = bytes(_read_one(incoming))
            bound_time(seconds)
            for answer in _answers(function, message, text):
                _send(outgoing, answer)
            del message, text
            gc.collect()
            if _has_grown(keeps):
                return


def _answers(function: Work, message: object, text: bytes) -> Iterator[_Answer]:
    try:
        for value in function(message, text):
            yield _Answer(value, is_last=False)
    except MemoryError:
        yield _Answer(error=WorkProcessError())
    except Exception as error:  # noqa: BLE001 - whatever it was, whoever asked is told
        yield _Answer(error=error)
    else:
        yield _Answer()


def _send(pipe: int, answer: _Answer) -> None:
    data = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    _write(pipe, _HEAD.pack(len(data)))
    _write(pipe, data)


def _comes(pipe: int) -> bool:
    """Whether there is more to do before it has waited too long."""
    if sys.platform == "win32":  # pragma: no cover - pipes cannot be waited for there
        return True
    return bool(select.select([pipe], [], [], _IDLE)[0])


def _bound_memory(most: int) -> None:
    with contextlib.suppress(AttributeError, ImportError, OSError, ValueError):
        os.nice(_NICE)
        import resource  # noqa: PLC0415 - not on every system

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def bound_time(seconds: int) -> None:
    """Have so much processor time from now on, also by the work itself."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on every system

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime) + 1 + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _has_grown(most: int) -> bool:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return True  # where nobody tells, each text has a process
    return pages * os.sysconf("SC_PAGE_SIZE") > most
