"""A redactor of payment card numbers."""

from __future__ import annotations

import re

from .traversal import REDACTED, Redactor, Walk

_DIGITS = re.compile(r"(?<![\w])(?:\d[ \u00a0.-]?){12,18}\d(?![\w])")
# First digits and lengths, as ISO/IEC 7812 gives them to the issuers.
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|6(?:011|5\d\d|4[4-9]\d|2\d\d)\d{12,15}"  # Discover, UnionPay
    r"|(?:50|5[6-9]|6\d)\d{11,17}"  # Maestro
)


def redact_cards(replacement: str = REDACTED) -> Redactor:
    """A redactor for card numbers: 13 to 19 digits, grouped or not, of a known issuer, whose check
    digit (Luhn) is right. Integers are looked at too.
    """

    def in_text(found: re.Match[str]) -> str:
        return replacement if _is_card(re.sub(r"\D", "", found[0])) else found[0]

    def in_number(value: int) -> int | str:
        # The digits of a longer integer are slow to write, and no card's.
        return replacement if 10**12 <= value < 10**19 and _is_card(str(value)) else value

    return Walk(lambda text: _DIGITS.sub(in_text, text), number=in_number, is_pure=True)


def _is_card(digits: str) -> bool:
    return _CARD.fullmatch(digits) is not None and _luhn(digits) % 10 == 0


def _luhn(digits: str) -> int:
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return sum(doubled) + sum(int(digit) for digit in digits[::-2])
