"""An exception out of nowhere, as Ctrl-C or a worker's time limit raise it, wherever it strikes.

Python runs signal handlers between two bytecodes: after a call, at the start of a function, at the
end of a loop's round. Each such place in a blocking method is tried once.
"""

from __future__ import annotations

import ctypes
import dis
import faulthandler
import itertools
import signal
import sys
import threading
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import CodeType

import pytest
import truth
from store_kinds import Handle, trace
from store_kinds import make as make_store

import selectools_observe
from selectools_observe import TraceFilter

PACKAGE = str(Path(selectools_observe.__file__).parent)
HANG = 30  # seconds after which a store is said to hang
BLOCKING = ["memory-blocking", "sqlite-blocking", "jsonl-blocking"]


class Interrupted(KeyboardInterrupt):
    """What the handler of these tests raises."""


# In C, so that the signal is not noticed before the traced code goes on. Called as a trace function
# is; the three arguments are ignored.
_interrupt = ctypes.PYFUNCTYPE(None, *[ctypes.py_object] * 3)(
    ("PyErr_SetInterrupt", ctypes.pythonapi)
)


class Interrupter:
    """Runs something, with SIGINT at the n-th place of this package where Python looks for one."""

    def __init__(self, at: int) -> None:
        self._left = at
        # Python borrows these while it calls them: they must outlive what they take off.
        self._on_call, self._on_opcode = self._begin, self._step

    def run(self, work: Callable[[], object]) -> bool:
        """Whether it was interrupted; else it came to its end before."""
        tracing, handler = sys.gettrace(), signal.signal(signal.SIGINT, self._handle)
        sys.unraisablehook, unraisable = (
            lambda _: None,
            sys.unraisablehook,
        )  # it may strike in those
        sys.settrace(self._on_call)
        try:
            work()
        except Interrupted:
            return True
        finally:
            sys.settrace(tracing)
            signal.signal(signal.SIGINT, handler)
            sys.unraisablehook = unraisable
        return self._left <= 0

    def _handle(self, *_) -> None:
        sys.settrace(None)
        raise Interrupted

    def _is_the_one(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _begin(self, frame, *_):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        return _interrupt if self._is_the_one() else self._on_opcode

    def _step(self, frame, event: str, _):
        looks = event == "opcode" and frame.f_lasti in _before_a_look(frame.f_code)
        if not looks or not self._is_the_one():
            return self._on_opcode
        frame.f_trace = _interrupt
        return None


@cache
def _before_a_look(code: CodeType) -> frozenset[int]:
    """The offsets right before an instruction after which Python looks for signals."""
    found = itertools.pairwise(dis.get_instructions(code))
    return frozenset(
        one.offset for one, next_ in found if next_.opname.startswith(("CALL", "JUMP_BACKWARD"))
    )


METHODS = {
    "save": lambda store, n: store.save(trace(f"n-{n}")),
    "save_many": lambda store, n: store.save_many([trace(f"m-{n}"), trace(f"k-{n}")]),
    "load": lambda store, n: store.load("first"),
    "load_many": lambda store, n: store.load_many(["first", "second"]),
    "list": lambda store, n: store.list(5),
    "query": lambda store, n: store.query(TraceFilter(metadata_match={"who": "first"})),
    "count": lambda store, n: store.count(),
    "iter_traces": lambda store, n: next(store.iter_traces()),
    "delete": lambda store, n: store.delete(f"d-{n}"),
}


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # it struck right before
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("store_kind", BLOCKING)
def test_wherever_it_strikes(store_kind, method, chance, many, report, tmp_path):
    path = tmp_path / ("traces.db" if store_kind.startswith("sqlite") else "traces.jsonl")
    # Nothing written in Python can own a descriptor before the call that opens it has returned. A
    # deletion opens the new file twice, and hands the old one on.
    stranded = 0 if not store_kind.startswith("jsonl") else 5 if method == "delete" else 3
    with truth.nothing_left(report, stranded=stranded):
        store = make_store(store_kind, path)
        store.save_many([trace("first", who="first"), trace("second")])
        others = Others(store)
        step = many(4, 1)
        for n in range(1 + chance.randrange(step), 100_000, step):
            if method == "delete":
                store.save(trace(f"d-{n}"))
            if not Interrupter(n).run(partial(METHODS[method], store, n)):
                break
            report.add(rounds=1, faults=1)
            others.check(n)
            store.delete(f"d-{n}")
            if n % 32 < step and store_kind != "memory-blocking":
                check_same(store_kind, path, store)
        assert n > 20
        check_same(store_kind, path, store)
        others.end()
        store.close()


class Others:
    """Another thread that uses the store after each interruption: it must never wait for ever."""

    def __init__(self, store) -> None:
        self._store = store
        self._ask, self._answer = threading.Semaphore(0), threading.Semaphore(0)
        self._number: int | None = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            self._ask.acquire()
            if self._number is None:
                return
            try:
                run_id = f"other-{self._number}"
                self._store.save(trace(run_id))
                assert self._store.load(run_id) == trace(run_id)
                self._store.delete(run_id)
                self._store.list(2)
            except BaseException as error:
                self._failure = error
            self._answer.release()

    def check(self, number: int) -> None:
        self._number = number
        self._ask.release()
        if not self._answer.acquire(timeout=HANG):
            faulthandler.dump_traceback(all_threads=True)
            pytest.fail(f"hangs after interruption {number}")
        assert self._failure is None, repr(self._failure)

    def end(self) -> None:
        self._number = None
        self._ask.release()
        self._thread.join(HANG)


def check_same(store_kind: str, path: Path, store) -> None:
    """What the store itself finds is what a fresh one finds; all of it is whole."""
    mine = {found.run_id: found for found in store.iter_traces()}
    assert store.count() == len(mine)
    for run_id, found in mine.items():
        assert found == trace(run_id, **({"who": "first"} if run_id == "first" else {}))
    for run_id in mine:
        if run_id.startswith("m-"):
            assert f"k-{run_id[2:]}" in mine
    if store_kind != "memory-blocking":
        with Handle(store_kind, path.parent) as fresh:
            assert [s.run_id for s in fresh.list(10_000)] == [s.run_id for s in store.list(10_000)]
        truth.assert_free(store_kind, path)
