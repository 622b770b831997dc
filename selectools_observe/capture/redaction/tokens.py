"""A redactor for the tokens and keys of well-known services, told by their form."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import partial

from .provider_rules import RULES
from .traversal import REDACTED, Redactor, Walk

_START = r"(?<![A-Za-z0-9])"

# What a text must hold for a form to be worth looking for, and the form.
_FORMS: list[tuple[tuple[str, ...], str]] = [
    (("gsk_", "xai-", "pplx-", "tvly-", "nvapi-"), r"(?:gsk_|xai-|pplx-|tvly-|nvapi-)[\w-]{20,}"),
    (("hf_", "r8_"), r"(?:hf_|r8_)[A-Za-z0-9]{30,}"),  # Hugging Face, Replicate
    (("lsv2_", "pcsk_", "sk-lf-"), r"(?:lsv2_(?:pt|sk)|pcsk)_\w{20,}"),  # LangSmith, Pinecone
    (("gh",), r"gh[opusr]_[A-Za-z0-9]{30,}"),  # GitHub
    (("github_pat_",), r"github_pat_\w{22,}"),
    (("gl",), r"gl(?:pat|dt|ptt|rt|cbt|ft|soat|agent|imt)-[\w.-]{20,}"),  # GitLab
    (("xox", "xapp-"), r"(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}"),  # Slack
    (("hooks.slack.com",), r"hooks\.slack\.com/\w+/[\w/+-]{10,}"),
    (("api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]{10,}"),
    (
        ("AKIA", "ASIA", "ABIA", "ACCA", "AROA", "AIDA", "A3T"),  # AWS
        r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    ),
    (("AIza",), r"AIza[\w-]{30,}"),  # Google
    (("ya29.",), r"ya29\.[\w-]{20,}"),
    (("GOCSPX-",), r"GOCSPX-[\w-]{20,}"),
    (("1//0",), r"1//0[\w-]{20,}"),
    (("_live_", "_test_"), r"[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}"),  # Stripe
    (("whsec_",), r"whsec_[A-Za-z0-9+/=]{20,}"),
    (("SG.",), r"SG\.[\w-]{16,100}\.[\w-]{16,}"),  # SendGrid
    (("AC", "SK"), r"(?:AC|SK)[0-9a-f]{32}(?![0-9a-f])"),  # Twilio
    (("key-",), r"key-[0-9a-z]{32}(?![0-9a-z])"),  # Mailgun
    ((":AA",), r"\d{8,10}:AA[\w-]{30,}"),  # Telegram
    (("npm_",), r"npm_[A-Za-z0-9]{30,}"),
    (("pypi-",), r"pypi-[\w-]{50,}"),
    (("_v1_",), r"do[opr]_v1_[0-9a-f]{60,}"),  # DigitalOcean
    (("dapi",), r"dapi[0-9a-f]{32}(?:-\d+)?"),  # Databricks
    (("shp",), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),  # Shopify
    (("lin_api_",), r"lin_api_\w{30,}"),
    (("ntn_", "secret_"), r"(?:ntn_|secret_)[A-Za-z0-9]{40,}"),  # Notion
    (("hvs.", "hvb.", "hvr."), r"hv[sbr]\.[\w-]{20,}"),  # Vault
    (("sgp_",), r"sgp_(?:[0-9a-fA-F]{16}_|local_)?[0-9a-fA-F]{40}"),  # Sourcegraph
    (
        ("tgp_v1_", "fw_", "csk-", "vcp_", "sbp_", "rnd_", "re_", "dckr_pat_", "ddp_"),
        r"(?:tgp_v1_|fw_|csk-|vcp_|sbp_|rnd_|re_|dckr_pat_|ddp_)(?=[\w-]{0,24}\d)[\w-]{24,}",
    ),
    (("glc_", "glsa_"), r"gl(?:c|sa)_[A-Za-z0-9+/_]{32,}={0,2}"),  # Grafana
    (("NRAK-",), r"NRAK-[A-Z0-9]{20,}"),  # New Relic
    (("secret-token:",), r"secret-token:[\w.~+/=%-]{8,}"),  # RFC 8959
    (("dp.",), r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,}"),  # Doppler
    (("pat",), r"pat[A-Za-z0-9]{14}\.[0-9a-f]{40,}"),  # Airtable
    (("ATATT3", "ATCTT3"), r"AT[AC]TT3[\w=-]{50,}"),  # Atlassian
    (("EAA",), r"EAA[A-Za-z0-9]{60,}"),  # Meta
    (("AccountKey=", "SharedAccessKey="), r"(?:Account|SharedAccess)Key=[A-Za-z0-9+/=]{20,}"),
    (("sig=",), r"sig=[A-Za-z0-9%+/=_-]{30,}"),  # signed URLs
    (("Signature=",), r"X-Amz-Signature=[0-9a-f]{32,}"),
]
# What follows such a word, unless it is a plain word itself.
_SCHEMES = re.compile(
    r"\b((?i:bearer|basic))\s{1,8}(?![A-Za-z][a-z]{1,40}(?![\w~+/=-]|\.\w))[\w.~+/=-]{8,}"
)
_IN_URL = re.compile(r"(://)[^\s/@:'\"]{0,256}:[^\s/@'\"]{1,256}(?=@)")
# ``curl -u name:password``, ``mysql -pPASSWORD``, ``sshpass -p PASSWORD``, and .netrc.
_IN_COMMANDS = [
    (
        ("curl", "wget", "http"),
        re.compile(
            r"(?i)((?:^|(?<=\s))(?:-u|-U|--user|--proxy-user)(?:\s{1,4}|=)?[\"']?[^\s:\"'=]{1,128}:)"
            r"[^\s\"'|;&]{1,256}"
        ),
    ),
    (
        ("mysql", "mariadb"),
        re.compile(r"(?i)((?:mysql|mariadb)[\w-]{0,16}\s(?:[^\n|;&]{0,200}?\s)?-p)[^\s|;&]{1,256}"),
    ),
    (("sshpass",), re.compile(r"(sshpass\s(?:[^\n|;&]{0,60}?\s)?-p\s{0,4})[^\s|;&]{1,256}")),
    (("redis-cli",), re.compile(r"(redis-cli\s(?:[^\n|;&]{0,99}?\s)?-a\s{1,4})[^\s|;&]{1,256}")),
    (
        ("password",),
        re.compile(
            r"(?i)(\blogin\s{1,8}\S{1,128}\s{1,8}(?:account\s{1,8}\S{1,128}\s{1,8})?password\s{1,8})\S{1,256}"
        ),
    ),
]
# Tokens of many begin so: OpenAI, Anthropic, OpenRouter, DeepSeek. So do the names of packages.
_SK = re.compile(r"(?<![A-Za-z0-9])sk-[\w-]{16,}")
_RANDOM = re.compile(r"[A-Za-z0-9_]{12,}")
_JWT_RUN = re.compile(r"[\w-]*+")
_JWT = re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+){0,3}")

# What a token can stand in: a long run of the characters that tokens are made of. Most texts have
# few of these, and only what is in them is looked through for the signs.
_RUN = re.compile(r"[A-Za-z0-9_.~+/=:%-]{12,}+")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}KEY[A-Z ]*-----|\Z)",
    re.DOTALL,
)
_COMPILED = [(sign, re.compile(_START + form)) for signs, form in _FORMS for sign in signs]
_PROVIDERS: dict[str, list[tuple[re.Pattern[str], float]]] = {}
for _, _keywords, _form, _bits in RULES:
    for _keyword in _keywords:
        _PROVIDERS.setdefault(_keyword, []).append((re.compile(_form), _bits))
_SHORTEST = 12


def redact_tokens(replacement: str = REDACTED) -> Redactor:
    """A redactor for secrets that are told by their form, whatever stands around them.

    API keys and tokens of model providers, clouds, code hosts, chat and payment services, by rules
    of our own and those of gitleaks (see `provider_rules`); JSON Web Tokens; private keys;
    ``Bearer`` and ``Basic`` credentials; passwords in URLs, in .netrc and of well-known commands.
    """
    return Walk(
        lambda text: _without_tokens(text, replacement) if len(text) >= _SHORTEST else text,
        is_pure=True,
    )


def _without_tokens(text: str, replacement: str) -> str:
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(lambda _: replacement, text)
    runs = "\n".join(_RUN.findall(text))
    if runs:
        text = _without_forms(text, runs, replacement)
        text = _without_provider_tokens(text, runs.lower(), replacement)
    if "://" in text:
        text = _IN_URL.sub(lambda found: f"{found[1]}{replacement}", text)
    return _without_credentials(text, replacement)


def _without_forms(text: str, runs: str, replacement: str) -> str:
    for sign, form in _COMPILED:
        if sign in runs and form.search(runs):
            text = form.sub(lambda _: replacement, text)
    if "eyJ" in runs:
        text = _without_jwt(text, replacement)
    if "sk-" in runs:
        text = _SK.sub(lambda found: replacement if _is_random(found[0]) else found[0], text)
    return text


def _without_credentials(text: str, replacement: str) -> str:
    """The text without what commands and headers say to prove who they are."""
    lowered = text.lower()
    for signs, form in _IN_COMMANDS:
        if any(sign in lowered for sign in signs):
            text = form.sub(lambda found: f"{found[1]}{replacement}", text)
    if "bearer" in lowered or "basic" in lowered:
        text = _SCHEMES.sub(lambda found: f"{found[1]} {replacement}", text)
    return text


def _without_provider_tokens(text: str, runs: str, replacement: str) -> str:
    for keyword, rules in _PROVIDERS.items():
        if keyword in runs:
            for form, bits in rules:
                text = form.sub(partial(_replaced_if_random, bits, replacement), text)
    return text


def _replaced_if_random(bits: float, replacement: str, found: re.Match[str]) -> str:
    return replacement if _bits_of(found[0]) >= bits else found[0]


def _is_random(token: str) -> bool:
    """Whether a part of a token looks made by a machine: long, with digits or letters mixed."""
    return any(
        any(map(str.isdigit, part)) or (part.lower() != part and part.upper() != part)
        for part in _RANDOM.findall(token[3:])
    )


def _without_jwt(text: str, replacement: str) -> str:
    """The text without JSON Web Tokens.

    Where none begins, the run of their characters is passed over whole: to try at each beginning
    in it would take quadratic time.
    """
    pieces: list[str] = []
    done = at = 0
    while (at := text.find("eyJ", at)) >= 0:
        if at and text[at - 1].isalnum():
            at += 3
            continue
        found = _JWT.match(text, at)
        if found is not None:
            pieces += text[done:at], replacement
            done = at = found.end()
        else:
            run = _JWT_RUN.match(text, at)
            at = run.end() if run else at + 3
    return "".join([*pieces, text[done:]]) if pieces else text


def _bits_of(text: str) -> float:
    """The information that a character bears, by how often each occurs (Shannon's entropy)."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
