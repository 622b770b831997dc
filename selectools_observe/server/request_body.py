"""Reading bodies: so many bytes, in so much time, also when they are packed."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import AsyncIterator

import anyio
from starlette.requests import ClientDisconnect, Request

from .responses import Problem

PATIENCE = 30.0  # seconds for a body to begin, and between two of its parts
_SLOWEST = 1024  # bytes a second, after that
_PIECE = 64 * 1024  # bytes that are unpacked at once
_GZIP = 16 + zlib.MAX_WBITS


class Held:
    """How many bytes of bodies are in memory, all requests together.

    Args:
        most: How many may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    @contextlib.asynccontextmanager
    async def body(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The whole body, unpacked.

        Raises:
            Problem: It is too large, too slow, or packed in a way that is not known; or others
                hold too much.
        """
        _check_announced(request, limit)
        collected = bytearray()
        try:
            async for piece in body_pieces(request, limit):
                self._grow(len(piece))
                collected += piece
                if len(collected) > limit:
                    raise too_large(limit)
            yield bytes(collected)
        finally:
            self._held -= len(collected)

    async def lines(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The body's lines, each up to the limit.

        Raises:
            Problem: As `body`.
        """
        rest = bytearray()
        try:
            async for piece in body_pieces(request, limit):
                *lines, last = piece.split(b"\n")
                for line in lines:
                    self._held -= len(rest)
                    whole = bytes(rest) + line
                    rest.clear()
                    if len(whole) > limit:
                        raise too_large(limit)
                    yield whole
                self._grow(len(last))
                rest += last
                if len(rest) > limit:
                    raise too_large(limit)
            if rest:
                yield bytes(rest)
        finally:
            self._held -= len(rest)

    def _grow(self, size: int) -> None:
        if self._held + size > self._most:
            message = "Too many large requests at once"
            raise Problem(503, "busy", message, "Try again later", {"Retry-After": "5"})
        self._held += size


async def body_pieces(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes, unpacked; a packed one has the limit as a whole."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        async for piece in _received(request):
            yield piece
    elif encoding in {"gzip", "x-gzip"}:
        async for piece in _unpacked(request, limit):
            yield piece
    else:
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


async def _unpacked(request: Request, limit: int) -> AsyncIterator[bytes]:
    unpacker, total, is_finished = zlib.decompressobj(_GZIP), 0, True
    async for received in _received(request):
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
            packed, is_finished = unpacker.unconsumed_tail, unpacker.eof
            if is_finished:  # another member may follow
                packed = unpacker.unused_data
                unpacker = zlib.decompressobj(_GZIP)
    if not is_finished:
        raise Problem(400, "invalid_request", "The gzip body is truncated")


def _check_announced(request: Request, limit: int) -> None:
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Problem:
    """The answer to a body beyond the limit."""
    message = f"The body, or a line of it, is larger than the limit of {limit} bytes"
    return Problem(413, "too_large", message, "Send less at once, or raise max_body")
