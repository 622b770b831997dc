"""A redactor for the tokens and keys of well-known services, told by their form."""

from __future__ import annotations

import re

from .traversal import REDACTED, Redactor, Walk

_START = r"(?<![A-Za-z0-9])"

# What a text must hold for a form to be worth looking for, and the form.
_FORMS: list[tuple[tuple[str, ...], str]] = [
    (
        ("PRIVATE KEY",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}KEY[A-Z ]*-----|\Z)",
    ),
    (("eyJ",), r"eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*){1,3}"),  # JSON Web Tokens
    (("sk-",), r"sk-[\w-]{16,}"),  # OpenAI, Anthropic, OpenRouter and others
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
    (("SG.",), r"SG\.[\w-]{16,}\.[\w-]{16,}"),  # SendGrid
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
    (("dp.",), r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,}"),  # Doppler
    (("pat",), r"pat[A-Za-z0-9]{14}\.[0-9a-f]{40,}"),  # Airtable
    (("ATATT3", "ATCTT3"), r"AT[AC]TT3[\w=-]{50,}"),  # Atlassian
    (("EAA",), r"EAA[A-Za-z0-9]{60,}"),  # Meta
    (("AccountKey=", "SharedAccessKey="), r"(?:Account|SharedAccess)Key=[A-Za-z0-9+/=]{20,}"),
    (("sig=",), r"sig=[A-Za-z0-9%+/=_-]{30,}"),  # signed URLs
    (("Signature=",), r"X-Amz-Signature=[0-9a-f]{32,}"),
]
# What follows such a word, unless it is a plain word itself.
_SCHEMES = re.compile(r"\b((?i:bearer|basic))\s+(?![A-Za-z][a-z]+(?![\w~+/=-]|\.\w))[\w.~+/=-]{8,}")
_IN_URL = re.compile(r"(://)[^\s/@:'\"]{0,256}:[^\s/@'\"]{1,256}(?=@)")

# Most texts hold none of the signs; to look for them one by one is the fastest way to know.
_COMPILED = [
    (sign, re.compile(_START + form, re.DOTALL)) for signs, form in _FORMS for sign in signs
]
_SHORTEST = 12


def redact_tokens(replacement: str = REDACTED) -> Redactor:
    """A redactor for secrets that are told by their form, whatever stands around them.

    API keys and tokens of model providers, clouds, code hosts, chat and payment services; JSON Web
    Tokens; private keys; ``Bearer`` and ``Basic`` credentials; passwords in URLs.
    """

    def change(text: str) -> str:
        if len(text) < _SHORTEST:
            return text
        for sign, form in _COMPILED:
            if sign in text:
                text = form.sub(lambda _: replacement, text)
        if "://" in text:
            text = _IN_URL.sub(lambda found: f"{found[1]}{replacement}", text)
        lowered = text.lower()
        if "bearer" in lowered or "basic" in lowered:
            text = _SCHEMES.sub(lambda found: f"{found[1]} {replacement}", text)
        return text

    return Walk(change)
