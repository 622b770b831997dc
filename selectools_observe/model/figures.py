"""Durations, counts, money and times as people read them."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from math import isfinite

_MOST = 1e300  # beyond which there is nothing to tell apart; an integer may be larger than floats
_AGES = 1e12  # seconds
_LEAST_SHOWN = Decimal("0.00005")
_LARGE_AMOUNT = Decimal("1e15")


def duration(milliseconds: float | None) -> str:
    """Such as ``0.4 ms``, ``261 ms``, ``5.38 s``, ``2m 05s``, ``3h 20m`` and ``4d 1h``.

    A dash for nothing, or what is no time. The page says the same.
    """
    if not milliseconds or milliseconds < 0 or milliseconds != milliseconds:  # noqa: PLR0124
        return "-"
    milliseconds = min(milliseconds, _MOST)
    if milliseconds < 999.5:
        return f"{_fixed(milliseconds, 1 if milliseconds < 99.95 else 0)} ms"
    seconds = milliseconds / 1000
    if seconds < 59.995:
        return f"{_fixed(seconds, 2)} s"
    if seconds >= _AGES:
        return f"{count(seconds / 86_400)}d"
    minutes, rest = divmod(int(_fixed(seconds, 0)), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    hours, minutes = divmod(minutes, 60)
    days, rest = divmod(hours, 24)
    return f"{hours}h {minutes:02}m" if hours < 48 else f"{count(days)}d {rest}h"


def count(number: float) -> str:
    """Such as ``9,500``, ``12.3k`` and ``4.56M``; the page says the same."""
    number = max(-_MOST, min(number, _MOST))
    if number < 9_999.5:
        return f"{_fixed(number, 0):,}"
    for size, unit in ((1e3, "k"), (1e6, "M"), (1e9, "B")):
        if number < size * 999.5:
            some = number / size
            figure = _fixed(some, 2 if some < 9.995 else 1 if some < 99.95 else 0)
            return f"{figure.normalize():f}{unit}"
    return f"{number:.1e}".replace(".0e", "e")


def _fixed(number: float, digits: int) -> Decimal:
    """Rounded as browsers do: halves away from zero."""
    return Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def dollars(amount: float | None) -> str:
    """Such as ``$0.0041``, ``$12.30`` and ``$1,234.50``; a dash where none are known.

    Halves are rounded away from zero, as browsers do: the page says the same.
    """
    if not amount or not isfinite(amount):
        return "-"
    sign, size = "-" if amount < 0 else "", Decimal(abs(amount))
    if size < _LEAST_SHOWN:
        return f"{sign}<$0.0001"
    if size >= _LARGE_AMOUNT:
        return f"{sign}${abs(amount):.2e}"
    fine = size.quantize(Decimal("0.0001"), ROUND_HALF_UP)
    if fine < 1:
        return f"{sign}${fine}"
    return f"{sign}${size.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def local_time(moment: datetime, *, seconds: bool = False) -> str:
    """A moment by the clock on the wall."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
