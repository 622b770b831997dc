"""Integers of any length as decimal text and back, in far less than quadratic time.

Python itself takes quadratic time for both, and refuses more than 4,300 digits for that reason.
"""

from __future__ import annotations

import decimal

LONGEST_PLAIN = 4000
"""Digits up to which Python's own conversions are quick enough, and allowed."""

_PLAIN_BITS = 8192
_EXACT = decimal.Context(
    prec=decimal.MAX_PREC,
    Emax=decimal.MAX_EMAX,
    Emin=decimal.MIN_EMIN,
    traps=[decimal.Inexact, decimal.InvalidOperation],
)


def from_text(text: str) -> int:
    """The integer that a text of ASCII digits, perhaps with a minus sign, stands for."""
    if len(text) <= LONGEST_PLAIN:
        return int(text)
    digits = text.removeprefix("-")
    powers: dict[int, int] = {}

    def power(exponent: int) -> int:
        if exponent not in powers:
            half = exponent // 2
            is_small = exponent <= LONGEST_PLAIN
            powers[exponent] = 10**exponent if is_small else power(half) * power(exponent - half)
        return powers[exponent]

    def between(start: int, end: int) -> int:
        if end - start <= LONGEST_PLAIN // 2:
            return int(digits[start:end])
        half = (end - start) // 2
        return between(start, end - half) * power(half) + between(end - half, end)

    value = between(0, len(digits))
    return value if digits is text else -value


def to_text(value: int) -> str:
    """The integer's decimal digits, with a minus sign if it is negative."""
    if value.bit_length() <= _PLAIN_BITS:
        return int.__repr__(value)
    powers: dict[int, decimal.Decimal] = {}

    def power(exponent: int) -> decimal.Decimal:
        if exponent not in powers:
            half = exponent // 2
            powers[exponent] = (
                decimal.Decimal(1 << exponent)
                if exponent <= _PLAIN_BITS
                else _EXACT.multiply(power(half), power(exponent - half))
            )
        return powers[exponent]

    def of_bits(part: int, bits: int) -> decimal.Decimal:
        if bits <= _PLAIN_BITS:
            return decimal.Decimal(part)
        half = bits // 2
        high = part >> half
        upper = _EXACT.multiply(of_bits(high, bits - half), power(half))
        return _EXACT.add(upper, of_bits(part - (high << half), half))

    size = abs(value)
    return ("-" if value < 0 else "") + format(of_bits(size, size.bit_length()), "f")
