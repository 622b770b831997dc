"""What a process does in the tests of one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from selectools_observe.errors import InvalidTraceError

_kept = []


def answers(message: str, text: bytes) -> Iterator[Any]:
    if message == "size":
        yield len(text)
    elif message == "many":
        yield from range(int(text))
    elif message == "pid":
        yield os.getpid()
    elif message == "grow":
        _kept.append(os.urandom(200 << 20))
        yield os.getpid()
    elif message == "print":
        print("no answer")
        yield "an answer"
    else:
        yield "begun"
        harm(message)


def harm(message: str) -> None:
    if message == "raise":
        raise InvalidTraceError("r", "steps", "are wrong")
    if message == "die":
        os._exit(3)
    if message == "memory":
        bytearray(1 << 32)
    if message == "wait":
        time.sleep(60)
    while True:
        pass


def endless(message: object, text: bytes) -> Iterator[Any]:
    harm("time")
    yield message, text
