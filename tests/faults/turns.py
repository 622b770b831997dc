"""A child that takes turns with the test: one request, one answer."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import truth
from children import DEADLINE, Child, Zygote
from report import Report
from store_kinds import file_of


class Refused(Exception):  # noqa: N818 - as the test says it
    """What the child's store raised."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text


def _notes() -> Path:
    """A folder that every user may write, on a disk that is not the one under test."""
    folder = Path(tempfile.mkdtemp(prefix="faults"))
    folder.chmod(0o777)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Turns:
    """A store in a child, used step by step: see `roles.Steps` for the requests."""

    def __init__(self, zygote: Zygote, store_kind: str, folder: Path, **options: Any) -> None:
        self.store_kind, self.path = store_kind, file_of(store_kind, folder)
        notes = _notes()
        self.journal = notes / "turns.journal"
        self.journal.touch()
        self.journal.chmod(0o666)
        pipes = notes / "asked", notes / "told"
        for pipe in pipes:
            os.mkfifo(pipe)
            pipe.chmod(0o666)
        self.child: Child = zygote.start(
            "steps",
            store_kind=store_kind,
            path=self.path,
            journal=self.journal,
            asked=pipes[0],
            told=pipes[1],
            deadline=options.pop("deadline", DEADLINE),
            **options,
        )
        self._asked = pipes[0].open("w")
        self._told = pipes[1].open()

    def do(self, what: str, *words: object) -> list:
        """The answer to a request.

        Raises:
            Refused: The store said no.
        """
        print(what, *words, file=self._asked, flush=True)
        line = self._told.readline()
        assert line, self.child.said
        kind, *answer = json.loads(line)
        if kind != "ok":
            raise Refused(kind, answer[0])
        return answer

    def truth(self, report: Report, *others: Path) -> truth.Expected:
        """What a fresh store of this process finds."""
        return truth.check(self.store_kind, self.path, [self.journal, *others], report)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._asked.close()
        self._told.close()
        if kind is None:
            self.child.check()
        else:
            self.child.kill()
            self.child.wait()
