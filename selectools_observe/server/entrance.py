"""Links that open the page once, and wrong tokens, which are answered slowly."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict

_SECONDS = 120.0  # for a browser to start and use its code
_MOST_CODES = 16

_SLOWEST = 1.0  # seconds that a wrong guess waits
_EACH = 0.05  # seconds for each wrong guess of an address before it
_FORGIVEN = 600.0  # seconds
_MOST_ADDRESSES = 4096
_MOST_WAITING = 64


class Codes:
    """Codes that stand in a URL in the token's place, for one use.

    What opens a browser has the URL among its arguments, which every user of the machine can read.
    """

    def __init__(self) -> None:
        self._codes: OrderedDict[str, float] = OrderedDict()

    def new(self) -> str:
        """A code."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = time.monotonic()
        while len(self._codes) > _MOST_CODES:
            self._codes.popitem(last=False)
        return code

    def take(self, code: str) -> bool:
        """Whether it is one; it is none any more."""
        made = self._codes.pop(code, None)
        return made is not None and time.monotonic() < made + _SECONDS


class Guesses:
    """Wrong tokens, which are answered the later the more came from an address.

    Right ones are never slowed: an address may be that of many.
    """

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._waiting = 0

    async def wrong(self, address: str) -> bool:
        """Note one and wait; whether it is to be answered, or too many wait already."""
        count, last = self._wrong.pop(address, (0, 0.0))
        now = time.monotonic()
        count = 1 if now > last + _FORGIVEN else count + 1
        self._wrong[address] = count, now
        while len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)
        if self._waiting >= _MOST_WAITING:
            return False
        self._waiting += 1
        try:
            await asyncio.sleep(min(_SLOWEST, _EACH * (count - 1)))
        finally:
            self._waiting -= 1
        return True
