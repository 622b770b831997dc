"""Reading bodies: this many bytes, in so much time, also when they are packed."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request

from ..model.limits import DEFAULT_LIMITS, JsonScanner, LimitError, Limits
from ..runtime.work_process import WorkProcess, WorkProcessError
from .body_work import QUICK, WORK, Message, PutTogether, answers
from .responses import Problem

PATIENCE = 30.0  # seconds for a body to begin, and between two of its parts
_SLOWEST = 1024  # bytes a second, after that
_PIECE = 64 * 1024  # bytes that are unpacked at once
_GZIP = 16 + zlib.MAX_WBITS
_BODIES_AT_ONCE = 2  # of the largest size
_QUICK = 8 * 1024  # bytes that nobody waits for

T = TypeVar("T")


def media_type(request: Request, accepted: Collection[str], hint: str) -> str:
    """The media type of a body, without parameters.

    Raises:
        Problem: It is none of those that are accepted; the hint says what to send.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in accepted:
        message = f"Content-Type {kind!r:.80} is not supported"
        raise Problem(415, "unsupported_media_type", message, hint)
    return kind


class Held:
    """How many bytes of bodies are in memory, and how many values are made of them, all together.

    Args:
        largest: How many bytes one may have.
        limits: What one body may become.
    """

    def __init__(self, largest: int, limits: Limits = DEFAULT_LIMITS) -> None:
        self._largest = max(1, largest)
        self._most = _BODIES_AT_ONCE * largest
        self._held = 0
        self._limits = limits
        self._values = ValueBudget(limits.values)
        self._turns = asyncio.Lock()
        self._working = asyncio.Lock()
        self._process = WorkProcess(WORK, seconds=limits.seconds)

    @property
    def are_held(self) -> bool:
        """Whether there are any."""
        return self._held > 0

    def close(self) -> None:
        """Let go of the process that decodes large bodies."""
        self._process.close()

    def answers(self, message: Message, text: bytes) -> Iterator[Any]:
        """What becomes of a text: see `body_work`. Blocking; a large one is another process's work.

        Raises:
            LimitError: It takes too much work, or would become too much.
            ValueError: It is not what is asked for.
        """
        if len(text) < QUICK and not isinstance(message, PutTogether):
            yield from answers(message, text)
            return
        with contextlib.closing(self._process.ask(message, text)) as found:
            try:
                yield from found
            except WorkProcessError:
                raise LimitError("seconds", self._limits.seconds) from None

    async def working(self, work: Callable[[], T]) -> T:
        """Do work on a large body in a thread, one at a time.

        More of them would compete for the interpreter, and the event loop with all of them.
        """
        async with self._working:
            return await anyio.to_thread.run_sync(work)

    def decoding(self, values: int, size: int) -> contextlib.AbstractAsyncContextManager[None]:
        """Wait for the turn to make this many values of a body of so many bytes.

        One of the largest bodies is decoded at a time, or one of the most values.
        """
        return self._values.holding(max(values, self._values.most * size // self._largest))

    @contextlib.asynccontextmanager
    async def body(
        self, request: Request, limit: int, scanner: JsonScanner | None = None
    ) -> AsyncIterator[bytes]:
        """The whole body, unpacked.

        Args:
            request: The request.
            limit: The most bytes.
            scanner: What counts, as they come, what the pieces will become.

        Raises:
            Problem: It is too large, too slow, or packed in a way that is not known; it would
                become too much; or others hold too much.
        """
        _check_announced(request, limit)
        collected = bytearray()  # one piece of memory, which goes back as one
        size = 0
        try:
            async for piece in self._pieces(request, limit):
                if size + len(piece) > limit:
                    raise too_large(limit)
                self._grow(len(piece))
                size += len(piece)
                collected += piece
                if scanner is not None:
                    feed(scanner, piece)
            whole = [bytes(collected)]
            collected.clear()
            yield whole.pop()  # whoever takes it can let go of it
        finally:
            self._held -= size

    async def lines(
        self, request: Request, limit: int
    ) -> AsyncIterator[tuple[int, bytes | LimitError]]:
        """The body's lines that are not empty, each up to the limit, with their numbers.

        One that would become too much is replaced by the reason; it is not kept.

        Raises:
            Problem: As `body`; or there are too many.
        """
        line = _Line(self._limits)
        number = blanks = 0
        try:
            async for piece in self._pieces(request, limit):
                if number + piece.count(b"\n") > self._limits.lines:
                    raise too_much(LimitError("lines", self._limits.lines))
                if not (line.text or line.refused or piece.strip()):
                    number += piece.count(b"\n")
                    blanks += len(piece)
                    if blanks > limit:
                        raise too_large(limit)
                    continue
                *ends, last = piece.split(b"\n")
                for end in ends:
                    number += 1
                    self._held -= len(line.text)
                    whole = line.ended(end, limit)
                    if whole:
                        yield number, whole
                self._grow(len(last))
                self._held -= len(last) - line.grow(last, limit)
            if line.text or line.refused:
                yield number + 1, line.refused or bytes(line.text)
        finally:
            self._held -= len(line.text)

    async def _pieces(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes, unpacked; a packed one has the limit as a whole.

        Between two pieces of all bodies together the event loop comes round, so that many large
        ones keep nobody waiting for longer than one.
        """
        async for piece in _unpacked_if_packed(request, limit, self._limits.members):
            if len(piece) > _QUICK:
                async with self._turns:
                    await asyncio.sleep(0)
            yield piece

    def _grow(self, size: int) -> None:
        if self._held + size > self._most:
            message = "Too many large requests at once"
            raise Problem(503, "busy", message, "Try again later", {"Retry-After": "5"})
        self._held += size


class _Line:
    """A line whose end has not come."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._scanner = JsonScanner(limits)
        self.text = bytearray()
        self.refused: LimitError | None = None

    def grow(self, piece: bytes, limit: int) -> int:
        """Take more of it; return by how many bytes what is kept has grown."""
        before = len(self.text)
        if self.refused is None:
            self.text += piece
            if len(self.text) > limit:
                raise too_large(limit)
            try:
                self._scanner.feed(piece)
            except LimitError as error:  # a long line is refused before it is whole
                self.refused = error
                self.text.clear()
        return len(self.text) - before

    def ended(self, end: bytes, limit: int) -> bytes | LimitError:
        """The whole line, and begin the next one."""
        if not (self.text or self.refused):
            if len(end) > limit:
                raise too_large(limit)
            return end if end.strip() else b""
        whole = self.refused or bytes(self.text) + end
        if isinstance(whole, bytes) and len(whole) > limit:
            raise too_large(limit)
        self.text.clear()
        self.refused, self._scanner = None, JsonScanner(self._limits)
        return whole


class ValueBudget:
    """How many values may be in the making at a time; the others wait for their turn."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = most
        self._freed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def holding(self, values: int) -> AsyncIterator[None]:
        """Hold so many, once there are."""
        values = min(values, self.most)
        async with self._freed:
            await self._freed.wait_for(lambda: self._left >= values)
            self._left -= values
        try:
            yield
        finally:
            self._left += values
            with anyio.CancelScope(shield=True):
                async with self._freed:
                    self._freed.notify_all()


def feed(scanner: JsonScanner, piece: bytes) -> None:
    """Let a scanner take a piece.

    Raises:
        Problem: The body would become too much.
    """
    try:
        scanner.feed(piece)
    except LimitError as error:
        raise too_much(error) from None


def _unpacked_if_packed(request: Request, limit: int, members: int) -> AsyncIterator[bytes]:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        return _received(request)
    if encoding in {"gzip", "x-gzip"}:
        return _unpacked(request, limit, members)
    message = f"Content-Encoding {encoding!r:.40} is not supported"
    raise Problem(415, "unsupported_media_type", message, "Send it plain or with gzip")


async def _received(request: Request) -> AsyncIterator[bytes]:
    stream = aiter(request.stream())
    began, received = time.monotonic(), 0
    while True:
        left = began + PATIENCE + received / _SLOWEST - time.monotonic()
        try:
            with anyio.fail_after(max(0.0, min(PATIENCE, left))):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            message = "Timed out while receiving the body"
            raise Problem(408, "too_slow", message, "Send it faster") from None
        except ClientDisconnect:
            raise Problem(400, "invalid_request", "The body is incomplete") from None
        received += len(piece)
        yield piece


async def _unpacked(request: Request, limit: int, members: int) -> AsyncIterator[bytes]:
    unpacker, total, is_finished = zlib.decompressobj(_GZIP), 0, True
    taken = ended = 0  # a body may also be many members that hold nothing
    async for received in _received(request):
        taken += len(received)
        if taken > limit:
            raise too_large(limit)
        packed, piece = received, b""
        while packed or len(piece) == _PIECE:
            try:
                piece = unpacker.decompress(packed, _PIECE)
            except zlib.error:
                raise Problem(400, "invalid_request", "Invalid gzip body") from None
            total += len(piece)
            if total > limit:
                raise too_large(limit)
            yield piece
            await asyncio.sleep(0)  # much may be packed in what was received at once
            packed, is_finished = unpacker.unconsumed_tail, unpacker.eof
            if is_finished:  # another member may follow
                ended += 1
                if ended > members:
                    raise too_much(LimitError("members", members))
                packed = unpacker.unused_data
                unpacker = zlib.decompressobj(_GZIP)
    if not is_finished:
        raise Problem(400, "invalid_request", "The gzip body is truncated")


def _check_announced(request: Request, limit: int) -> None:
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise too_large(limit)


def too_much(error: LimitError) -> Problem:
    """The answer to a body that would become too much."""
    remedy = f"Send less, or raise limits.{error.limit} ({error.most})"
    return Problem(422, "limit_exceeded", f"The body is refused: {error}", remedy)


def too_large(limit: int) -> Problem:
    """The answer to a body beyond the limit."""
    message = f"The body, or a line of it, is larger than the limit of {limit} bytes"
    return Problem(
        413, "too_large", message, "Send less at once, or raise max_body (serve --max-body)"
    )
