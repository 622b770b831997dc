"""Columns of numbers and names as bytes, in the byte order of small machines everywhere."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

_FITS_SMALL = 2**31


def pack_text(text: str) -> bytes:
    """A name or a value; of lone surrogates too, which have no UTF-8 form."""
    return text.encode("utf-8", "surrogatepass")


def unpack_text(packed: bytes) -> str:
    """What `pack_text` packed."""
    return packed.decode("utf-8", "surrogatepass")


def pack_floats(values: Sequence[float]) -> bytes:
    """Numbers as doubles."""
    return _to_bytes(array("d", values))


def unpack_floats(packed: bytes) -> array[float]:
    """What `pack_floats` packed."""
    return _from_bytes(array("d"), packed)


def pack_integers(values: Sequence[int]) -> bytes:
    """Integers of 64 bits, or of 32 if all are small; nothing if all are 0."""
    if not any(values):
        return b""
    is_small = min(values) >= -_FITS_SMALL and max(values) < _FITS_SMALL
    return (b"i" if is_small else b"q") + _to_bytes(array("i" if is_small else "q", values))


def unpack_integers(packed: bytes) -> Sequence[int]:
    """What `pack_integers` packed; nothing if all are 0."""
    if not packed:
        return ()
    return _from_bytes(array("i" if packed[:1] == b"i" else "q"), packed[1:])


def _to_bytes(values: array) -> bytes:  # type: ignore[type-arg]
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _from_bytes(values: array, packed: bytes) -> array:  # type: ignore[type-arg]
    values.frombytes(packed)
    if sys.byteorder == "big":
        values.byteswap()
    return values
