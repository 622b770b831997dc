"""A redactor for what stands under a telling name: ``api_key``, ``authorization``, ``password``."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection

from .tables import redact_columns
from .traversal import REDACTED, Redactor, Walk

SECRET_KEYS = (
    "access_key",
    "access_token",
    "account_key",
    "api_key",
    "api_keys",
    "api_token",
    "auth",
    "auth_token",
    "authorization",
    "backup_code",
    "bearer",
    "bearer_token",
    "client_secret",
    "connection_string",
    "contrase\u00f1a",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "csrf_token",
    "dsn",
    "encryption_key",
    "has\u0142o",
    "id_token",
    "jwt",
    "kennwort",
    "keypass",
    "mot_de_passe",
    "otp",
    "pass",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "password_confirmation",
    "password_hash",
    "passwords",
    "passwort",
    "pgpassword",
    "pin",
    "private_key",
    "private_key_pem",
    "pre_shared_key",
    "psk",
    "psw",
    "pw",
    "pwd",
    "recovery_code",
    "refresh_token",
    "sas",
    "secret",
    "secret_access_key",
    "secret_key",
    "secret_key_base",
    "secret_phrase",
    "secrets",
    "seed_phrase",
    "senha",
    "session_token",
    "sessionid",
    "signing_key",
    "sshpass",
    "storepass",
    "token",
    "wachtwoord",
    "\u015fifre",
    "\u043f\u0430\u0440\u043e\u043b\u044c",
    "\u30d1\u30b9\u30ef\u30fc\u30c9",
    "\u5bc6\u7801",
    "\u5bc6\u78bc",
    "\ube44\ubc00\ubc88\ud638",
)
"""The names that `redact_keys` looks for unless it is given others."""

# Names of cookies, which are also how ordinary ids are called when they are written in two words.
_ONE_WORD = frozenset({"sessionid", "phpsessid", "jsessionid"})
# Words that are often no names of secrets: in text they count only where a value is assigned to
# them, or, if their values are numbers, where one follows.
_WEAK = frozenset({"pass", "auth", "pin", "otp", "dsn", "sas", "pw", "psw"})

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_COOKIES = re.compile(
    r"((?:set-)?cookie2?\s{0,4}:\s{0,4})(?=[\w!#$%&*+.^`|~-]{1,128}=[^\s=])[^\r\n]+", re.IGNORECASE
)
# Letters that look like others: Cyrillic and Greek ones, and those of double width.
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0441\u0435\u0456\u0458\u043e\u0440\u0455\u0445\u0443\u0501\u051b\u051d"
    "\u03b1\u03bf\u03c1\u03bd\u03ba\u03b9\u03c4"
    + "".join(chr(0xFF41 + n) for n in range(26)) + "\uff1a\uff1d\uff3f",
    "aceijopsxydqwaopvkit" + "abcdefghijklmnopqrstuvwxyz" + ":=_",
)  # fmt: skip
_LOOK_ALIKE = re.compile(f"[{''.join(map(chr, _LOOK_ALIKES))}]")
# What stands between a name and its value; a blank only after a flag of a command line, a comma
# only in a pair or after a flag. Also as URLs write it.
_JOINT = (
    r"""(?P<joint>\\*+(?:["']|&quot;)?\]?(?:\*\*)?\s{0,4}(?:=>|:=|[:=](?![=:])|(?<!-)>)(?:\*\*)?\s{0,4}"""
    r"""(?:&(?:quot|apos|\#3[49]);)?"""
    r"""|(?:%22|%27)?(?:%20|\+)?%(?:25)?3[ad](?:%20|\+)?(?:%22|%27)?"""
    r"""|(?P<comma>\\*+["']\s{0,4},\s{0,4}b?(?=\\*+["']))|[ ]+)"""
)
_LONGEST_NAME = 64
_OF_A_NAME = re.compile(r"[\w.\- ]*")
# A value in quotes, the last of which may be cut off, or after a scheme's name, or one word; all
# of it possessive, since to try again with less would take quadratic time.
_VALUE = re.compile(
    r"""b?\\*+"(?>[^"\\]+|\\[^"])*+\\*+(?:"|\Z)|b?\\*+'(?>[^'\\]+|\\[^'])*+\\*+(?:'|\Z)"""
    r"""|(?:(?:bearer|basic|digest|token)\s+)?[^\s"',;&<>(){}\[\]\\]++""",
    re.IGNORECASE,
)
_URL_VALUE = re.compile(r"(?:(?!%(?:25)?(?:2[26c7]|7d|0[ad]))[^\s\"'&;<>])++", re.IGNORECASE)
_BLOCK = re.compile(r"[|>][+-]?\d?[ \t]*\r?\n((?:[ \t]+[^\n]*\n?)++)")
_OPENING_QUOTE = re.compile(r"""b?\\*["']""")
# ``"name": "api_key", "value": "x"``, in JSON, Python or YAML.
_NAMED_VALUE = re.compile(
    r"""(\b(?:name|key)\\{0,8}["']?\s{0,4}[:=]\s{0,4}\\{0,8}["']?([\w.\-]{1,64})\\{0,8}["']?\s{0,4},?\s{0,8}"""
    r"""\\{0,8}["']?value\\{0,8}["']?\s{0,4}[:=]\s{0,4}\\{0,8}["']?)([^\s"'\\,}\]]{1,4096})""",
    re.IGNORECASE,
)
_QUERY_KEY = re.compile(r"([?&](?:key|sig|code|auth|pass|pin|otp)=)([^\s&\"'<>#]{6,4096})")

# What stands in a secret's place in programs and in prose.
_NO_SECRETS = frozenset(
    """
    a an and any are array auth basic bool boolean bytes bytearray callable changed check
    command dict empty expired false file float for from get has if in input int integer
    invalid is list may missing must my nil no none not null number object of ok old optional
    or prompt required reset see self set settings should str string that the this to true type
    undefined union unknown unset use used valid value was with wrong your
    """.split()  # noqa: SIM905 - a list of words is what it is
)
_CODE_AFTER = ("(", "[")
_OBJECTS = frozenset(
    """
    app args cls cfg conf config ctx data env environ event form ini kwargs options opts os
    params process props req request response secrets self session settings st state this vault
    """.split()  # noqa: SIM905 - a list of words is what it is
)
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*")
_PLACEHOLDER = re.compile(r"[$%*?.@#-]|x{3,}\Z", re.IGNORECASE)


def redact_keys(*names: str, replacement: str = REDACTED) -> Redactor:
    """A redactor for values under certain keys, at any depth, whatever the value.

    A key is told by its last words: ``api_key`` finds ``apiKey``, ``X-API-Key`` and
    ``OPENAI_API_KEY``, and ``token`` finds ``github_token`` but neither ``prompt_tokens`` nor
    ``token_count``. Found are keys of objects, header pairs (``["Authorization", "..."]``), objects
    with ``name`` and ``value``, and in plain text ``password=...``, ``"password": "..."``,
    ``--password ...`` and header lines. ``null``, booleans and empty texts stay.

    Args:
        names: The names; `SECRET_KEYS` unless given.
        replacement: What stands for the value.

    Raises:
        ValueError: A name has no letters.
    """
    chosen = [_words(name) for name in names or SECRET_KEYS]
    if not all(chosen):
        raise ValueError(f"a key's name must have letters: {names!r}")
    joined = frozenset("".join(words) for words in chosen)

    @functools.lru_cache(4096)
    def is_secret(key: str) -> bool:
        return _secret_in(key, joined) is not None

    def name_in(key: str) -> str | None:
        return _secret_in(key, joined)

    any_end = re.compile(_any_of({words[-1] for words in chosen}))
    in_text = _InText(any_end.pattern, name_in, replacement)

    def change(text: str) -> str:
        if not names and ("?" in text or "&" in text) and "=" in text:
            text = _QUERY_KEY.sub(lambda found: _of_query(found, replacement), text)
        lowered = _folded(text)
        if any_end.search(lowered) is None:
            return text
        if "cookie" in joined and "cookie" in lowered:
            text = _COOKIES.sub(lambda found: f"{found[1]}{replacement}", text)
        return in_text.redacted(redact_columns(text, is_secret, replacement))

    return Walk(change, secret=is_secret, replacement=replacement, is_pure=True)


def _words(name: str) -> list[str]:
    if not name.isascii():
        name = name.translate(_LOOK_ALIKES)
    return [word.lower() for word in _WORDS.findall(name)]


def _secret_in(key: str, joined: Collection[str]) -> str | None:
    """The name of a secret that a key ends with."""
    words = _words(key[-_LONGEST_NAME:])
    while words and words[-1].isdigit():
        words.pop()
    found = ("".join(words[at:]) for at in range(len(words)))
    name = next((name for name in found if name in joined), None)
    return None if name in _ONE_WORD and name not in words else name


def _folded(text: str) -> str:
    """The text in lower case, look-alike letters as those that they look like."""
    lowered = text.lower()
    if lowered.isascii() or _LOOK_ALIKE.search(lowered) is None:
        return lowered
    return lowered.translate(_LOOK_ALIKES)


def _of_query(found: re.Match[str], replacement: str) -> str:
    is_secret = any(map(str.isdigit, found[2])) or len(found[2]) > 20
    return f"{found[1]}{replacement}" if is_secret else found[0]


def _any_of(words: Collection[str]) -> str:
    """A pattern of any of these words, each letter of a common beginning tried once."""
    rests: dict[str, set[str]] = {}
    for word in words:
        rests.setdefault(word[:1], set()).add(word[1:])
    forms = [re.escape(first) + _any_of(rest) for first, rest in sorted(rests.items()) if first]
    if not forms:
        return ""
    return f"(?:{'|'.join(forms)})" + ("?" if "" in rests else "")


class _InText:
    """Finds ``name: value`` and its likes in plain text."""

    def __init__(
        self, any_end: str, name_in: Callable[[str], str | None], replacement: str
    ) -> None:
        self._candidate = re.compile(any_end + _JOINT)
        self._slower = re.compile(self._candidate.pattern, re.IGNORECASE)
        self._name_in = name_in
        self._replacement = replacement

    def redacted(self, text: str) -> str:
        text = self._named_values(text)
        pieces: list[str] = []
        done = 0
        lowered = _folded(text)
        # One character in all of Unicode becomes two, and places would no longer agree.
        same = len(lowered) == len(text)
        candidates = self._candidate.finditer(lowered) if same else self._slower.finditer(text)
        for found in candidates:
            if found.start() < done:
                continue
            value = self._value(text, found)
            if value is not None:
                start, end, quote = value
                pieces += text[done:start], quote, self._replacement, quote.removeprefix("b")
                done = end
        return "".join([*pieces, text[done:]]) if pieces else text

    def _named_values(self, text: str) -> str:
        if "value" not in text and "VALUE" not in text:
            return text

        def change(found: re.Match[str]) -> str:
            if self._name_in(found[2]) is None or found[3].startswith(self._replacement):
                return found[0]
            return f"{found[1]}{self._replacement}"

        return _NAMED_VALUE.sub(change, text)

    def _value(self, text: str, found: re.Match[str]) -> tuple[int, int, str] | None:
        """Where a secret begins and ends, and its quote; None if what was found is none."""
        name = self._name_before(text, found)
        if name is None:
            return None
        joint = found["joint"]
        block = _BLOCK.match(text, found.end()) if ":" in joint else None
        if block is not None:
            return block.start(1), block.end(), "  "
        in_url = "%" in joint
        value = (_URL_VALUE if in_url else _VALUE).match(text, found.end())
        if value is None or value[0].startswith(self._replacement):
            return None
        opening = _OPENING_QUOTE.match(value[0])
        quote = opening[0] if opening else ""
        is_secret = (
            not value[0].startswith(self._replacement, len(quote))
            and (not found["comma"] or self._is_pair(text, found, value.end()))
            and (in_url or _may_be_secret(name, joint, value[0], quote, text, value.end()))
        )
        return (value.start(), value.end(), quote) if is_secret else None

    def _name_before(self, text: str, found: re.Match[str]) -> str | None:
        """The secret's name that what ends before the joint is."""
        end = found.start("joint")
        before = text[max(0, end - _LONGEST_NAME) : end]
        if not found["joint"].strip() and not before.split()[-1].startswith("-"):
            return None
        backwards = _OF_A_NAME.match(before[::-1])
        return None if backwards is None else self._name_in(backwards[0][::-1])

    def _is_pair(self, text: str, found: re.Match[str], end: int) -> bool:
        """Whether a quoted name and a quoted value stand alone in brackets, or are a flag's."""
        place = found.start("joint")
        before = text[max(0, place - _LONGEST_NAME - 8) : place]
        quote = max(before.rfind('"'), before.rfind("'"))
        if quote < 0:
            return False
        if before[quote + 1 :].startswith("-"):
            return True
        opens = before[:quote].rstrip("\\").removesuffix("b").rstrip()[-1:]
        return opens in ("(", "[") and text[end : end + 8].lstrip("\\ \n,")[:1] in (")", "]")


def _may_be_secret(  # noqa: PLR0917 - what is known of a candidate
    name: str, joint: str, value: str, quote: str, text: str, end: int
) -> bool:
    inner = value[len(quote) :].rstrip("\"'\\") if quote else value
    if name in _WEAK and not _is_assigned(name, joint, inner, quote):
        return False
    if quote:
        return bool(inner.strip()) and inner.lower() not in _NO_SECRETS
    return not _is_code(name, joint, inner, text, end)


def _is_assigned(name: str, joint: str, inner: str, quote: str) -> bool:
    if "," in joint:
        return False
    if not joint.strip():
        return True  # a flag
    if name in {"pin", "otp"}:
        return inner[:1].isdigit()
    is_short_number = inner.isdigit() and len(inner) < 4
    return not is_short_number and (quote != "" or joint == "=" or any(map(str.isdigit, inner)))


def _is_code(name: str, joint: str, value: str, text: str, end: int) -> bool:
    """Whether a bare word is of a program, or of a sentence, rather than a secret."""
    if not joint.strip():
        return False  # a flag's
    word = value.rstrip(".,:!?|")
    if word.lower() in _NO_SECRETS or not word or _PLACEHOLDER.match(word):
        return True
    found = _IDENTIFIER.match(word)
    if found is None:
        return False
    after = text[end : end + 1] if found.end() == len(word) else word[found.end()]
    first, _, rest = found[0].partition(".")
    if (after in _CODE_AFTER and after) or text[end : end + 3] == " | ":
        return True
    if found.end() < len(word):
        return False
    return (bool(rest) and first.lower() in _OBJECTS) or "".join(_words(word)).endswith(name)
